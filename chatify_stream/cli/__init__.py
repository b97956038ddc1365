"""The command `chatify-stream`; one module a subcommand."""

from __future__ import annotations

import io
import sys

import click

from .._version import __version__
from .chat import chat
from .commands.check import check
from .commands.config import config
from .commands.gateway import gateway
from .commands.nodes import nodes
from .commands.rooms import rooms
from .commands.send import send
from .commands.serve import serve
from .commands.token import token
from .commands.top import top

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chatify-stream")
def main() -> None:
    """Chatify Stream: a real-time chat stream server in pure Python."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that is not UTF-8 gets escapes for what it cannot show.
            stream.reconfigure(errors="backslashreplace")


for command in (serve, check, top, send, chat, rooms, nodes, gateway, config, token):
    main.add_command(command)
