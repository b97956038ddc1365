"""When to try again what has failed: decisions alone, with a clock and chance passed in.

After gRPC's connection-backoff.md: the wait after each failure in a row is longer than the one
before it, up to a limit, and by chance a little longer or shorter, so that clients that lost their
server together do not come back together.

An address that refuses connections is different: nobody is there, so an attempt burdens nobody,
and takes no time. It may be tried again whenever a call asks for it; that way a server that was
restarted is found by the next call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import UsageError
from .state import Failure

__all__ = ["QUICK", "Attempts", "Backoff"]

QUICK = 1.0
"""Seconds. What failed within them is worth waiting for when it is tried again."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait between a failed attempt and the next. gRPC's numbers.

    Raises `UsageError` for what makes no sense.
    """

    initial: float = 1.0
    """Seconds after the first failure."""
    factor: float = 1.6
    """How many times as long the wait after the next failure is."""
    jitter: float = 0.2
    """The part of the wait that chance adds to it, or takes away, at the most."""
    maximum: float = 120.0
    """Seconds, before chance has its part."""

    def __post_init__(self) -> None:
        rules: list[tuple[str, str, Callable[[], bool]]] = [
            ("initial", "above 0", lambda: 0 < self.initial < math.inf),
            ("factor", "from 1", lambda: 1 <= self.factor < math.inf),
            ("jitter", "from 0 to below 1", lambda: 0 <= self.jitter < 1),
            ("maximum", "not below initial", lambda: self.initial <= self.maximum < math.inf),
        ]
        for field, allowed, is_right in rules:
            value = getattr(self, field)
            if not isinstance(value, int | float) or not is_right():
                raise UsageError(f"a Backoff's {field} is a number {allowed}, not {value!r}")

    def wait(self, earlier: float | None) -> float:
        """Seconds after a failure, without jitter; `earlier` is the wait before it, if any."""
        return self.initial if earlier is None else min(earlier * self.factor, self.maximum)

    def with_jitter(self, wait: float, chance: float) -> float:
        """`chance`, from 0 to 1, says where in the jitter's range it falls."""
        return wait * (1 + self.jitter * (2 * chance - 1))


class Attempts:
    """The attempts at one thing, such as to reach an address.

    Each `begin` is followed by `succeed`, `fail` or, when it was given up, nothing.
    """

    def __init__(
        self, backoff: Backoff, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._backoff = backoff
        self._clock = clock
        self._chance = chance
        self._wait: float | None = None
        self._due = -math.inf
        self._began = -math.inf
        self.failure: Failure | None = None
        """Why the last one failed; None when it did not, or there was none."""
        self.is_hopeful = True
        """A call may wait for the next one: the last did not take long to fail."""

    def begin(self) -> None:
        self._began = self._clock()

    def succeed(self) -> None:
        """What failed before is forgotten."""
        self._wait = None
        self._due = -math.inf
        self.failure = None
        self.is_hopeful = True

    def fail(self, failure: Failure) -> None:
        now = self._clock()
        self._wait = self._backoff.wait(self._wait)
        self._due = now + self._backoff.with_jitter(self._wait, self._chance())
        self.failure = failure
        self.is_hopeful = now - self._began < QUICK

    @property
    def age(self) -> float:
        """Seconds since the last one began."""
        return self._clock() - self._began

    @property
    def remaining(self) -> float:
        """Seconds until the next one is due; 0 when it is."""
        return max(0.0, self._due - self._clock())

    @property
    def is_due(self) -> bool:
        return self.remaining == 0

    @property
    def may_be_asked_for(self) -> bool:
        """A new call may have the next one begin, due or not."""
        return self.is_due or (self.failure is not None and self.failure.retry_at_once)
