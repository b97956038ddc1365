"""Limits of what one peer may cost, with their defaults.

`Limits` and `UsageLimits` are the only declarations of each limit. The settings, the command line
and the reference documentation read the names, defaults, sentences and units from there. Exceeding
a limit is answered with a status, a RST_STREAM or a GOAWAY that gives the reason, and does not
affect other connections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from .errors import UsageError

MAX_MESSAGE_SIZE = 4 * 1024 * 1024
"""Default maximum size of a received message in bytes; the same as in other gRPC libraries."""

MAX_NUMBER = 2**31 - 1
"""HTTP/2 settings and windows hold at most 31 bits (RFC 9113, 6.5.2 and 6.9.1)."""


class Rate(NamedTuple):
    """A limit on events over time, enforced by a token bucket.

    At most `burst` events are allowed at once, and at most `per_second` a second after that.
    """

    burst: int
    per_second: float

    def __str__(self) -> str:
        return f"{self.burst}, then {self.per_second:g}/s"


def limit(default: Any, doc: str, *, unit: str = "") -> Any:
    """Return a dataclass field whose metadata hold one sentence and the unit of a whole number."""
    return field(default=default, metadata={"doc": doc, "unit": unit})


class _Checked:
    """Checks every field of a dataclass of limits by its type."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type] # the subclasses are dataclasses
            value, kind = getattr(self, each.name), str(each.type)
            if value is None and "None" in kind:
                continue
            if "Rate" in kind:
                if not isinstance(value, Rate):
                    raise UsageError(f"{each.name}: {value!r} is not a rate; pass a Rate")
                _check(f"{each.name}.burst", value.burst, whole=True)
                _check(f"{each.name}.per_second", value.per_second, whole=False)
            else:
                _check(each.name, value, whole="int" in kind)


def _check(name: str, value: Any, *, whole: bool) -> None:
    kinds = int if whole else (int, float)
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf or (whole and value > MAX_NUMBER):
        number = f"a whole number from 1 to {MAX_NUMBER}" if whole else "a number above 0"
        raise UsageError(f"{name}: {value!r} is not allowed; pass {number}")


@dataclass(frozen=True)
class Limits(_Checked):
    """Limits of each connection of a server. Those of a channel default to `CHANNEL_LIMITS`.

    Times are in seconds and sizes in bytes. None, where the type allows it, means no limit.
    Raises `UsageError` for a value that is not allowed.
    """

    max_message_size: int = limit(
        MAX_MESSAGE_SIZE, "Maximum size of a received message, in bytes.", unit="bytes"
    )
    """A call that receives a larger message ends with RESOURCE_EXHAUSTED."""

    max_header_list_size: int = limit(
        16 * 1024, "Maximum size of the headers of a call, in bytes.", unit="bytes"
    )
    """Counted as in RFC 9113, 6.5.2. A call with larger headers ends with RESOURCE_EXHAUSTED.

    Headers larger than four times this limit end the connection. A new call also ends with
    RESOURCE_EXHAUSTED if the headers of all open calls of its connection exceed 128 times this
    limit.
    """

    max_concurrent_streams: int = limit(1000, "Maximum number of open calls on one connection.")
    """Further calls are reset with REFUSED_STREAM."""

    max_connections: int | None = limit(20_000, "Maximum number of open connections.")
    """Further connections are closed immediately."""

    max_connections_per_address: int | None = limit(
        None, "Maximum number of open connections from one IP address."
    )
    """IPv6 addresses with the same first 64 bits count as one address."""

    connection_rate_per_address: Rate | None = limit(
        None, "Maximum rate of new connections from one IP address."
    )
    """IPv6 addresses with the same first 64 bits count as one address."""

    handshake_timeout: float | None = limit(
        10.0,
        "Seconds to complete the TLS handshake, and then to receive the HTTP/2 preface and "
        "SETTINGS.",
    )

    first_call_timeout: float | None = limit(
        60.0, "Seconds to receive the first call on a new connection."
    )
    """A connection without a call is drained."""

    keepalive_time: float | None = limit(
        30.0, "Seconds without received data after which a PING is sent."
    )

    keepalive_timeout: float = limit(
        10.0, "Seconds to wait for data after that PING before the connection is aborted."
    )

    write_timeout: float | None = limit(
        30.0, "Seconds without progress in sending after which a call or its connection is aborted."
    )
    """Applies to peers that stop reading. The call ends with RESOURCE_EXHAUSTED.

    If no call of the connection makes progress, the connection is aborted.
    """

    max_connection_age: float | None = limit(
        None, "Seconds after which a connection is drained, varied randomly by up to 10 %."
    )
    """The variation keeps connections from reconnecting all at once."""

    max_connection_age_grace: float = limit(
        30.0, "Seconds to let open calls finish on a connection that reached max_connection_age."
    )

    pings: Rate = limit(
        Rate(100, 10.0),
        "Maximum rate of PING frames with no message since the previous PING, per connection.",
    )

    resets: Rate = limit(
        Rate(1000, 100.0),
        "Maximum rate of calls, per connection, that the peer resets early or forces to be reset.",
    )
    """Counts calls that the peer resets within a second, or makes this side reset."""

    settings: Rate = limit(Rate(100, 10.0), "Maximum rate of SETTINGS frames, per connection.")

    glitches: Rate = limit(
        Rate(1000, 200.0),
        "Maximum rate of frames without effect, per connection, such as empty or unknown frames.",
    )
    """Counts empty frames, unknown types, PRIORITY, and frames for streams that the peer ended."""

    refusals: Rate = limit(
        Rate(2000, 200.0),
        "Maximum rate of rejected calls, per connection; above it, rejections are delayed.",
    )
    """Counts calls that end with one of these statuses: PERMISSION_DENIED, RESOURCE_EXHAUSTED,
    UNAUTHENTICATED, UNIMPLEMENTED.

    Above the rate their status is sent later, at that rate. The default allows the thousand
    sessions of a gateway's connection to be rejected twice at once. A client that opens calls
    without waiting for the status, until more than `max_concurrent_streams` are unanswered, is
    disconnected.
    """

    max_control_backlog: int = limit(
        256 * 1024,
        "Maximum size of buffered replies to control frames such as PING and SETTINGS, in bytes.",
        unit="bytes",
    )
    """Reading from the peer pauses at a quarter of it. Above it the connection is aborted."""

    @property
    def max_header_block_size(self) -> int:
        """Return the maximum size of a header block, encoded or decoded, in bytes.

        Every header block has to be decoded, because it may change the state of HPACK, so a
        larger one ends the connection.
        """
        return 4 * self.max_header_list_size


@dataclass(frozen=True)
class UsageLimits(_Checked):
    """Limits on one session, one user and one address. None stands for no limit.

    A session is one call, such as a Chat stream. The limits per user apply to authenticated users
    only: without an authenticator, user names are not verified, and only the limits per session and
    per address apply. IPv6 addresses with the same first 64 bits count as one address.

    A call that exceeds a limit ends RESOURCE_EXHAUSTED, with the trailer `retry-after-ms`. Raises
    `UsageError` for a value that is not allowed.
    """

    messages_per_session: Rate | None = limit(None, "Maximum rate of messages from one session.")
    messages_per_user: Rate | None = limit(
        None, "Maximum rate of messages from one authenticated user."
    )
    messages_per_address: Rate | None = limit(None, "Maximum rate of messages from one IP address.")
    bytes_per_session: Rate | None = limit(None, "Maximum rate of message bytes from one session.")
    """Counts bytes after decompression. A message larger than the burst is always rejected."""

    bytes_per_user: Rate | None = limit(
        None, "Maximum rate of message bytes from one authenticated user."
    )
    bytes_per_address: Rate | None = limit(
        None, "Maximum rate of message bytes from one IP address."
    )
    joins_per_user: Rate | None = limit(
        Rate(200, 20.0), "Maximum rate of room joins by one authenticated user."
    )
    """The default allows a user in the maximum number of rooms to rejoin all of them at once."""

    joins_per_address: Rate | None = limit(None, "Maximum rate of room joins from one IP address.")
    rooms_per_user: int | None = limit(
        100, "Maximum number of rooms that one authenticated user is in."
    )
    rooms_per_address: int | None = limit(
        None, "Maximum number of rooms joined from one IP address."
    )
    sessions_per_user: int | None = limit(
        1000, "Maximum number of open sessions of one authenticated user, in rooms or not."
    )
    sessions_per_address: int | None = limit(
        None, "Maximum number of open sessions from one IP address."
    )

    def has_any(self, kind: str) -> bool:
        """Return True if there is a limit per `kind`: "session", "user" or "address"."""
        names = [each.name for each in fields(UsageLimits) if each.name.endswith(f"_per_{kind}")]
        return any(getattr(self, name) is not None for name in names)


CHANNEL_LIMITS = Limits(
    first_call_timeout=None,
    # gRPC servers treat a client that pings more than once every five minutes as an attacker.
    keepalive_time=None,
    # A caller that does not want to wait sets a deadline.
    write_timeout=None,
)
"""Default limits of a channel's connections."""

NO_LIMITS = UsageLimits(**{each.name: None for each in fields(UsageLimits)})
