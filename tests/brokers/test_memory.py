"""Tests of brokers/memory.py: the contract, and what is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream.brokers import MemoryBroker
from chatify_stream.rooms import WINDOW_MS, Draft, Retention
from chatify_stream.testing import BrokerContract, FakeClock, Recorder


class TestContract(BrokerContract):
    async def make_broker(self, **options: Any) -> MemoryBroker:
        return MemoryBroker(**options)


class TestForgetting:
    """Rooms that keep nothing do not stay in memory."""

    @pytest.mark.parametrize("use", ["read", "publish", "subscribe"])
    async def test_unused_rooms(self, use: str) -> None:
        """Whatever touched a room that keeps nothing, it is forgotten; its epoch if it was used."""
        clock = FakeClock()
        broker = MemoryBroker(Retention(count=0), clock=clock)
        await broker.open(Recorder())
        epochs = set()
        for number in range(100):
            room = f"room {number}"
            if use == "read":
                await broker.read(room, limit=1)
            elif use == "publish":
                await broker.publish(room, [Draft("ada", "x", str(number), clock.now_ms)])
            else:
                await broker.subscribe(room)
                await broker.unsubscribe(room)
            epochs.add((await broker.read("room 0", limit=1)).newest.epoch)
            clock.advance(WINDOW_MS / 1000)
        assert len(broker._logs) <= 2
        assert (len(epochs) > 1) is (use == "publish")

    async def test_subscribed_rooms(self) -> None:
        """A room that is subscribed to keeps its epoch, though it keeps nothing else."""
        clock, recorder = FakeClock(), Recorder()
        broker = MemoryBroker(Retention(age=1), clock=clock)
        await broker.open(recorder)
        await broker.subscribe("lobby")
        for number in range(20):
            clock.advance(61)
            draft = Draft("ada", "x", str(number), clock.now_ms)
            await broker.publish("lobby", [draft])
            await broker.publish("other", [draft])
        assert recorder.faults == []
        [begun] = recorder.begun["lobby"]
        assert (await broker.read("lobby", limit=1)).newest == begun._replace(offset=20)
