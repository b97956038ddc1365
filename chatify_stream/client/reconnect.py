"""Whether a client comes back into its room, and when: decisions alone.

A session that ends says in its trailers whether coming back helps. One that was cut off, or ended
by somebody between client and server, says nothing; then the status decides.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import CallError, Status
from ..rooms.metadata import read_reconnect
from ..wire import Backoff

__all__ = [
    "LONGEST_RETRY_AFTER",
    "ROOM_BACKOFF",
    "STEADY",
    "Reconnection",
    "may_pass",
    "says_come_back",
]

ROOM_BACKOFF = Backoff(initial=0.25, factor=1.6, jitter=0.5, maximum=15.0)
"""Many clients lose their server together, so chance has a large part; and people wait."""

STEADY = 2.0
"""Seconds. After a session that lasted so long the next failure is the first again.

A longer time would take failures of one server after another for one that goes on.
"""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds that a server may ask for."""

RETRY_SPREAD = 0.25
"""By which part chance makes that longer: many may have been told the same."""

TRANSIENT = frozenset(
    {
        Status.ABORTED,
        Status.CANCELLED,  # not by this side: somebody between has reset the call
        Status.DEADLINE_EXCEEDED,
        Status.INTERNAL,  # as proxies say it of connections that broke
        Status.RESOURCE_EXHAUSTED,
        Status.UNAVAILABLE,
        Status.UNKNOWN,
    }
)
"""What may be over by the next attempt."""


def says_come_back(error: CallError) -> bool | None:
    """What the server says itself; None for nothing."""
    return read_reconnect(error.metadata)


def may_pass(error: CallError, *, has_tokens: bool) -> bool:
    """Whether coming back may help. `has_tokens`: the next session would have a new token."""
    if error.status is Status.UNAUTHENTICATED and not has_tokens:
        return False
    said = says_come_back(error)
    return error.status in TRANSIENT if said is None else said


def retry_after(error: CallError) -> float:
    """The seconds that the server wants to be left alone, within reason."""
    return min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)


class Reconnection:
    """The attempts of one client to come back."""

    def __init__(
        self, backoff: Backoff, chance: Callable[[], float], *, has_tokens: bool = False
    ) -> None:
        """`chance` gives a number from 0 to 1."""
        self._backoff = backoff
        self._chance = chance
        self._has_tokens = has_tokens
        self._wait: float | None = None
        self.attempt = 0
        """The number of the attempt that is due, of those in a row."""

    def delay(self, error: CallError, lasted: float) -> float | None:
        """Seconds until the next attempt; None when there is to be none.

        `error` has ended a session that `lasted` so many seconds, 0 for one that did not begin.
        """
        if not may_pass(error, has_tokens=self._has_tokens):
            return None
        if lasted >= STEADY:
            self.attempt, self._wait = 0, None
        self.attempt += 1
        if error.status is Status.UNAUTHENTICATED and self.attempt == 1:
            return retry_after(error)  # the token has expired, and a new one is all that it takes
        self._wait = self._backoff.wait(self._wait)
        chance = self._chance()
        wanted = min(retry_after(error) * (1 + RETRY_SPREAD * chance), LONGEST_RETRY_AFTER)
        return max(self._backoff.with_jitter(self._wait, chance), wanted)
