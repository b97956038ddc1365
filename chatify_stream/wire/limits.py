"""What one peer may cost: every bound of a connection, and what it is by default.

Times are in seconds, sizes in bytes; None stands for no limit. Past a limit the peer is told, by
a status, a RST_STREAM or a GOAWAY with the reason, and no other connection notices.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError

__all__ = ["CHANNEL_LIMITS", "MAX_MESSAGE_SIZE", "Limits", "Rate", "check_limits"]

MAX_MESSAGE_SIZE = 4 * 1024 * 1024
"""Bytes of one message, unless configured otherwise; gRPC's usual default."""

MOST = 2**31 - 1
"""HTTP/2 has no use for larger numbers, and cannot tell the peer of much larger ones."""


@dataclass(frozen=True)
class Rate:
    """So many at once, and from then on so many a second."""

    burst: int
    per_second: float

    def __str__(self) -> str:
        return f"{self.burst}, then {self.per_second:g}/s"


@dataclass(frozen=True)
class Limits:
    """The limits of a server's connections; those of a channel are `CHANNEL_LIMITS`.

    Raises `UsageError` for a value that is no limit.
    """

    max_message_size: int = MAX_MESSAGE_SIZE
    """Of a message that is received; past it the call ends RESOURCE_EXHAUSTED."""

    max_header_list_size: int = 16 * 1024
    """Of the headers of a call (RFC 9113, 6.5.2); past it the call ends RESOURCE_EXHAUSTED.

    Of four times as much its connection is ended, which has to decode them all. The open calls of
    a connection have no more than 128 times as much, or the next one ends so.
    """

    max_concurrent_streams: int = 1000
    """On one connection; one more is REFUSED_STREAM."""

    max_connections: int | None = 20_000
    """Of a server; one more is closed as soon as it is accepted."""

    max_connections_per_address: int | None = None
    """As `max_connections`, from one IP address; of IPv6, from one block of 64 bits."""

    connection_rate_per_address: Rate | None = None
    """Connections from one such address; one more is closed as soon as it is accepted."""

    handshake_timeout: float | None = 10.0
    """For TLS, and then for the preface and SETTINGS."""

    first_call_timeout: float | None = 60.0
    """For the first call of a connection; without one it is closed as in a drain."""

    keepalive_time: float | None = 30.0
    """Silence after which the peer is sent a PING."""

    keepalive_timeout: float = 10.0
    """For the peer to say anything after that PING; a dead one is cut off."""

    write_timeout: float | None = 30.0
    """For a peer that does not read: a call for which nothing can be sent ends RESOURCE_EXHAUSTED.

    When nothing can be sent to any of its calls, its connection is cut off.
    """

    max_connection_age: float | None = None
    """After which a connection is drained, give or take a tenth, so that not all go at once."""

    max_connection_age_grace: float = 30.0
    """For the calls of a connection that is too old."""

    pings: Rate = Rate(100, 10.0)
    """PING frames with no messages between them."""

    resets: Rate = Rate(1000, 100.0)
    """Calls that the peer resets within a second, and streams that it makes this side reset."""

    settings: Rate = Rate(100, 10.0)
    """SETTINGS frames."""

    glitches: Rate = Rate(1000, 200.0)
    """Frames that do nothing: empty, unknown, PRIORITY, of streams that the peer ended."""

    refusals: Rate = Rate(2000, 200.0)
    """Calls that end PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED or UNIMPLEMENTED.

    Past it their status is sent later, at that rate. The default lets the thousand sessions of a
    gateway's connection be refused twice at once. Who makes calls without waiting for it, until
    more than `max_concurrent_streams` are owed, is cut off.
    """

    max_control_backlog: int = 256 * 1024
    """Answers (to PING, SETTINGS and the like) that wait for a peer which does not read.

    From a quarter of it on the peer is not read from; past it the connection is cut off.
    """

    @property
    def most_headers(self) -> int:
        """Of one header block, encoded or decoded, whatever is done with it."""
        return 4 * self.max_header_list_size

    def __post_init__(self) -> None:
        check_limits(self)


def check_limits(limits: Any) -> None:
    """Checks every field of a dataclass of limits, by its type. Raises `UsageError`."""
    for field in dataclasses.fields(limits):
        value, kind = getattr(limits, field.name), str(field.type)
        if value is None and "None" in kind:
            continue
        if "Rate" in kind:
            if not isinstance(value, Rate):
                raise UsageError(f"the limit {field.name} has to be a Rate, not {value!r}")
            _check(f"{field.name}.burst", value.burst, whole=True)
            _check(f"{field.name}.per_second", value.per_second, whole=False)
        else:
            _check(field.name, value, whole="int" in kind)


def _check(name: str, value: Any, *, whole: bool) -> None:
    kinds = int if whole else (int, float)
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf or (whole and value > MOST):
        number = f"a whole number from 1 to {MOST}" if whole else "a number above 0"
        raise UsageError(f"the limit {name} has to be {number}, not {value!r}")


CHANNEL_LIMITS = Limits(
    first_call_timeout=None,
    # gRPC's servers take a client that pings more than every five minutes for an attacker.
    keepalive_time=None,
    # A caller sets a deadline when it does not want to wait.
    write_timeout=None,
)
"""The limits of a channel's connections, unless others are passed to it."""
