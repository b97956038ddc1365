"""Slow a peer whose calls are refused one after the other. No I/O, no clock.

A refusal costs little, but the peer may repeat its call at once, without end. Above a rate the
statuses of its refused calls are therefore sent later, at that rate. The connection is neither
closed nor read more slowly: it may belong to a gateway or proxy with a thousand other users. Only
the refused call waits. It stays open meanwhile, so a client that respects `max_concurrent_streams`
cannot open more calls.

Rules: each refused call counts, also one that the peer resets. A peer that waits for its answers
never has more refusals pending than it may have open calls. A peer with more pending refusals does
not wait, and is disconnected.
"""

from __future__ import annotations

from grpclib.const import Status

from ..limits import Limits
from ..token_bucket import TokenBucket

__all__ = ["PACED_STATUSES", "RefusalPacing"]

PACED_STATUSES = frozenset(
    {
        Status.PERMISSION_DENIED,
        Status.RESOURCE_EXHAUSTED,
        Status.UNAUTHENTICATED,
        Status.UNIMPLEMENTED,
    }
)
"""The statuses of a refused call.

INVALID_ARGUMENT, NOT_FOUND and the like are answers; UNAVAILABLE is not the client's fault.
"""


class RefusalPacing:
    """The refused calls of one connection."""

    __slots__ = ("_bucket", "_max_pending", "_per_second")

    def __init__(self, limits: Limits, now: float) -> None:
        self._bucket = TokenBucket(limits.refusals, now)
        self._per_second = limits.refusals.per_second
        self._max_pending = limits.max_concurrent_streams

    def delay(self, now: float) -> float:
        """Count a refused call. Return the seconds until its status may be sent."""
        self._bucket.available(now)
        self._bucket.spend(1)
        return self._bucket.wait(now, 0)

    def is_exceeded(self, now: float) -> bool:
        """Return whether more refusals are pending than a peer that waits can have."""
        return self._bucket.wait(now, 0) * self._per_second > self._max_pending
