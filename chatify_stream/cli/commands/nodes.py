"""`chatify-stream nodes`: list the servers that share the rooms."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict

import click

from ...messages.chatify.rooms import v1
from ..output import Row, aligned, safe_json, tab_separated
from ..rooms_api import RoomsClient, check_missing, with_rooms

HEAD = (
    *("HOST", "ADDRESS", "PID", "VERSION", "UP", "SESSIONS", "ROOMS"),
    *("CPU", "LAG", "PUBLISHED/S", "DELIVERED/S", "STATE"),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@with_rooms
async def nodes(calls: RoomsClient, as_json: bool) -> None:
    """List the servers that share the rooms.

    The list includes the server that is asked. For each server: host, address, process ID, version,
    uptime, sessions and rooms; and for the last seconds the share of one CPU core, the maximum lag
    of the event loop, and messages a second. Output to a file or pipe is separated by tabs.
    Requires a server started with --rooms-service.

    Exit status: 0 all servers answered; 2 wrong flags or configuration; 3 the --timeout passed;
    4 the server cannot be reached; 5 the server answered with an error, or another server did not
    answer; 130 interrupted.
    """
    answer = await calls.list_nodes(v1.ListNodesRequest())
    click.echo("\n".join(_lines(answer.nodes, as_json=as_json)))
    check_missing(answer.silent)


def _lines(nodes: list[v1.Node], *, as_json: bool) -> list[str]:
    if as_json:
        return [safe_json(asdict(node)) for node in nodes]
    rows = [_row(node, time.time()) for node in nodes]
    return aligned(rows, HEAD) if sys.stdout.isatty() else tab_separated(rows)


def _row(node: v1.Node, now: float) -> Row:
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
    """Return a duration in its largest unit; 0s if the clocks of two machines differ."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
