"""`chatify-stream serve`: runs the chat server."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from ..config import ServerSettings
from ..server import ChatServer
from ..template import reply_template
from ..wire import Limits
from .exits import reporting_errors
from .logs import configure_logging
from .options import load_settings, settings_options
from .stopping import serve_until_stopped

__all__ = ["serve"]

log = logging.getLogger(__name__)


@click.command()
@settings_options("server", "log")
@reporting_errors
def serve(config_file: Path | None, **flags: Any) -> None:
    """Run the chat server until Ctrl-C or SIGTERM.

    Prints "listening on HOST:PORT" once it accepts connections.
    """
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)
    asyncio.run(_serve(settings.server))


async def _serve(settings: ServerSettings) -> None:
    server = ChatServer(
        reply=reply_template(settings.reply),
        paths=settings.paths,
        reflection=settings.reflection,
        limits=Limits(max_message_size=settings.max_message_size),
    )
    await serve_until_stopped(server, settings.host, settings.port, settings.grace)
    log.info("stopped")
