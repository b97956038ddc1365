"""A broker that fails, hangs or returns: affected sessions end, the others continue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatify_stream import BrokerError, Channel, ChatServer, Status

from ...support.waiting import until
from .membership import End, channel_to, entering, joined, node_of, refused, room_server
from .moody_broker import SECRET, MoodyBroker

AWAY = "the broker of the rooms is unavailable; reconnect and send again"


@pytest.fixture
async def broker() -> MoodyBroker:
    return MoodyBroker()


@pytest.fixture
async def server(broker: MoodyBroker) -> AsyncIterator[ChatServer]:
    async with room_server(broker=broker) as server:
        yield server
        broker.failing.clear()
        for gate in broker.gates.values():
            gate.set()


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


def assert_away(end: End, position: str | None) -> None:
    """Check for UNAVAILABLE with reconnect, and for a text without details of the server."""
    assert (end.status, end.message, end.may_come_back) == (Status.UNAVAILABLE, AWAY, "yes")
    assert end.position == position


class TestFailing:
    @pytest.mark.parametrize("method", ["subscribe", "read", "users"])
    async def test_while_a_session_comes(
        self,
        broker: MoodyBroker,
        server: ChatServer,
        channel: Channel,
        method: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A joining session ends with the position of its client; the log has the reason."""
        broker.failing.add(method)
        await broker.memory.publish("lobby", [])
        epoch = broker.memory._log("lobby").newest.epoch
        metadata = {"resume": f"{epoch}/0", "events": "users"}
        end = await refused(channel, room="lobby", **metadata)
        assert_away(end, f"{epoch}/0" if method == "users" else None)
        assert f"a session in room 'lobby' ended: the broker {SECRET}" in caplog.text
        broker.failing.clear()
        async with joined(channel, **metadata) as ada:
            await ada.say("hi")
            assert await ada.texts() == ["hi"]

    async def test_while_it_comes_into_presence(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session that cannot enter the presence ends."""
        broker.failing.add("enter")
        async with entering(channel, [("chat-room", "lobby")]) as ada:
            end = await ada.end()
            assert_away(end, f"{ada.epoch}/0")

    async def test_while_it_catches_up(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session that catches up ends with the position that it has reached."""
        for number in range(100):
            await server.rooms.publish("lobby", "bot", str(number))
        gate = broker.close_gate("read")
        async with entering(channel, [("chat-room", "lobby"), ("chat-history", "100")]) as ada:
            for reads in (1, 2):  # of where to begin, and of a first page
                await until(lambda reads=reads: broker.count("read") == reads)
                last, gate = gate, broker.close_gate("read")
                last.set()
            await until(lambda: broker.count("read") == 3)
            broker.failing.add("read")
            gate.set()
            heard, end = await ada.last_words()
            assert [message.offset for message in heard] == list(range(1, 65))
            assert_away(end, f"{ada.epoch}/64")

    async def test_while_it_publishes(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """The publisher's session ends; other members receive the next message."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            await ada.say("1")
            await ada.hear()
            broker.failing.add("publish")
            await ada.say("2", id="x")
            assert_away(await ada.end(), f"{ada.epoch}/1")
            broker.failing.clear()
            async with joined(channel, user="ada", resume=f"{ada.epoch}/1") as again:
                await again.say("2", id="x")
                assert await again.texts() == ["2"]
            assert await bob.texts(2) == ["1", "2"]

    async def test_after_it_has_published(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A message that is stored although the broker reported an error is not published twice."""
        async with joined(channel, user="ada") as ada:
            broker.failing_late.add("publish")
            await ada.say("1", id="x")
            heard, end = await ada.last_words()
            broker.failing_late.clear()
            assert_away(end, f"{ada.epoch}/{len(heard)}")
        async with joined(channel, user="ada", resume=str(end.position)) as again:
            await again.say("1", id="x")
            await again.say("2")
            offsets = [message.offset for message in await again.hear(3 - len(heard))]
            assert sorted({*offsets, *(message.offset for message in heard)}) == [1, 2]

    async def test_while_it_leaves(
        self,
        broker: MoodyBroker,
        server: ChatServer,
        channel: Channel,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A session ends although the broker cannot be notified, and the log says so."""
        broker.failing |= {"leave", "unsubscribe"}
        async with joined(channel) as ada:
            await ada.half_close()
            assert (await ada.end()).status is Status.OK
        await until(lambda: not node_of(server).background)
        await until(lambda: broker.count("unsubscribe"))
        await node_of(server).subscriptions.settle()
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
        assert "in no mood to leave" in caplog.text
        assert "in no mood to unsubscribe" in caplog.text

    async def test_on_leave_is_told_all_the_same(self) -> None:
        """`on_leave` is called although the broker fails."""
        left = asyncio.Event()

        async def on_leave(leave: object) -> None:
            left.set()

        broker = MoodyBroker()
        async with room_server(broker=broker, on_leave=on_leave) as server:
            async with channel_to(server) as channel, joined(channel):
                broker.failing.add("leave")
            async with asyncio.timeout(10):
                await left.wait()

    async def test_the_program(self, broker: MoodyBroker, server: ChatServer) -> None:
        """The embedding program receives the broker's own error."""
        broker.failing |= {"publish", "read", "users", "rooms"}
        rooms = server.rooms
        for asked in (
            rooms.publish("lobby", "bot", "hi"),
            rooms.history("lobby"),
            rooms.presence("lobby"),
            rooms.list(),
        ):
            with pytest.raises(BrokerError, match="in no mood to"):
                await asked
        assert rooms.statistics().messages_published == 0


class TestHanging:
    @pytest.mark.parametrize("method", ["subscribe", "read", "users", "enter", "publish"])
    async def test_a_client_that_leaves_meanwhile(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel, method: str
    ) -> None:
        """A session that is cancelled while the broker hangs leaves nothing behind."""
        gate = broker.close_gate(method)
        await broker.memory.publish("lobby", [])
        keys = {"resume": f"{broker.memory._log('lobby').newest.epoch}/0", "events": "users"}
        metadata = [("chat-room", "lobby"), *((f"chat-{k}", v) for k, v in keys.items())]
        async with entering(channel, metadata) as ada:
            if method == "publish":
                await ada.say("hi")
            await until(lambda: broker.waiting)
        await until(lambda: not node_of(server).sessions)
        gate.set()
        await until(lambda: not len(node_of(server).hub))

    async def test_others_go_on(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A publication that hangs does not delay the messages of others."""
        async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
            gate = broker.close_gate("publish")
            await ada.say("slow")
            await until(lambda: broker.waiting)
            del broker.gates["publish"]
            await bob.say("fast")
            assert await bob.texts() == await ada.texts() == ["fast"]
            gate.set()
            assert await bob.texts() == await ada.texts() == ["slow"]

    async def test_one_client_publishes_in_order(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A client's messages wait for its earlier message that hangs."""
        async with joined(channel) as ada:
            gate = broker.close_gate("publish")
            await ada.say("1")
            await until(lambda: broker.waiting)
            del broker.gates["publish"]
            await ada.say("2", "3")
            await server.rooms.publish("lobby", "bot", "between")
            assert await ada.texts() == ["between"]
            gate.set()
            assert await ada.texts(3) == ["1", "2", "3"]
