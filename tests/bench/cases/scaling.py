"""What a message and a stream cost our server, with few streams and with many."""

from __future__ import annotations

from .case import Case

__all__ = ["SCALING", "SCALING_KEY"]

SCALING_KEY = "scaling"
MOST_STREAMS = 1000
"""How many streams a connection may have, with our server as with many others."""


def _scaling(streams: int) -> Case:
    connections = -(-streams // MOST_STREAMS)
    flags = ("--connections", f"{connections}", "--streams", f"{streams // connections}")
    return Case(
        *(SCALING_KEY, f"streams: {streams:,}", "µs a message"),
        ("pingpong", *flags),
        "server_us_per_message",
        less_is_better=True,
        who="our server",
    )


SCALING = tuple(_scaling(streams) for streams in (1, 10, 100, 1000, 5000))
"""One message underway on each stream: the server's time for each, and the memory of a stream."""
