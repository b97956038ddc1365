"""Write settings as TOML for people, and as one line for another process of the same version."""

from __future__ import annotations

import json
import tomllib
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
    for name, section in SECTIONS.items():
        parts.append(f"\n# {(section.__doc__ or '').strip()}\n[{name}]\n")
        parts.extend(
            f"\n# {setting.doc}\n# Allowed: {setting.kind.allowed}.\n"
            f"{setting.key} = {setting.kind.to_toml(setting.default)}\n"
            for setting in section.describe()
        )
    return "".join(parts)


def render_effective(loaded: Loaded) -> str:
    """Return the settings in effect as TOML, with the source of each value as a comment."""
    parts = []
    for name, section in SECTIONS.items():
        settings = section.describe()
        lines = [(_line(loaded.settings, each), loaded.sources[each.name]) for each in settings]
        width = max(len(line) for line, _ in lines)
        body = "\n".join(f"{line:<{width}}  # {source}" for line, source in lines)
        parts.append(f"[{name}]\n{body}\n")
    return "\n".join(parts)


def dump_settings(settings: Settings) -> str:
    """Return all settings as one line of text."""
    lines = (f"{each.section}.{_line(settings, each)}" for each in all_settings())
    return json.dumps("\n".join(lines))


def restore_settings(line: str) -> Settings:
    """Return the settings from a line that `dump_settings` returned."""
    tables = tomllib.loads(json.loads(line))
    sections: dict[str, Any] = {name: cls(**tables[name]) for name, cls in SECTIONS.items()}
    return Settings(**sections)


def _line(settings: Settings, setting: Setting) -> str:
    value = getattr(getattr(settings, setting.section), setting.key)
    return f"{setting.key} = {setting.kind.to_toml(value)}"
