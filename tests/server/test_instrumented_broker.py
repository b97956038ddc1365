"""A broker with somebody around its calls."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from chatify_stream.brokers import MemoryBroker
from chatify_stream.rooms import Draft
from chatify_stream.server.instrumented_broker import CALLS, WatchedBroker
from chatify_stream.testing import BrokerContract, Recorder

T = TypeVar("T")


class Watcher:
    """Notes what is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def __call__(self, call: str, room: str, calling: Awaitable[T], /) -> T:
        self.calls.append((call, room))
        return await calling


class TestContract(BrokerContract):
    """It keeps all that the broker under it promises."""

    async def make_broker(self, **options: Any) -> WatchedBroker:
        return WatchedBroker(MemoryBroker(**options), Watcher())


async def test_calls() -> None:
    """Each call is watched, with the room that it is about."""
    watcher = Watcher()
    broker = WatchedBroker(MemoryBroker(), watcher)
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
    assert watcher.calls == [(call, "" if call in of_no_room else "lobby") for call in CALLS]
