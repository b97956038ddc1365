"""The connection of an inbox that is tested alone."""

from __future__ import annotations

from collections.abc import Callable

from chatify_stream.wire.connection.fair_share import FairShare
from chatify_stream.wire.connection.memory_budget import MemoryBudget

__all__ = ["FakeSource"]


class FakeSource:
    """Counts what window the peer gets back."""

    def __init__(self, memory_budget: MemoryBudget | None = None) -> None:
        self.memory_budget = memory_budget or MemoryBudget()
        self.fair_share = FairShare()
        self.write_buffer = self
        self.messages_received = 0
        self.arrivals: list[Callable[[], bool]] = []
        self.given_back = 0

    def return_window(self, stream_id: int, size: int) -> None:
        assert size > 0
        self.given_back += size
