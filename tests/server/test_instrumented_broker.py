"""Tests of server/instrumented_broker.py."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from chatify_stream.brokers import MemoryBroker
from chatify_stream.rooms import Draft
from chatify_stream.server.instrumented_broker import CALLS, InstrumentedBroker
from chatify_stream.testing import BrokerContract, Recorder

T = TypeVar("T")


class Recording:
    """An instrument that records the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def __call__(self, call: str, room: str, calling: Awaitable[T], /) -> T:
        self.calls.append((call, room))
        return await calling


class TestContract(BrokerContract):
    """The instrumented broker keeps the contract of the broker that it wraps."""

    async def make_broker(self, **options: Any) -> InstrumentedBroker:
        return InstrumentedBroker(MemoryBroker(**options), Recording())


async def test_calls() -> None:
    """Each call passes through the instrument, with its room."""
    recording = Recording()
    broker = InstrumentedBroker(MemoryBroker(), recording)
    await broker.open(Recorder())
    await broker.publish("lobby", [Draft("ada", "x", "", 0)])
    await broker.read("lobby", limit=1)
    await broker.subscribe("lobby")
    await broker.unsubscribe("lobby")
    await broker.enter("lobby", "ada", "1")
    await broker.leave("lobby", "ada", "1")
    await broker.users("lobby")
    await broker.rooms(limit=1)
    await broker.survey(b"hello")
    await broker.close()
    of_no_room = ("rooms", "tell")
    assert recording.calls == [(call, "" if call in of_no_room else "lobby") for call in CALLS]
