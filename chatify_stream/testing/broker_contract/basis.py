"""The base class of the contract tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from ...brokers import Broker
from ...rooms import Draft, Publication
from ..doubles import FakeClock, Recorder


class Basis:
    """Opens brokers for the tests of one implementation."""

    durable = False
    """Whether acknowledged messages survive `close`."""

    shared = False
    """Whether several servers can use the storage at once."""

    timeout = 10.0
    """Seconds to wait for any event."""

    async def make_broker(self, **options: Any) -> Broker:
        """Return a closed broker.

        All brokers of one test share storage that was empty before the test. The options are those
        of `MemoryBroker`: `retention`, `rules` and `clock`.
        """
        raise NotImplementedError

    @cached_property
    def clock(self) -> FakeClock:
        """The clock of all brokers of this test."""
        return FakeClock()

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[tuple[Broker, Recorder]]:
        """Open a broker with a recorder; at the end, check that it kept the contract."""
        broker, recorder = await self.make_broker(clock=self.clock, **options), Recorder()
        try:
            await broker.open(recorder)
            yield broker, recorder
        finally:
            await broker.close()
        assert recorder.faults == []

    def draft(self, text: str, message_id: str = "", user: str = "ada") -> Draft:
        """Return a draft sent now."""
        return Draft(user, text, message_id, self.clock.now_ms)

    def drafts(self, texts: Iterable[object]) -> list[Draft]:
        """Return drafts without ids."""
        return [self.draft(str(text)) for text in texts]


def offsets_of(publications: Sequence[Publication]) -> list[int]:
    return [publication.offset for publication in publications]
