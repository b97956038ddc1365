"""Settings on their way from one process to another of the same version: one line of text."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from .settings import SECTIONS, Settings, all_settings

__all__ = ["dump_settings", "restore_settings"]


def dump_settings(settings: Settings) -> str:
    """All settings as one line."""
    return json.dumps(
        {
            setting.name: setting.kind.to_toml(
                getattr(getattr(settings, setting.section), setting.key)
            )
            for setting in all_settings()
        }
    )


def restore_settings(line: str) -> Settings:
    """The settings that were dumped."""
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, expression in json.loads(line).items():
        section, _, key = name.partition(".")
        values[section][key] = tomllib.loads(f"value = {expression}")["value"]
    sections: dict[str, Any] = {name: SECTIONS[name](**values[name]) for name in SECTIONS}
    return Settings(**sections)
