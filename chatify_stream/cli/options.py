"""Flags of the commands, made from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config import CONFIG_VARIABLE, Loaded, Setting, all_settings, load

__all__ = ["LOG", "SERVE", "load_settings", "settings_options"]

SERVE = (
    "server",
    "tls",
    "auth.mode",
    "auth.secret_file",
    "auth.keys",
    "limits.max_message_size",
    "rooms.enabled",
    "rooms.broker",
    "rooms.service",
    "rooms.port",
    "metrics",
    "tracing",
    "log",
)
"""Sections and settings that have flags in `serve`."""

LOG = ("log.level", "log.format")
"""Log settings that have flags in every command."""

PARAMETER_DOT = "__"
"""Replaces the dot of `section.key` in the parameter names of click."""

F = TypeVar("F", bound=Callable[..., Any])

_config_file_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar=CONFIG_VARIABLE,
    help=f"Configuration file (TOML).  [env: {CONFIG_VARIABLE}]",
)


def settings_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds --config and the flags of these settings.

    The name of a section adds all of its settings.
    """

    def decorate(command: F) -> F:
        for setting in reversed(list(all_settings())):
            if setting.section in names or setting.name in names:
                command = _option(setting)(command)
        return _config_file_option(command)

    return decorate


def _option(setting: Setting) -> Callable[[F], F]:
    # click keeps the values as text. The settings check them, as they check files and variables.
    default = setting.kind.to_toml(setting.default)
    help_text = f"{setting.doc}  [default: {default}]"
    parameter = setting.name.replace(".", PARAMETER_DOT)
    if isinstance(setting.default, bool):
        flags = f"{setting.flag}/--no-{setting.flag[2:]}"
        return click.option(flags, parameter, default=None, help=help_text)
    metavar = setting.key.upper()
    return click.option(setting.flag, parameter, metavar=metavar, default=None, help=help_text)


def load_settings(config_file: Path | None, flags: dict[str, str | bool | None]) -> Loaded:
    """Return the settings in effect. Raises `ConfigError`."""
    given = {
        parameter.replace(PARAMETER_DOT, "."): value
        for parameter, value in flags.items()
        if value is not None
    }
    return load(config_file, os.environ, given)
