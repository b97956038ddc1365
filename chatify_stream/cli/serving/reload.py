"""SIGHUP: the configuration is read again, and what can change while the server runs changes.

Rules: one reload at a time. A configuration with a problem changes nothing. A part that refuses
its new settings, such as a certificate that cannot be used, stays as it was; the others change.
One line says what has changed and what would need a restart; it has no values of secrets.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from ...config import Setting, Settings, all_settings
from ...errors import ChatifyError, ConfigError

__all__ = ["Part", "Reloader", "reloading_on_hangup"]

log = logging.getLogger(__name__)

SHOWN = ("limits", "log", "usage")
"""Sections whose values may be shown."""


@dataclass(frozen=True)
class Part:
    """What can take new settings while it runs."""

    names: Sequence[str]
    """Sections, or settings, that it takes."""

    apply: Callable[[Settings], Awaitable[str | None]]
    """Takes them, and may say what else it has found new. Raises `ChatifyError` or `OSError`."""

    has_files: bool = False
    """The settings name files, which may have changed where the settings have not."""


class Reloader:
    """Has the parts of one server."""

    def __init__(
        self, read: Callable[[], Settings], settings: Settings, parts: Sequence[Part]
    ) -> None:
        """`read` gives the settings as they are now, or raises `ConfigError`.

        `settings` are those in effect.
        """
        self._read = read
        self._settings = settings
        self._parts = parts

    async def reload(self) -> None:
        """Reads the settings again; all that comes of it is in the log."""
        try:
            await self._reload()
        except ConfigError as error:
            log.error("nothing is reloaded: the configuration has problems")
            for problem in error.problems:
                log.error("%s", problem)
        except Exception:
            log.exception("reloading has failed")

    async def _reload(self) -> None:
        settings = self._read()
        different = _different(self._settings, settings)
        changed: list[str] = []
        for part in self._parts:
            mine = [each for each in different if {each.section, each.name} & set(part.names)]
            different = [each for each in different if each not in mine]
            if mine or part.has_files:
                try:
                    news = await part.apply(settings)
                except (ChatifyError, OSError) as error:
                    log.error("%s: left as it was: %s", ", ".join(part.names), error)
                    continue
                changed += [_shown(each, settings) for each in mine]
                changed += [news] if news else []
                self._settings = _with(self._settings, mine, settings)
        text = ", ".join(changed) or "nothing has changed"
        if different:
            text += "; to be restarted for: " + ", ".join(each.name for each in different)
        log.info("reloaded: %s", text)


@asynccontextmanager
async def reloading_on_hangup(reloader: Reloader) -> AsyncIterator[None]:
    """Reloads at each SIGHUP, where the platform has it."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        yield
        return
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    async def run() -> None:
        while True:
            await asked.wait()
            asked.clear()
            await reloader.reload()

    loop.add_signal_handler(number, asked.set)
    running = loop.create_task(run())
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _value(settings: Settings, setting: Setting) -> object:
    return getattr(getattr(settings, setting.section), setting.key)


def _different(old: Settings, new: Settings) -> list[Setting]:
    return [each for each in all_settings() if _value(old, each) != _value(new, each)]


def _shown(setting: Setting, settings: Settings) -> str:
    if setting.section not in SHOWN:
        return setting.name
    return f"{setting.name} = {setting.kind.to_toml(_value(settings, setting))}"


def _with(settings: Settings, changed: Sequence[Setting], new: Settings) -> Settings:
    """The settings, with those that have changed as they are in `new`."""
    for setting in changed:
        section = replace(getattr(settings, setting.section), **{setting.key: _value(new, setting)})
        settings = replace(settings, **{setting.section: section})
    return settings
