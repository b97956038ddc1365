"""`chatify-stream config`: show, check and write configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...config import load, render_default, render_effective
from ...errors import ConfigError
from ..exit_codes import CommandError, report_errors
from ..options import SERVE, load_settings, settings_options


@click.group()
def config() -> None:
    """Show, check and write configurations."""


@config.command()
@settings_options(*SERVE)
@report_errors
def show(config_file: Path | None, **flags: Any) -> None:
    """Print the configuration in effect, with the source of each value.

    Accepts the flags of `serve`.
    """
    click.echo(render_effective(load_settings(config_file, flags)), nl=False)


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration file and print every problem in it."""
    try:
        load(file)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        count = len(error.problems)
        raise CommandError(f"{count} problem{'s' if count > 1 else ''} found") from error
    click.echo(f"{file}: no problems")


@config.command()
def init() -> None:
    """Print a configuration file with all defaults.

    The file explains every setting.
    """
    click.echo(render_default(), nl=False)
