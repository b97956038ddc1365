"""Tests of server/rooms/subscriptions.py."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from chatify_stream import BrokerError
from chatify_stream.rooms import Draft, Hub, Room
from chatify_stream.server.rooms.subscriptions import Subscriptions

from .moody_broker import MoodyBroker


class Rooms:
    """A hub and its broker."""

    def __init__(self, broker: MoodyBroker | None = None) -> None:
        self.broker = broker or MoodyBroker()
        self.hub = Hub(lambda room: None)
        self.subscriptions = Subscriptions(self.hub, self.broker)

    async def is_told(self, room: Room) -> bool:
        """Return True if a message published in the room arrives in the hub."""
        before = room.offset
        await self.broker.memory.publish(room.name, [Draft("ada", "hi", "", 1)])
        return room.offset == before + 1

    async def nothing_is_left(self) -> bool:
        await self.subscriptions.settle()
        return not (
            len(self.hub) or self.subscriptions._subscribed or self.broker.memory._subscribed
        )


@pytest.fixture
async def rooms() -> Rooms:
    rooms = Rooms()
    await rooms.broker.open(rooms.hub)
    return rooms


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_room(rooms: Rooms) -> None:
    """A held room is subscribed, and is unsubscribed after its release."""
    room = await rooms.subscriptions.hold("lobby")
    assert room.position is not None
    assert await rooms.is_told(room)
    rooms.subscriptions.release(room)
    assert await rooms.nothing_is_left()
    assert not await rooms.is_told(room)
    assert rooms.broker.calls == [("subscribe", "lobby"), ("unsubscribe", "lobby")]


async def test_many_at_once(rooms: Rooms) -> None:
    """Concurrent holds of a room subscribe once."""
    gate = rooms.broker.close_gate("subscribe")
    holding = [asyncio.create_task(rooms.subscriptions.hold("lobby")) for _ in range(10)]
    await turns()
    assert not any(task.done() for task in holding)
    gate.set()
    held = [*await asyncio.gather(*holding), await rooms.subscriptions.hold("lobby")]
    assert len(set(held)) == 1
    for room in held[:-1]:
        rooms.subscriptions.release(room)
    await rooms.subscriptions.settle()
    assert await rooms.is_told(held[-1])
    rooms.subscriptions.release(held[-1])
    assert await rooms.nothing_is_left()
    assert rooms.broker.count("subscribe") == rooms.broker.count("unsubscribe") == 1


async def test_other_rooms_do_not_wait(rooms: Rooms) -> None:
    """A slow subscription does not delay other rooms."""
    attic = await rooms.subscriptions.hold("attic")
    gate = rooms.broker.close_gate("subscribe")
    lobby = asyncio.create_task(rooms.subscriptions.hold("lobby"))
    await turns()
    assert await rooms.subscriptions.hold("attic") is attic
    assert not lobby.done()
    gate.set()
    rooms.subscriptions.release(await lobby)
    rooms.subscriptions.release(attic)
    rooms.subscriptions.release(attic)
    assert await rooms.nothing_is_left()


class TestLeftAndJoinedAgain:
    async def test_at_once(self, rooms: Rooms) -> None:
        """A room that is held again at its release stays subscribed."""
        room = await rooms.subscriptions.hold("lobby")
        rooms.subscriptions.release(room)
        again = await rooms.subscriptions.hold("lobby")
        assert again is room
        await rooms.subscriptions.settle()
        assert await rooms.is_told(again)
        assert rooms.broker.calls == [("subscribe", "lobby")]
        rooms.subscriptions.release(again)
        assert await rooms.nothing_is_left()

    async def test_while_the_broker_lets_it_go(self, rooms: Rooms) -> None:
        """A room that is held while it is being unsubscribed is subscribed again afterwards."""
        room = await rooms.subscriptions.hold("lobby")
        gate = rooms.broker.close_gate("unsubscribe")
        rooms.subscriptions.release(room)
        await turns()
        holding = asyncio.create_task(rooms.subscriptions.hold("lobby"))
        await turns()
        assert not holding.done()
        gate.set()
        again = await holding
        assert again is not room
        assert await rooms.is_told(again)
        rooms.subscriptions.release(again)
        assert await rooms.nothing_is_left()

    async def test_while_the_first_one_waits(self, rooms: Rooms) -> None:
        """A hold that is cancelled leaves the subscription to the next holder."""
        gate = rooms.broker.close_gate("subscribe")
        first = asyncio.create_task(rooms.subscriptions.hold("lobby"))
        await turns()
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(rooms.subscriptions.hold("lobby"))
        await turns()
        gate.set()
        room = await second
        await rooms.subscriptions.settle()
        assert await rooms.is_told(room)
        rooms.subscriptions.release(room)
        assert await rooms.nothing_is_left()

    async def test_all_give_up(self, rooms: Rooms) -> None:
        """A room without holders after its subscription is unsubscribed again."""
        gate = rooms.broker.close_gate("subscribe")
        holding = [asyncio.create_task(rooms.subscriptions.hold("lobby")) for _ in range(3)]
        await turns()
        for task in holding:
            task.cancel()
        await asyncio.wait(holding)
        gate.set()
        assert await rooms.nothing_is_left()

    async def test_one_after_the_other_gives_up(self, rooms: Rooms) -> None:
        """A room that was released before its turn is not subscribed."""
        gate = rooms.broker.close_gate("subscribe")
        for _ in range(3):
            holding = asyncio.create_task(rooms.subscriptions.hold("lobby"))
            await turns()
            holding.cancel()
            await asyncio.wait([holding])
        gate.set()
        assert await rooms.nothing_is_left()
        room = await rooms.subscriptions.hold("lobby")
        assert room.position is not None
        assert await rooms.is_told(room)
        rooms.subscriptions.release(room)
        assert await rooms.nothing_is_left()


class TestTrouble:
    async def test_a_broker_that_fails(self, rooms: Rooms) -> None:
        """An error reaches all waiting holders, and the next hold tries again."""
        rooms.broker.failing.add("subscribe")
        waiting = [rooms.subscriptions.hold("lobby") for _ in range(3)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [BrokerError] * 3
        assert await rooms.nothing_is_left()
        rooms.broker.failing.clear()
        room = await rooms.subscriptions.hold("lobby")
        assert await rooms.is_told(room)
        rooms.subscriptions.release(room)
        assert await rooms.nothing_is_left()

    async def test_nobody_waits_for_the_failure(self, rooms: Rooms) -> None:
        """The error of a cancelled hold is not reported as never retrieved."""
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, it: reported.append(it))
        gate = rooms.broker.close_gate("subscribe")
        rooms.broker.failing.add("subscribe")
        holding = asyncio.create_task(rooms.subscriptions.hold("lobby"))
        await turns()
        holding.cancel()
        await asyncio.wait([holding])
        gate.set()
        assert await rooms.nothing_is_left()
        assert reported == []

    async def test_it_cannot_be_left(self, rooms: Rooms, caplog: pytest.LogCaptureFixture) -> None:
        """A failed unsubscription is logged, and the room can be held again."""
        room = await rooms.subscriptions.hold("lobby")
        rooms.broker.failing.add("unsubscribe")
        rooms.subscriptions.release(room)
        await rooms.subscriptions.settle()
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith("could not unsubscribe from room 'lobby': the broker")
        rooms.broker.failing.clear()
        again = await rooms.subscriptions.hold("lobby")
        assert again.position is not None
        assert await rooms.is_told(again)
        rooms.subscriptions.release(again)
        assert await rooms.nothing_is_left()


@pytest.mark.parametrize("seed", range(20))
async def test_at_random(seed: int) -> None:
    """After any sequence of holds and releases, held rooms are subscribed and others are not."""
    chance = random.Random(seed)
    rooms = Rooms(MoodyBroker(chance=chance))
    await rooms.broker.memory.open(rooms.hub)

    async def hold_and_release() -> None:
        for _ in range(10):
            holding = asyncio.create_task(rooms.subscriptions.hold(chance.choice("ab")))
            await turns(chance.randrange(12))
            if not holding.done() and chance.random() < 0.5:
                holding.cancel()
                await asyncio.wait([holding])
                continue
            room = await holding
            for _ in range(chance.randrange(4)):
                assert await rooms.is_told(room)
                await turns(chance.randrange(4))
            rooms.subscriptions.release(room)

    await asyncio.gather(*(hold_and_release() for _ in range(5)))
    assert await rooms.nothing_is_left()
