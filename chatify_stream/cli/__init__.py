"""The command `chatify-stream`.

Starting a server imports much more than `--version` needs. A subcommand is therefore imported when
it runs, and `--help` prints the table of subcommands below without importing any of them.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from .._version import __version__

__all__ = ["main"]

SUBCOMMANDS = {
    "serve": "Run the chat server until Ctrl-C or SIGTERM.",
    "check": "Check the health of a server (grpc.health.v1).",
    "top": "Show live metrics of a server.",
    "send": "Send each TEXT over one Chat stream and print each reply.",
    "chat": "Chat with others in a room.",
    "rooms": "List, read and moderate the rooms of a server.",
    "nodes": "List the servers that share the rooms.",
    "gateway": "Run the HTTP gateway until Ctrl-C or SIGTERM.",
    "config": "Show, check and write configurations.",
    "token": "Create and inspect tokens, for development.",
}
"""The first sentence of the help of each subcommand, which is `commands.NAME.NAME`."""


class _LazyGroup(click.Group):
    """A group whose subcommands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command = getattr(import_module(f".commands.{cmd_name}", __name__), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table names only commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chatify-stream")
def main() -> None:
    """Chatify Stream: a real-time chat stream server in pure Python."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that is not UTF-8 receives escapes for characters it cannot show.
            stream.reconfigure(errors="backslashreplace")
