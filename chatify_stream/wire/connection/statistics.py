"""Snapshots of the counters of servers, connections and streams.

Sizes are in bytes, times in seconds. Counters start at 0 with their owner and only grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StreamStatistics:
    """Counters of the stream of one call."""

    messages_received: int
    """Messages that were read from the stream."""
    messages_sent: int
    bytes_waiting: int
    """Size of received messages that were not read yet."""


@dataclass(frozen=True)
class ConnectionStatistics:
    """Counters of one connection."""

    peer: str | None
    """The IP address of the peer; None on a Unix socket."""
    age: float
    is_draining: bool
    streams: int
    """Open streams."""
    streams_opened: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    """Bytes passed to the transport, which may still buffer them. Excludes the overhead of TLS."""
    bytes_unsent: int
    """Bytes that wait for the peer to read."""


@dataclass(frozen=True)
class ServerStatistics:
    """Counters of a server, over all open and closed connections."""

    connections: int
    """Open connections."""
    connections_opened: int
    connections_refused: int
    """Connections that were rejected by a limit."""
    connections_refused_by: Mapping[str, int]
    """Rejected connections by the name of the limit in `Limits`."""
    connections_ended: Mapping[str, int]
    """Connections that the server ended, by reason: a limit or an error of the peer."""
    calls: int
    """Open calls."""
    calls_opened: int
    calls_ended: Mapping[str, int]
    """Ended calls by the name of the status that the server sent, or RESET without a status.

    Plain HTTP pages are counted by their status, such as `HTTP 200`.
    """
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    """The sum of `bytes_sent` of all connections."""


@dataclass
class Totals:
    """Sums over connections. Each connection adds its counters."""

    streams_opened: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
