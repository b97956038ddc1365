"""Decides whether and when a room client reconnects. No I/O.

A session that the server ends says in its trailers whether reconnecting helps. A session that was
cut, or that a proxy ended, says nothing; then the status decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CallError, Status
from ..rooms.metadata import read_reconnect
from ..wire import Backoff

ROOM_BACKOFF = Backoff(initial=0.25, factor=1.6, jitter=0.5, maximum=15.0)
"""Many clients lose their server at the same time, so the jitter is large. People are waiting, so
the maximum is small."""

STABLE_SECONDS = 2.0
"""Duration of a session after which the backoff starts over.

With a longer duration, failures of several servers in turn would count as one series.
"""

MAX_RETRY_AFTER = 3600.0
"""The longest wait in seconds that a server may ask for."""

RETRY_SPREAD = 0.25
"""Random part that is added to the server's wait: it may have told many clients the same."""

TRANSIENT = frozenset(
    {
        Status.ABORTED,
        Status.CANCELLED,  # a proxy has reset the call; this side did not cancel it
        Status.DEADLINE_EXCEEDED,
        Status.INTERNAL,  # proxies report broken connections like this
        Status.RESOURCE_EXHAUSTED,
        Status.UNAVAILABLE,
        Status.UNKNOWN,
    }
)
"""Statuses after which another attempt may succeed."""


def server_says_reconnect(error: CallError) -> bool | None:
    """Return whether the server says that reconnecting helps, or None if it says nothing."""
    return read_reconnect(error.metadata)


def is_retryable(error: CallError, *, has_tokens: bool) -> bool:
    """Return whether another attempt may succeed. `has_tokens`: it will use a new token."""
    if error.status is Status.UNAUTHENTICATED and not has_tokens:
        return False
    advice = server_says_reconnect(error)
    return error.status in TRANSIENT if advice is None else advice


@dataclass(eq=False, repr=False)
class Reconnection:
    """Counts the failed attempts of one client and computes the waits between them."""

    _backoff: Backoff
    _chance: Callable[[], float]
    has_tokens: bool = False
    attempt: int = 0
    """The number of the next attempt in the current series."""
    _wait: float | None = None

    def delay(self, error: CallError, duration: float) -> float | None:
        """Return the seconds until the next attempt, or None if the client must not retry.

        `error` ended a session that lasted `duration` seconds, 0 if the session did not begin.
        """
        if not is_retryable(error, has_tokens=self.has_tokens):
            return None
        if duration >= STABLE_SECONDS:
            self.attempt, self._wait = 0, None
        self.attempt += 1
        asked = min(error.retry_after or 0.0, MAX_RETRY_AFTER)
        if error.status is Status.UNAUTHENTICATED and self.attempt == 1:
            return asked  # the token has expired; a new token is enough
        self._wait = self._backoff.wait(self._wait)
        chance = self._chance()
        spread = min(asked * (1 + RETRY_SPREAD * chance), MAX_RETRY_AFTER)
        return max(self._backoff.with_jitter(self._wait, chance), spread)
