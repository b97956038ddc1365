"""Decide when a connection is pinged, drained or aborted. No I/O, no clock.

The owner reports events with their time, calls `check` at `due_at` and carries out the verdict.
Times are in seconds of one monotonic clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field

from ...limits import Limits

OVERLOAD_DELAY = 1.0
"""Seconds. The event loop counts as overloaded when a check runs later than that."""


class Verdict(enum.Enum):
    """The action that is due on a connection.

    `ended_by` is the reason as the statistics and metrics name it. Dashboards hold these names, so
    they do not change with the names of the members. `text` is for the log.
    """

    KEEP = ("", "nothing is due")
    PING = ("", "the peer is silent")
    DRAIN_IDLE = ("no_calls", "no call within first_call_timeout")
    DRAIN_OLD = ("max_age", "older than max_connection_age")
    END_OLD = ("max_age", "calls still open after max_connection_age_grace")
    HANDSHAKE_TIMEOUT = ("cut_ungreeted", "no HTTP/2 preface and SETTINGS within handshake_timeout")
    KEEPALIVE_TIMEOUT = ("cut_dead", "no answer to a PING within keepalive_timeout")
    WRITE_TIMEOUT = ("cut_stalled", "the peer has read nothing within write_timeout")

    def __init__(self, ended_by: str, text: str) -> None:
        self.ended_by = ended_by
        self.text = text


@dataclass(eq=False, repr=False, slots=True)
class Liveness:
    _limits: Limits
    _opened_at: float
    jitter: InitVar[float] = 1.0
    """A factor for the maximum age of the connection."""
    received_at: float = field(init=False)
    pinged_at: float | None = None
    _is_handshake_done: bool = False
    _has_call: bool = False
    _blocked_since: float | None = None
    _unacked_bytes: int = 0
    _drain_at: float = math.inf
    _end_at: float = math.inf

    def __post_init__(self, jitter: float) -> None:
        self.received_at = self._opened_at
        if self._limits.max_connection_age is not None:
            self._drain_at = self._opened_at + self._limits.max_connection_age * jitter

    def handshake_done(self) -> None:
        """Report that the peer has sent its preface and SETTINGS."""
        self._is_handshake_done = True

    def call_opened(self) -> None:
        self._has_call = True

    def data_received(self, now: float) -> None:
        """Report received data, which also answers a PING."""
        self.received_at = now
        self.pinged_at = None

    def write_blocked(self, now: float, unacked_bytes: int) -> None:
        """Report that data waits for the peer to read."""
        self._blocked_since = now
        self._unacked_bytes = unacked_bytes

    def write_unblocked(self) -> None:
        """Report that the peer has caught up."""
        self._blocked_since = None

    def check(self, now: float, unacked_bytes: int) -> Verdict:
        """Return the action that is due, with `unacked_bytes` waiting for the peer to read.

        Each verdict is returned once; PING once for each period of silence.
        """
        if self._blocked_since is not None and unacked_bytes < self._unacked_bytes:
            self.write_blocked(now, unacked_bytes)
        at, verdict = min(self._deadlines(), key=lambda deadline: deadline[0])
        if at > now:
            return Verdict.KEEP
        # If the check is late, the loop may not have read yet what the peer sent in time.
        is_overloaded = now > at + OVERLOAD_DELAY
        match verdict:
            case Verdict.KEEPALIVE_TIMEOUT if is_overloaded:
                self.pinged_at = now
                return Verdict.KEEP
            case Verdict.HANDSHAKE_TIMEOUT if is_overloaded:
                self._opened_at = now
                return Verdict.KEEP
            case Verdict.PING:
                self.pinged_at = now
            case Verdict.DRAIN_IDLE:
                self._has_call = True
            case Verdict.DRAIN_OLD:
                self._drain_at, self._end_at = math.inf, now + self._limits.max_connection_age_grace
            case Verdict.END_OLD:
                self._end_at = math.inf
        return verdict

    @property
    def due_at(self) -> float:
        """The time at which to call `check` next; infinity for never."""
        return min(at for at, _ in self._deadlines())

    def _deadlines(self) -> Iterator[tuple[float, Verdict]]:
        limits = self._limits
        if not self._is_handshake_done:
            yield _after(self._opened_at, limits.handshake_timeout), Verdict.HANDSHAKE_TIMEOUT
        elif self.pinged_at is not None:
            yield self.pinged_at + limits.keepalive_timeout, Verdict.KEEPALIVE_TIMEOUT
        else:
            yield _after(self.received_at, limits.keepalive_time), Verdict.PING
        if not self._has_call:
            yield _after(self._opened_at, limits.first_call_timeout), Verdict.DRAIN_IDLE
        if self._blocked_since is not None:
            yield _after(self._blocked_since, limits.write_timeout), Verdict.WRITE_TIMEOUT
        yield self._drain_at, Verdict.DRAIN_OLD
        yield self._end_at, Verdict.END_OLD


def _after(start: float, timeout: float | None) -> float:
    return math.inf if timeout is None else start + timeout
