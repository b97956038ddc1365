"""What a server, a connection and a stream have done so far, as numbers at one moment.

Sizes are in bytes, times in seconds. Counters only grow; they begin with 0 when their owner does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ConnectionStatistics", "ServerStatistics", "StreamStatistics", "Totals"]


@dataclass(frozen=True)
class StreamStatistics:
    """Of the stream of one call."""

    messages_received: int
    """Those that were taken out of the stream."""

    messages_sent: int

    bytes_waiting: int
    """Of messages that have come and that nobody has taken yet."""


@dataclass(frozen=True)
class ConnectionStatistics:
    """Of one connection."""

    peer: str | None
    """The IP address at its other end."""

    age: float
    is_draining: bool

    streams: int
    """Those that are open."""

    streams_opened: int
    messages_received: int
    messages_sent: int
    bytes_received: int

    bytes_sent: int
    """Those that were handed to the transport, which may still wait in it; without TLS's own."""

    bytes_unsent: int
    """Which wait for the peer to read."""


@dataclass(frozen=True)
class ServerStatistics:
    """Of a server: of all its connections, those that are closed included."""

    connections: int
    """Those that are open."""

    connections_opened: int

    connections_refused: int
    """For which there was no room."""

    connections_refused_by: Mapping[str, int]
    """The same, by the name of the limit, as in `Limits`."""

    connections_ended: Mapping[str, int]
    """By the reason why the server ended them: a limit, or a fault of the peer."""

    calls: int
    """Those that are open."""

    calls_opened: int

    calls_ended: Mapping[str, int]
    """By the name of the status that this side gave them; RESET for those without one.

    Plain pages are there by their status, such as `HTTP 200`.
    """

    messages_received: int
    messages_sent: int
    bytes_received: int

    bytes_sent: int
    """As each connection counts them."""


@dataclass
class Totals:
    """Sums over connections, to which each adds what it has done."""

    streams_opened: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
