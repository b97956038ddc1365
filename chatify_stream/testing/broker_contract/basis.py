"""What the tests of a broker share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from ...brokers import Broker
from ...rooms import Draft, Publication
from ..clock import FakeClock
from ..recorder import Recorder

__all__ = ["Basis", "offsets_of"]


class Basis:
    """Tests of one broker."""

    durable = False
    """What was acknowledged outlives the broker."""

    shared = False
    """Several servers may use it at once."""

    timeout = 10.0
    """Seconds in which anything happens, or never does."""

    async def make_broker(self, **options: Any) -> Broker:
        """A broker that is not open yet.

        Those that one test makes have the same storage, which was empty. The options are those of
        `MemoryBroker`: `retention`, `rules` and `clock`.
        """
        raise NotImplementedError

    @cached_property
    def clock(self) -> FakeClock:
        """The clock of all brokers of this test."""
        return FakeClock()

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[tuple[Broker, Recorder]]:
        """A broker that is open, and what it tells; that is right until it is closed."""
        broker, recorder = await self.make_broker(clock=self.clock, **options), Recorder()
        try:
            await broker.open(recorder)
            yield broker, recorder
        finally:
            await broker.close()
        assert recorder.faults == []

    def draft(self, text: str, message_id: str = "", user: str = "ada") -> Draft:
        """Sent now."""
        return Draft(user, text, message_id, self.clock.now_ms)

    def drafts(self, texts: Iterable[object]) -> list[Draft]:
        """Without ids."""
        return [self.draft(str(text)) for text in texts]


def offsets_of(publications: Sequence[Publication]) -> list[int]:
    return [publication.offset for publication in publications]
