"""Slows a peer whose calls are refused, one after the other. No I/O, no clock.

A refusal costs little, but the peer may make the next call at once, for ever. So past a rate its
refusals are told later, as many a second as the rate says. The connection is not ended instead, nor
is it read more slowly: it may be that of a gateway or a proxy, and carry a thousand others, who are
not to lose their sessions, or to wait, by what one of them does. What waits is the refused call
alone. It is an open call as long, so a client that keeps to `max_concurrent_streams` opens no more.

Rules: each refused call is paid for, also one that its peer gives up meanwhile. Who waits for its
answers never owes more than the calls that may be open; who owes more does not wait, and is cut
off.
"""

from __future__ import annotations

from grpclib.const import Status

from ..limits import Limits
from ..token_bucket import TokenBucket

__all__ = ["REFUSED", "Refusals"]

REFUSED = frozenset(
    {
        Status.PERMISSION_DENIED,
        Status.RESOURCE_EXHAUSTED,
        Status.UNAUTHENTICATED,
        Status.UNIMPLEMENTED,
    }
)
"""How a call ends that is refused, whoever refuses it.

INVALID_ARGUMENT, NOT_FOUND and the like are answers; UNAVAILABLE is no fault of the client.
"""


class Refusals:
    """Those of one connection."""

    __slots__ = ("_bucket", "_most_owed", "_per_second")

    def __init__(self, limits: Limits, now: float) -> None:
        self._bucket = TokenBucket(limits.refusals, now)
        self._per_second = limits.refusals.per_second
        self._most_owed = limits.max_concurrent_streams

    def delay(self, now: float) -> float:
        """A call is refused: the seconds until its peer is to be told."""
        self._bucket.available(now)
        self._bucket.spend(1)
        return self._bucket.wait(now, 0)

    def is_too_much(self, now: float) -> bool:
        """More is owed than a peer that waits for its answers can owe."""
        return self._bucket.wait(now, 0) * self._per_second > self._most_owed
