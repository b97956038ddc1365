"""A group of commands that imports a subcommand only when it is used.

Starting a server imports much more than `chatify-stream --version` needs. The names and one-line
descriptions of the subcommands are therefore declared beside the group, and `--help` of the group
prints them without importing any subcommand.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click


class Subcommand(NamedTuple):
    """The name of a subcommand, and the first sentence of its help.

    The command is the attribute `name` of the module `name` in the package of its group.
    """

    name: str
    short_help: str


class LazyGroup(click.Group):
    """A `click.Group` whose subcommands are imported on first use."""

    def __init__(
        self, *args: Any, subcommands: Sequence[Subcommand], package: str, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._subcommands = {each.name: each for each in subcommands}
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands, in the order of the table."""
        return list(self._subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand and return it. Return None for an unknown name."""
        if cmd_name not in self._subcommands:
            return None
        command = getattr(import_module(f"{self._package}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table names only commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._subcommands.values()))
