"""The command `chatify-stream`.

Importing this package imports no subcommand: each one is loaded when it runs.
"""

from __future__ import annotations

import io
import sys

import click

from .._version import __version__
from .lazy_group import LazyGroup, Subcommand

__all__ = ["main"]

SUBCOMMANDS = (
    Subcommand("serve", "Run the chat server until Ctrl-C or SIGTERM."),
    Subcommand("check", "Check the health of a server (grpc.health.v1)."),
    Subcommand("top", "Show live metrics of a server."),
    Subcommand("send", "Send each TEXT over one Chat stream and print each reply."),
    Subcommand("chat", "Chat with others in a room."),
    Subcommand("rooms", "List, read and moderate the rooms of a server."),
    Subcommand("nodes", "List the servers that share the rooms."),
    Subcommand("gateway", "Run the HTTP gateway until Ctrl-C or SIGTERM."),
    Subcommand("config", "Show, check and write configurations."),
    Subcommand("token", "Create and inspect tokens, for development."),
)


@click.group(
    cls=LazyGroup,
    subcommands=SUBCOMMANDS,
    package=f"{__name__}.commands",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="chatify-stream")
def main() -> None:
    """Chatify Stream: a real-time chat stream server in pure Python."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that is not UTF-8 receives escapes for characters it cannot show.
            stream.reconfigure(errors="backslashreplace")
