"""When a connection has to show that it lives, and what happens when it does not.

No I/O and no clock: the owner tells what happens and when, asks at the time that it was told, and
does what it is told. Times are in seconds of one monotonic clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator

from ..limits import Limits

__all__ = ["Liveness", "Verdict"]


LATE = 1.0
"""Seconds: an event loop that comes later than that to what is due is overloaded."""


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


class Liveness:
    """Decides for one connection."""

    __slots__ = (
        "_blocked_since",
        "_heard_at",
        "_is_called",
        "_is_greeted",
        "_limits",
        "_old_at",
        "_opened_at",
        "_over_at",
        "_pinged_at",
        "_unsent",
    )

    def __init__(self, limits: Limits, now: float, jitter: float = 1.0) -> None:
        """`jitter` is a factor for the age that the connection may reach."""
        self._limits = limits
        self._opened_at = self._heard_at = now
        self._is_greeted = False
        self._is_called = False
        self._pinged_at: float | None = None
        self._blocked_since: float | None = None
        self._unsent = 0
        age = limits.max_connection_age
        self._old_at = math.inf if age is None else now + age * jitter
        self._over_at = math.inf

    def greeted(self) -> None:
        """The peer has sent its preface and SETTINGS."""
        self._is_greeted = True

    def called(self) -> None:
        """The peer has opened a call."""
        self._is_called = True

    def heard(self, now: float) -> bool:
        """The peer has sent something; True when that was waited for."""
        self._heard_at = now
        if self._pinged_at is None:
            return False
        self._pinged_at = None
        return True

    def blocked(self, now: float, unsent: int) -> None:
        """So many bytes wait for the peer to read."""
        self._blocked_since = now
        self._unsent = unsent

    def unblocked(self) -> None:
        """The peer has read."""
        self._blocked_since = None

    def verdict(self, now: float, unsent: int) -> Verdict:
        """What is to be done now, when `unsent` bytes wait for the peer to read.

        A verdict is given once; PING once a silence.
        """
        if self._blocked_since is not None and unsent < self._unsent:
            self.blocked(now, unsent)
        at, verdict = min(self._deadlines(), key=lambda deadline: deadline[0])
        if at > now:
            return Verdict.KEEP
        if now > at + LATE and verdict in (Verdict.KEEPALIVE_TIMEOUT, Verdict.HANDSHAKE_TIMEOUT):
            # Nobody has looked in time: what the peer has sent may not have been read either.
            if verdict is Verdict.KEEPALIVE_TIMEOUT:
                self._pinged_at = now
            else:
                self._opened_at = now
            return Verdict.KEEP
        if verdict is Verdict.PING:
            self._pinged_at = now
        elif verdict is Verdict.DRAIN_IDLE:
            self._is_called = True
        elif verdict is Verdict.DRAIN_OLD:
            self._old_at, self._over_at = math.inf, now + self._limits.max_connection_age_grace
        elif verdict is Verdict.END_OLD:
            self._over_at = math.inf
        return verdict

    @property
    def due_at(self) -> float:
        """When the next verdict may be due; infinity for never."""
        return min(at for at, _ in self._deadlines())

    def _deadlines(self) -> Iterator[tuple[float, Verdict]]:
        limits = self._limits
        if not self._is_greeted:
            yield _after(self._opened_at, limits.handshake_timeout), Verdict.HANDSHAKE_TIMEOUT
        elif self._pinged_at is not None:
            yield self._pinged_at + limits.keepalive_timeout, Verdict.KEEPALIVE_TIMEOUT
        else:
            yield _after(self._heard_at, limits.keepalive_time), Verdict.PING
        if not self._is_called:
            yield _after(self._opened_at, limits.first_call_timeout), Verdict.DRAIN_IDLE
        if self._blocked_since is not None:
            yield _after(self._blocked_since, limits.write_timeout), Verdict.WRITE_TIMEOUT
        yield self._old_at, Verdict.DRAIN_OLD
        yield self._over_at, Verdict.END_OLD


def _after(start: float, timeout: float | None) -> float:
    return math.inf if timeout is None else start + timeout
