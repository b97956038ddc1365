"""Decide when to retry a failed attempt. No I/O; the clock and randomness are passed in.

Follows gRPC's connection-backoff.md: the delay grows with each failure in a row, up to a maximum.
Random jitter keeps clients that lost the same server from reconnecting all at once.

An address that refuses connections is an exception. Nothing listens there, so an attempt is quick
and costs no server anything. Any call may start the next attempt, so the first call after a restart
of the server finds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import UsageError
from .state import ChannelState, Failure

FAST_FAILURE = 1.0
"""Seconds. After a failure within this time, calls wait for the next attempt."""


@dataclass(frozen=True)
class Backoff:
    """Delays between failed attempts. The defaults are those of gRPC.

    Raises `UsageError` for a value out of range.
    """

    initial: float = 1.0
    """Delay after the first failure, in seconds."""
    factor: float = 1.6
    """Factor by which the delay grows after each further failure."""
    jitter: float = 0.2
    """Fraction of the delay that is randomly added or subtracted at most."""
    maximum: float = 120.0
    """Maximum delay in seconds, before jitter."""

    def __post_init__(self) -> None:
        rules: list[tuple[str, str, Callable[[], bool]]] = [
            ("initial", "above 0", lambda: 0 < self.initial < math.inf),
            ("factor", "of at least 1", lambda: 1 <= self.factor < math.inf),
            ("jitter", "from 0 to less than 1", lambda: 0 <= self.jitter < 1),
            ("maximum", "of at least initial", lambda: self.initial <= self.maximum < math.inf),
        ]
        for field, allowed, is_right in rules:
            value = getattr(self, field)
            if not isinstance(value, int | float) or not is_right():
                raise UsageError(
                    f"Backoff.{field}: {value!r} is not allowed; pass a number {allowed}"
                )

    def wait(self, previous: float | None) -> float:
        """Return the delay in seconds, without jitter. `previous` is the delay before, if any."""
        return self.initial if previous is None else min(previous * self.factor, self.maximum)

    def with_jitter(self, wait: float, chance: float) -> float:
        """Return `wait` with jitter. `chance`, from 0 to 1, selects a point in its range."""
        return wait * (1 + self.jitter * (2 * chance - 1))


@dataclass(eq=False, repr=False)
class Attempts:
    """The attempts at one thing, such as connecting to an address.

    Each `begin` is followed by `succeed` or `fail`, or by neither if the attempt was cancelled.
    """

    _backoff: Backoff
    _clock: Callable[[], float]
    _chance: Callable[[], float]
    failure: Failure | None = None
    fails_fast: bool = True
    """The last attempt did not take long to fail, so calls wait for the next one."""
    _delay: float | None = None
    _due: float = -math.inf
    _began: float = -math.inf

    def begin(self) -> None:
        self._began = self._clock()

    def succeed(self) -> None:
        """Report success, which resets the delay."""
        self._delay = None
        self._due = -math.inf
        self.failure = None
        self.fails_fast = True

    def fail(self, failure: Failure) -> None:
        """Report a failure, which starts the next delay."""
        now = self._clock()
        self._delay = self._backoff.wait(self._delay)
        self._due = now + self._backoff.with_jitter(self._delay, self._chance())
        self.failure = failure
        self.fails_fast = now - self._began < FAST_FAILURE

    def state(self, *, is_in_progress: bool) -> ChannelState:
        """Return the state of a thing that is not connected."""
        if is_in_progress:
            return ChannelState.CONNECTING
        return ChannelState.IDLE if self.failure is None else ChannelState.TRANSIENT_FAILURE

    @property
    def age(self) -> float:
        return self._clock() - self._began

    @property
    def remaining(self) -> float:
        """Seconds until the next attempt is due; 0 if it is due now."""
        return max(0.0, self._due - self._clock())

    @property
    def is_due(self) -> bool:
        return self.remaining == 0

    @property
    def may_start_for_call(self) -> bool:
        """A new call may start the next attempt, even before it is due."""
        return self.is_due or (self.failure is not None and self.failure.retry_at_once)
