"""Tests of server/rooms/node.py."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chatify_stream import BrokerError, ChatServer, RoomClient, RoomLeave, RoomOptions
from chatify_stream.rooms import Disconnect, Draft, Member
from chatify_stream.server.rooms.grpc_transport import FRAMED_REPLIES
from chatify_stream.server.rooms.node import Node

from .moody_broker import MoodyBroker


class Session:
    def __init__(self) -> None:
        self.room, self.user = "lobby", "ada"
        self.disconnect: Disconnect | None = None

    def end(self, disconnect: Disconnect) -> None:
        self.disconnect = disconnect


class Sink:
    encoding = FRAMED_REPLIES

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_nowait(self, frames: bytes, count: int) -> bool:
        self.sent.append(count)
        return True

    def wake(self, member: Member) -> None: ...

    def end(self, disconnect: Disconnect) -> None: ...


@pytest.fixture
async def broker() -> MoodyBroker:
    return MoodyBroker()


@pytest.fixture
async def node(broker: MoodyBroker) -> Node:
    node = Node(RoomOptions(broker=broker), clock=lambda: 12.3456)
    await node.open()
    return node


async def test_its_clock(node: Node) -> None:
    """Times are whole milliseconds."""
    assert node.now_ms() == 12_345


async def test_what_is_published_in_one_turn(node: Node, broker: MoodyBroker) -> None:
    """Messages published in one turn of the loop are delivered together in the next."""
    room = await node.subscriptions.hold("lobby")
    sink = Sink()
    member = Member(sink, "ada", "s", 1000)
    member.epoch, member.offset = room.newest
    assert room.admit(member)
    for text in ("1", "2", "3"):
        await broker.publish("lobby", [Draft("ada", text, "", 0)])
    assert sink.sent == []
    await asyncio.sleep(0)
    assert sink.sent == [3]
    assert node.statistics().deliveries == 3
    room.dismiss(member)
    node.subscriptions.release(room)
    await node.close()


async def test_close_waits(node: Node, broker: MoodyBroker) -> None:
    """Background tasks, and tasks that they start, end before the broker closes."""
    steps: list[str] = []
    gate = asyncio.Event()

    async def second() -> None:
        steps.append("second")

    async def first() -> None:
        await gate.wait()
        steps.append("first")
        node.background.spawn(second())

    node.background.spawn(first())
    closing = asyncio.create_task(node.close())
    for _ in range(5):
        await asyncio.sleep(0)
    assert steps == []
    assert broker.memory._subscriber is not None
    gate.set()
    await closing
    assert steps == ["first", "second"]
    assert broker.memory._subscriber is None
    assert len(node.background) == 0


async def test_what_fails_after_a_session(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """An error of the broker is logged as a warning, other errors as errors."""

    async def fail(error: Exception) -> None:
        raise error

    node.background.spawn(fail(BrokerError("memory://", "it is full")))
    node.background.spawn(fail(KeyError("x")))
    await node.close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "the broker memory://: it is full"),
        (logging.ERROR, "the cleanup of a session failed"),
    ]


async def test_drain(node: Node) -> None:
    """A drain ends every session once, and rejects new sessions."""
    sessions = [Session() for _ in range(10)]
    node.sessions.update(sessions)
    assert not node.is_draining
    node.drain(0.0)
    assert node.is_draining
    async with asyncio.timeout(10):
        while not all(session.disconnect for session in sessions):
            await asyncio.sleep(0)
    assert {session.disconnect.reason for session in sessions if session.disconnect} == {"draining"}
    await node.close()


async def test_a_broker_that_cannot_be_opened(
    broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the broker's `open` is raised, and the node is not open."""

    async def fail(subscriber: object) -> None:
        raise BrokerError("memory://", "it is damaged")

    monkeypatch.setattr(broker, "open", fail)
    node = Node(RoomOptions(broker=broker))
    with pytest.raises(BrokerError, match="it is damaged"):
        await node.open()
    assert not node.is_open


async def test_a_hook_that_hangs_does_not_hold_up_the_end() -> None:
    """A server closes although `on_leave` hangs; the hook is cancelled."""
    ended: list[str] = []

    async def on_leave(leave: RoomLeave) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(leave.user)

    options = RoomOptions(on_leave=on_leave, hook_timeout=3600)
    async with asyncio.timeout(30):
        async with ChatServer(rooms=options) as server:
            await server.start("127.0.0.1", 0)
            async with RoomClient(f"127.0.0.1:{server.port}", room="lobby", user="Ada"):
                pass
            await server.close()
    assert ended == ["Ada"]
