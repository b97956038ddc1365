"""Writes settings as TOML, for people: the default file, and what is in effect."""

from __future__ import annotations

from collections.abc import Iterator

from .loader import Loaded
from .settings import SECTIONS, Setting, all_settings

__all__ = ["render_default", "render_effective"]

HEADER = """\
# The configuration of Chatify Stream. Every value here is the default.
#
# Flags win over environment variables, and those over this file. The variable of a setting is
# CHATIFY_STREAM_<SECTION>_<KEY>, as in CHATIFY_STREAM_SERVER_PORT=9001.
"""


def render_default() -> str:
    """A complete configuration file with every default, and what each setting means."""
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
    """The settings in effect, each with a comment that says where it came from."""
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
