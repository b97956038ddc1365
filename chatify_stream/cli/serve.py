"""`chatify-stream serve`: runs the chat server."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import click

from ..address import Address
from ..config import Settings
from ..server import ChatServer
from ..template import reply_template
from .assembly import limits_of, rooms_of
from .exits import reporting_errors
from .logs import configure_logging
from .options import SERVE, load_settings, settings_options
from .stopping import serve_until_stopped

__all__ = ["serve"]

OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = logging.getLogger(__name__)


@click.command()
@settings_options(*SERVE)
@reporting_errors
def serve(config_file: Path | None, **flags: Any) -> None:
    """Run the chat server until Ctrl-C or SIGTERM.

    Prints "listening on HOST:PORT" once it accepts connections. Most limits, and how much rooms
    keep, have no flags; `chatify-stream config init` lists them.
    """
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)
    asyncio.run(_serve(settings))


def _collect_garbage_less_often() -> None:
    """Python looks for cycles whenever there are 700 new objects, as thousands of streams have.

    That doubles the cost of a message; and a stream that ends leaves hardly a cycle behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


async def _serve(settings: Settings) -> None:
    ours = settings.server
    server = ChatServer(
        reply=reply_template(ours.reply),
        paths=ours.paths,
        reflection=ours.reflection,
        limits=limits_of(settings.limits),
        rooms=rooms_of(settings.rooms),
    )
    _collect_garbage_less_often()
    rooms = settings.rooms

    def also() -> list[str]:
        if not (rooms.enabled and rooms.service and rooms.port is not None):
            return []
        return [f"the rooms service on {Address(rooms.host, server.rooms_port)}"]

    await serve_until_stopped(server, ours.host, ours.port, ours.grace, also)
    log.info("stopped")
