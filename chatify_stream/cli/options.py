"""Flags of the commands, made from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config import CONFIG_VARIABLE, Loaded, Setting, all_settings, load
from ..config.kinds import Seconds
from .exit_codes import CommandError, report_errors

SERVE = (
    *("server", "tls", "metrics", "tracing", "log", "limits.max_message_size"),
    *("auth.mode", "auth.secret_file", "auth.keys"),
    *("rooms.enabled", "rooms.broker", "rooms.service", "rooms.port"),
)
"""Sections and settings that have flags in `serve`."""

LOG = ("log.level", "log.format")
"""Log settings that have flags in every command."""

PARAMETER_DOT = "__"
"""Replaces the dot of `section.key` in the parameter names of click."""

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds --config and flags, and passes `settings` to the command.

    `names` are sections or settings. If they include the log settings, the log is configured before
    the command runs. Errors of the command are reported as lines.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(config_file: Path | None, **parameters: Any) -> None:
            flags = {name: parameters.pop(name) for name in [*parameters] if PARAMETER_DOT in name}
            settings = load_settings(config_file, flags).settings
            if set(LOG) <= set(names):
                from .logs.setup import configure_logging  # imports the wire

                configure_logging(settings.log)
            command(settings=settings, **parameters)

        return settings_options(*names)(report_errors(run))

    return decorate


def settings_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds --config and the flags of these settings.

    The name of a section adds all of its settings.
    """

    def decorate(command: F) -> F:
        for setting in reversed(list(all_settings())):
            if setting.section in names or setting.name in names:
                command = _option(setting)(command)
        return click.option(
            "--config",
            "config_file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            envvar=CONFIG_VARIABLE,
            help=f"Configuration file (TOML).  [env: {CONFIG_VARIABLE}]",
        )(command)

    return decorate


def _option(setting: Setting) -> Callable[[F], F]:
    # click keeps the values as text. The settings check them, as they check files and variables.
    default = setting.kind.to_toml(setting.default)
    help_text = f"{setting.doc}  [default: {default}]"
    parameter = setting.name.replace(".", PARAMETER_DOT)
    is_switch = isinstance(setting.default, bool)
    flags = f"{setting.flag}/--no-{setting.flag[2:]}" if is_switch else setting.flag
    metavar = None if is_switch else setting.key.upper()
    return click.option(flags, parameter, metavar=metavar, default=None, help=help_text)


def read_seconds(kind: Seconds) -> Callable[[click.Context, click.Parameter, str], float]:
    """Return a callback of click for an option outside the settings."""

    def read(_context: click.Context, option: click.Parameter, text: str) -> float:
        try:
            return float(kind.check(kind.from_text(text)))
        except ValueError:
            problem = f"{option.opts[0]}: {text!r} is not allowed; use {kind.allowed}"
            raise CommandError(problem) from None

    return read


def load_settings(config_file: Path | None, flags: dict[str, str | bool | None]) -> Loaded:
    """Return the settings in effect. Raises `ConfigError`."""
    given = {k.replace(PARAMETER_DOT, "."): v for k, v in flags.items() if v is not None}
    return load(config_file, os.environ, given)
