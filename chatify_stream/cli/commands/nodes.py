"""`chatify-stream nodes`: the servers that share the rooms, and what they do."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import click

from ..exit_codes import CALL_FAILED, CommandError, reporting_errors
from ..logs.setup import configure_logging
from ..options import LOG, load_settings, settings_options
from ..output import Row, aligned, safe_json, tab_separated
from ..rooms_api import NodeEntry, calling_rooms, silence

__all__ = ["nodes"]

HEAD = (
    *("HOST", "ADDRESS", "PID", "VERSION", "UP", "SESSIONS", "ROOMS"),
    *("CPU", "LAG", "PUBLISHED/S", "DELIVERED/S", "STATE"),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@settings_options("client", *LOG)
@reporting_errors
def nodes(as_json: bool, config_file: Path | None, **flags: Any) -> None:
    """Print the servers that share the rooms of a server, itself among them.

    For each: its host, address, process and version, since when it is up, its sessions and their
    rooms; of the last seconds the share of a core, the longest lag of its event loop, and messages
    a second. Into a file or pipe they go with tabs between them. The server has to serve rooms to
    operators: chatify-stream serve --rooms-service.

    Exit status: 0 all have answered; 2 wrong flags or configuration; 3 the --timeout passed; 4 the
    server cannot be reached; 5 it answered with an error, or another server did not answer; 130
    interrupted.
    """
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)

    async def ask() -> tuple[list[NodeEntry], int]:
        async with calling_rooms(settings.client) as calls:
            return await calls.nodes()

    entries, silent = asyncio.run(ask())
    click.echo("\n".join(_lines(entries, as_json=as_json)))
    if silent:
        raise CommandError(silence(silent), CALL_FAILED)


def _lines(entries: list[NodeEntry], *, as_json: bool) -> list[str]:
    if as_json:
        return [safe_json(entry._asdict()) for entry in entries]
    rows = [_row(entry, time.time()) for entry in entries]
    return aligned(rows, HEAD) if sys.stdout.isatty() else tab_separated(rows)


def _row(node: NodeEntry, now: float) -> Row:
    return (
        node.host,
        node.address or "-",
        node.pid,
        node.version,
        _duration(now - node.started_at_ms / 1000),
        node.sessions,
        node.rooms,
        f"{100 * node.cpu:.0f}%",
        f"{1000 * node.loop_lag:.0f}ms",
        f"{node.published_per_second:.1f}",
        f"{node.delivered_per_second:.1f}",
        "draining" if node.draining else "serving",
    )


def _duration(seconds: float) -> str:
    """In its largest unit; clocks of two machines may differ."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
