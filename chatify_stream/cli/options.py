"""Flags made from settings, and the settings made from flags."""

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
"""The sections and settings that have flags of `serve`."""

LOG = ("log.level", "log.format")
"""The settings of the log that every command has flags of."""

PARAMETER_DOT = "__"
"""Stands in the names of parameters for the dot of `section.key`."""

F = TypeVar("F", bound=Callable[..., Any])

_config_file_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar=CONFIG_VARIABLE,
    help=f"Configuration file, TOML.  [env: {CONFIG_VARIABLE}]",
)


def settings_options(*names: str) -> Callable[[F], F]:
    """Adds --config, and the flags of these settings; a section stands for all of its settings."""

    def decorate(command: F) -> F:
        for setting in reversed(list(all_settings())):
            if setting.section in names or setting.name in names:
                command = _option(setting)(command)
        return _config_file_option(command)

    return decorate


def _option(setting: Setting) -> Callable[[F], F]:
    # Values stay text here: the settings check them, in one place and with one kind of message.
    default = setting.kind.to_toml(setting.default)
    help_text = f"{setting.doc}  [default: {default}]"
    parameter = setting.name.replace(".", PARAMETER_DOT)
    if isinstance(setting.default, bool):
        flags = f"{setting.flag}/--no-{setting.flag[2:]}"
        return click.option(flags, parameter, default=None, help=help_text)
    metavar = setting.key.upper()
    return click.option(setting.flag, parameter, metavar=metavar, default=None, help=help_text)


def load_settings(config_file: Path | None, flags: dict[str, str | bool | None]) -> Loaded:
    """The settings in effect. Raises `ConfigError`."""
    given = {
        parameter.replace(PARAMETER_DOT, "."): value
        for parameter, value in flags.items()
        if value is not None
    }
    return load(config_file, os.environ, given)
