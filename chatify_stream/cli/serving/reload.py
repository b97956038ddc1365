"""SIGHUP reloads the configuration and applies the settings that can change without a restart.

Reloads do not overlap. A configuration with a problem changes nothing. A part of the server that
rejects its new settings, such as an unusable certificate, keeps the old ones, while the other parts
change. One log line lists the changes and the settings that require a restart, without secrets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from ...config import Setting, Settings, all_settings
from ...errors import ChatifyError, ConfigError
from .signals import on_signal

log = logging.getLogger(__name__)

PUBLIC_SECTIONS = ("limits", "log", "usage")
"""Sections whose values may be logged."""


@dataclass(frozen=True)
class Part:
    """A part of the server whose settings can change while it runs."""

    names: Sequence[str]
    """Its sections or settings."""

    apply: Callable[[Settings], Awaitable[str | None]]
    """Applies new settings, and may return another change to log.

    Raises `ChatifyError` or `OSError`.
    """

    has_files: bool = False
    """The settings name files, so the part is applied even if no setting changed."""


@dataclass
class Reloader:
    """Reloads the parts of one server.

    `read` returns the new settings or raises `ConfigError`; `settings` are in effect.
    """

    read: Callable[[], Settings]
    settings: Settings
    parts: Sequence[Part]

    async def reload(self) -> None:
        """Reload the settings. The result and all errors are logged."""
        try:
            await self._reload()
        except ConfigError as error:
            log.error("reload failed: the configuration has problems; nothing was changed")
            for problem in error.problems:
                log.error("%s", problem)
        except Exception:
            log.exception("reload failed")

    async def _reload(self) -> None:
        settings = self.read()
        old = self.settings
        different = [each for each in all_settings() if _value(old, each) != _value(settings, each)]
        changed: list[str] = []
        for part in self.parts:
            own = [each for each in different if {each.section, each.name} & set(part.names)]
            different = [each for each in different if each not in own]
            if own or part.has_files:
                try:
                    more = await part.apply(settings)
                except (ChatifyError, OSError) as error:
                    log.error("%s: not reloaded: %s", ", ".join(part.names), error)
                    continue
                changed += [_shown(each, settings) for each in own]
                changed += [more] if more else []
                self.settings = _with(self.settings, own, settings)
        text = ", ".join(changed) or "no changes"
        if different:
            text += "; restart required for: " + ", ".join(each.name for each in different)
        log.info("reloaded: %s", text)


@asynccontextmanager
async def reload_on_hangup(reloader: Reloader) -> AsyncIterator[None]:
    """Reload at each SIGHUP in the block. Has no effect on Windows."""
    requested = asyncio.Event()

    async def run() -> None:
        while True:
            await requested.wait()
            requested.clear()
            await reloader.reload()

    running = asyncio.create_task(run())
    try:
        with on_signal("SIGHUP", requested.set):
            yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _value(settings: Settings, setting: Setting) -> object:
    return getattr(getattr(settings, setting.section), setting.key)


def _shown(setting: Setting, settings: Settings) -> str:
    if setting.section not in PUBLIC_SECTIONS:
        return setting.name
    return f"{setting.name} = {setting.kind.to_toml(_value(settings, setting))}"


def _with(settings: Settings, changed: Sequence[Setting], new: Settings) -> Settings:
    """Return the settings with the values of `new` for those in `changed`."""
    for setting in changed:
        section = replace(getattr(settings, setting.section), **{setting.key: _value(new, setting)})
        settings = replace(settings, **{setting.section: section})
    return settings
