"""Sessions of a server that drains or closes, or that disconnects users."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from chatify_stream import Channel, ChatServer, Limits, Status

from ...support.waiting import until
from .membership import Membership, channel_to, entering, joined, node_of, refused, room_server
from .moody_broker import MoodyBroker
from .raw_member import raw_member

GOING = "the server is shutting down; reconnect and resume"


@pytest.fixture
async def broker() -> MoodyBroker:
    return MoodyBroker()


@pytest.fixture
async def server(broker: MoodyBroker) -> AsyncIterator[ChatServer]:
    async with room_server(broker=broker) as server:
        yield server


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


async def said(member: Membership, *texts: str) -> None:
    await member.say(*texts)
    assert await member.texts(len(texts)) == list(texts)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sessions end at the beginning of a drain."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)


class TestDrain:
    @pytest.mark.usefixtures("at_once")
    async def test_sessions(self, server: ChatServer, channel: Channel) -> None:
        """Drained sessions end UNAVAILABLE with their position; their messages are published."""
        async with joined(channel, user="ada") as ada, joined(channel, "attic") as bob:
            await said(ada, "a", "b")
            draining = asyncio.create_task(server.drain(30.0))
            for member, offset in ((ada, 2), (bob, 0)):
                heard, end = await member.last_words()
                assert heard == []
                assert (end.status, end.message) == (Status.UNAVAILABLE, GOING)
                assert end.trailers == {
                    "chat-reconnect": "yes",
                    "chat-resume": f"{member.epoch}/{offset}",
                }
            await draining
        assert node_of(server).statistics().sessions_ended == {"draining": 2}

    async def test_spread_over_half_of_the_grace(
        self, server: ChatServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Drained sessions end at different times, all within the grace period."""
        loop = asyncio.get_running_loop()
        at: list[float] = []

        def call_later(delay: float, callback: object, *arguments: object) -> asyncio.Handle:
            at.append(delay)
            return loop.call_soon(callback, *arguments)

        async with AsyncExitStack() as stack:
            members = [await stack.enter_async_context(joined(channel)) for _ in range(50)]
            with monkeypatch.context() as patched:
                patched.setattr(loop, "call_later", call_later)
                node_of(server).drain(60.0)
            for member in members:
                assert (await member.end()).message == GOING
        assert len(at) == 50
        assert len(set(at)) == 50
        assert 0 <= min(at) < 10 < 20 < max(at) <= 30

    async def test_who_comes_meanwhile(self, server: ChatServer, channel: Channel) -> None:
        """A session that opens on an old connection during a drain ends at once."""
        async with joined(channel):
            node_of(server).drain(3600.0)
            end = await refused(channel, room="lobby", resume="e/5")
            assert (end.status, end.message) == (Status.UNAVAILABLE, GOING)
            assert end.trailers == {"chat-reconnect": "yes"}

    @pytest.mark.parametrize("method", ["subscribe", "read"])
    async def test_a_session_that_is_coming(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel, method: str
    ) -> None:
        """A session that waits for the broker is drained without losing the client's position."""
        await server.rooms.publish("lobby", "bot", "1")
        epoch = (await server.rooms.history("lobby")).newest.epoch
        gate = broker.close_gate(method)
        keys = [("chat-room", "lobby"), ("chat-resume", f"{epoch}/0")]
        async with entering(channel, keys) as ada:
            await until(lambda: broker.waiting)
            node_of(server).drain(0.0)
            heard, end = await ada.last_words()
            assert (heard, end.message) == ([], GOING)
            assert end.trailers == {"chat-reconnect": "yes"}
            gate.set()

    async def test_half_closed_ones(self, server: ChatServer, channel: Channel) -> None:
        """A session that has half-closed and received its own messages ends OK during a drain."""
        async with joined(channel) as ada:
            await ada.say("a")
            await ada.half_close()
            node_of(server).drain(0.0)
            heard, end = await ada.last_words()
            assert end.position == f"{ada.epoch}/{len(heard)}"
            assert end.status in (Status.OK, Status.UNAVAILABLE)

    @pytest.mark.usefixtures("at_once")
    async def test_direct_sessions(self, server: ChatServer, channel: Channel) -> None:
        """Direct sessions continue within the grace period."""
        async with entering(channel, []) as direct, joined(channel) as ada:
            await direct.say("a")
            assert await direct.texts() == ["Hello a"]
            draining = asyncio.create_task(server.drain(30.0))
            assert (await ada.end()).message == GOING
            await direct.say("b")
            assert await direct.texts() == ["Hello b"]
            await direct.half_close()
            assert (await direct.end()).status is Status.OK
            await draining


class TestClose:
    async def test_sessions(self, server: ChatServer, channel: Channel) -> None:
        """Closing the server ends sessions UNAVAILABLE at once, with their position."""
        async with joined(channel) as ada:
            await said(ada, "a", "b", "c")
            closing = asyncio.create_task(server.close())
            end = await ada.end()
            assert end.status is Status.UNAVAILABLE
            assert end.message.startswith("the server is shutting down")
            assert end.trailers == {
                "chat-reconnect": "yes",
                "chat-resume": f"{ada.epoch}/3",
            }
            await closing
        assert node_of(server).statistics().sessions == 0

    async def test_a_broker_that_is_slow(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """Sessions leave the broker's presence before the broker closes."""
        async with joined(channel):
            gate = broker.close_gate("leave")
            closing = asyncio.create_task(server.close())
            await until(lambda: broker.waiting)
            assert not closing.done()
            gate.set()
            await closing
        assert broker.memory._presence.rooms() == set()

    async def test_twice(self, server: ChatServer, channel: Channel) -> None:
        """A server may be closed twice, also after a drain."""
        async with joined(channel):
            await server.drain(0.0)
            await server.close()
            await server.close()


class TestDisconnect:
    async def test_for_good(self, server: ChatServer, channel: Channel) -> None:
        """All sessions of the user end with the reason, in all rooms; others stay."""
        async with (
            joined(channel, user="ada") as first,
            joined(channel, "attic", user="ada") as second,
            joined(channel, user="bob") as bob,
        ):
            await said(first, "a")
            assert server.rooms.disconnect("ada", reason="spam: 没有") == 2
            for member, offset in ((first, 1), (second, 0)):
                end = await member.end()
                assert (end.status, end.message) == (
                    Status.PERMISSION_DENIED,
                    "disconnected: spam: 没有",
                )
                assert end.trailers == {
                    "chat-reconnect": "no",
                    "chat-resume": f"{member.epoch}/{offset}",
                }
            await bob.say("b")
            assert await bob.texts(2) == ["a", "b"]
            await until(lambda: server.rooms.statistics().sessions == 1)
            assert server.rooms.disconnect("ada") == 0
        assert node_of(server).sessions_ended["sent_away"] == 2

    async def test_to_come_back(self, server: ChatServer, channel: Channel) -> None:
        """With `reconnect` the client may reconnect, and resumes at its position."""
        async with joined(channel, user="ada") as ada:
            await said(ada, "a")
            assert server.rooms.disconnect("ada", reconnect=True) == 1
            end = await ada.end()
        assert (end.status, end.message, end.may_come_back) == (
            Status.UNAVAILABLE,
            "disconnected: by an operator; reconnect",
            "yes",
        )
        await server.rooms.publish("lobby", "bot", "b")
        async with joined(channel, user="ada", resume=str(end.position)) as again:
            assert await again.texts() == ["b"]

    async def test_in_one_room(self, server: ChatServer, channel: Channel) -> None:
        """Sessions of the user in other rooms stay."""
        async with joined(channel, user="ada") as here:
            async with joined(channel, "attic", user="ada") as there:
                assert server.rooms.disconnect("ada", "attic") == 1
                assert (await there.end()).status is Status.PERMISSION_DENIED
                await said(here, "a")

    async def test_nobody(self, server: ChatServer, channel: Channel) -> None:
        """Disconnecting an unknown user or room returns 0."""
        async with joined(channel, user="ada"):
            assert server.rooms.disconnect("Ada") == 0
            assert server.rooms.disconnect("ada", "attic") == 0

    async def test_one_that_is_coming(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session that is still joining is disconnected before it joins."""
        gate = broker.close_gate("subscribe")
        keys = [("chat-room", "lobby"), ("chat-user", "ada")]
        async with entering(channel, keys) as ada:
            await until(lambda: broker.waiting)
            assert server.rooms.disconnect("ada") == 1
            end = await ada.end()
            assert end.status is Status.PERMISSION_DENIED
            assert end.trailers == {"chat-reconnect": "no"}
            gate.set()
        assert await server.rooms.presence("lobby") == []


class TestTime:
    async def test_a_deadline(self, server: ChatServer) -> None:
        """A session that ends by the client's deadline can be resumed."""
        async with raw_member(server, timeout="200m") as member:
            await server.rooms.publish("lobby", "bot", "a")
            await member.read_until(lambda: member.is_ended)
        assert member.offsets == [1]
        assert member.trailers["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)
        assert member.trailers["chat-reconnect"] == "yes"
        assert member.trailers["chat-resume"] == f"{member.headers[0]['chat-epoch']}/1"

    async def test_an_old_connection(self) -> None:
        """A session that ends by its connection's maximum age can be resumed."""
        limits = Limits(max_connection_age=0.1, max_connection_age_grace=0.1)
        async with room_server(limits=limits) as server, raw_member(server) as member:
            await member.read_until(lambda: member.is_ended)
        assert member.trailers["grpc-status"] == str(Status.UNAVAILABLE.value)
        assert member.trailers["chat-reconnect"] == "yes"
        assert member.trailers["chat-resume"] == f"{member.headers[0]['chat-epoch']}/0"


class TestLeaving:
    @pytest.mark.parametrize("how", ["cancel", "connection"])
    async def test_without_a_word(self, server: ChatServer, channel: Channel, how: str) -> None:
        """A client that cancels is gone at once, and its messages stay published."""
        async with channel_to(server) as other, joined(other, user="bob", events="presence") as bob:
            async with joined(channel, user="ada") as ada:
                await bob.hear()
                await ada.say("a")
                await bob.hear()
                if how == "cancel":
                    await ada.stream.cancel()
                else:
                    channel.close()
                (leave,) = await bob.hear()
                assert leave.sender == "ada"
            await until(lambda: server.rooms.statistics().sessions == 1)
            assert server.rooms.statistics().sessions_ended == {"left": 1}
            await said(bob, "b")
