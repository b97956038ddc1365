"""Write settings as TOML for people, and as one line for another process of the same version."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from .loader import Loaded
from .section import Setting
from .settings import SECTIONS, Settings, all_settings

HEADER = """\
# The configuration of Chatify Stream. Every value here is the default.
#
# Flags override environment variables, and environment variables override this file. The variable
# of a setting is CHATIFY_STREAM_<SECTION>_<KEY>, for example CHATIFY_STREAM_SERVER_PORT=9001.
"""


def render_default() -> str:
    """Return a configuration file with the default and the meaning of every setting."""
    parts = [HEADER]
    for section, settings in _by_section():
        doc = SECTIONS[section].__doc__ or ""
        parts.append(f"\n# {doc.strip()}\n[{section}]\n")
        parts.extend(
            f"\n# {setting.doc}\n# Allowed: {setting.kind.allowed}.\n"
            f"{setting.key} = {setting.kind.to_toml(setting.default)}\n"
            for setting in settings
        )
    return "".join(parts)


def render_effective(loaded: Loaded) -> str:
    """Return the settings in effect as TOML, with the source of each value as a comment."""
    parts = []
    for section, settings in _by_section():
        lines = [
            (
                f"{s.key} = {s.kind.to_toml(getattr(getattr(loaded.settings, section), s.key))}",
                loaded.sources[s.name],
            )
            for s in settings
        ]
        width = max(len(line) for line, _ in lines)
        body = "\n".join(f"{line:<{width}}  # {source}" for line, source in lines)
        parts.append(f"[{section}]\n{body}\n")
    return "\n".join(parts)


def _by_section() -> Iterator[tuple[str, list[Setting]]]:
    settings = list(all_settings())
    for section in SECTIONS:
        yield section, [setting for setting in settings if setting.section == section]


def dump_settings(settings: Settings) -> str:
    """Return all settings as one line of text."""
    return json.dumps(
        {
            setting.name: setting.kind.to_toml(
                getattr(getattr(settings, setting.section), setting.key)
            )
            for setting in all_settings()
        }
    )


def restore_settings(line: str) -> Settings:
    """Return the settings from a line that `dump_settings` returned."""
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, expression in json.loads(line).items():
        section, _, key = name.partition(".")
        values[section][key] = tomllib.loads(f"value = {expression}")["value"]
    sections: dict[str, Any] = {name: SECTIONS[name](**values[name]) for name in SECTIONS}
    return Settings(**sections)
