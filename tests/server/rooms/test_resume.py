"""Tests of server/rooms/session.py, over real connections: history and resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatify_stream import Channel, ChatServer, Status
from chatify_stream.rooms import Hub, Retention

from ...support.waiting import until
from .membership import (
    channel_to,
    entering,
    joined,
    node_of,
    offsets,
    publish,
    room_server,
)
from .moody_broker import MoodyBroker


@pytest.fixture
async def broker() -> MoodyBroker:
    return MoodyBroker(Retention(count=20))


@pytest.fixture
async def server(broker: MoodyBroker) -> AsyncIterator[ChatServer]:
    async with room_server(broker=broker) as server:
        yield server


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


class TestHistory:
    @pytest.mark.parametrize(
        ("asked", "first"),
        [("0", 26), ("1", 25), ("3", 23), ("20", 6), ("21", 6), ("999999999", 6)],
    )
    async def test_the_newest(
        self, server: ChatServer, channel: Channel, asked: str, first: int
    ) -> None:
        """The newest stored messages arrive first, as many as requested."""
        await publish(server, *(str(number) for number in range(1, 26)))
        async with joined(channel, history=asked) as ada:
            await publish(server, "live")
            expected = [*range(first, 26), 26]
            assert offsets(await ada.hear(len(expected))) == expected
            assert ada.headers["chat-offset"] == "25"
            assert ada.headers["chat-recovered"] == "false"

    async def test_of_an_empty_room(self, server: ChatServer, channel: Channel) -> None:
        """The history of an empty room is empty; new messages follow."""
        async with joined(channel, history="5") as ada:
            await publish(server, "first")
            assert offsets(await ada.hear()) == [1]

    async def test_what_is_published_meanwhile(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """Messages published meanwhile arrive once, after the history."""
        await publish(server, "1", "2", "3")
        gate = broker.close_gate("read")
        async with entering(channel, [("chat-room", "lobby"), ("chat-history", "2")]) as ada:
            await until(lambda: broker.waiting)
            await publish(server, "4")
            broker.close_gate("read")
            gate.set()  # it has found where to begin, and now reads what comes after that
            await until(lambda: broker.count("read") == 2)
            await publish(server, "5", "6")
            broker.gates.pop("read").set()
            assert offsets(await ada.hear(5)) == [2, 3, 4, 5, 6]
            await publish(server, "7")
            assert offsets(await ada.hear()) == [7]

    async def test_that_is_gone_when_it_is_read(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session whose next messages were trimmed ends without receiving a part of them."""
        await publish(server, "1", "2")
        gate = broker.close_gate("read")
        async with entering(channel, [("chat-room", "lobby"), ("chat-history", "2")]) as ada:
            await until(lambda: broker.waiting)
            broker.close_gate("read")
            gate.set()
            await until(lambda: broker.count("read") == 2)
            await publish(server, *(str(number) for number in range(3, 24)))
            broker.gates.pop("read").set()
            heard, end = await ada.last_words()
            assert heard == []
            assert (end.status, end.may_come_back) == (Status.RESOURCE_EXHAUSTED, "yes")
            assert "the room no longer keeps the next messages" in end.message
            assert end.position == f"{ada.epoch}/0"


class TestResume:
    async def test_all_that_was_missed(self, server: ChatServer, channel: Channel) -> None:
        """Every message after the position arrives in order, then new messages."""
        async with joined(channel) as ada:
            await publish(server, "1", "2")
            await ada.hear(2)
        await publish(server, "3", "4", "5")
        async with joined(channel, resume=f"{ada.epoch}/2") as again:
            assert again.headers["chat-recovered"] == "true"
            assert again.headers["chat-offset"] == "5"
            await publish(server, "6")
            assert await again.texts(4) == ["3", "4", "5", "6"]
        assert server.rooms.statistics().resumes == {True: 1}

    async def test_a_long_way(self, channel: Channel) -> None:
        """A resume longer than one page is complete."""
        async with room_server(retention=Retention(count=1000)) as server:
            async with channel_to(server) as channel:
                await publish(
                    server, *(f"{number} {'x' * (number % 500)}" for number in range(700))
                )
                async with joined(channel) as ada:
                    pass
                async with joined(channel, resume=f"{ada.epoch}/100") as again:
                    assert offsets(await again.hear(600)) == list(range(101, 701))

    @pytest.mark.parametrize(
        ("position", "recovered", "first"),
        [
            ("{epoch}/25", "true", 26),  # nothing was missed
            ("{epoch}/5", "true", 6),  # the oldest that is kept was the next
            ("{epoch}/4", "false", 26),  # it is gone
            ("{epoch}/0", "false", 26),
            ("{epoch}/26", "false", 26),  # from the future
            ("{epoch}/9223372036854775807", "false", 26),
            ("another/20", "false", 26),
            ("x/0", "false", 26),
        ],
    )
    async def test_whole_or_nothing(
        self, server: ChatServer, channel: Channel, position: str, recovered: str, first: int
    ) -> None:
        """If a message is no longer stored, no old message is sent, and the headers say so."""
        await publish(server, *(str(number) for number in range(1, 26)))
        epoch = (await server.rooms.history("lobby")).newest.epoch
        async with joined(channel, resume=position.format(epoch=epoch)) as ada:
            assert ada.headers["chat-recovered"] == recovered
            assert (ada.headers["chat-offset"], ada.epoch) == ("25", epoch)
            await publish(server, "live")
            assert offsets(await ada.hear(27 - first)) == list(range(first, 27))
        assert server.rooms.statistics().resumes == {recovered == "true": 1}

    async def test_in_another_room(self, server: ChatServer, channel: Channel) -> None:
        """A position of another room cannot be resumed."""
        await publish(server, "1")
        await publish(server, "1", room="attic")
        epoch = (await server.rooms.history("lobby")).newest.epoch
        async with joined(channel, "attic", resume=f"{epoch}/0") as ada:
            assert ada.headers["chat-recovered"] == "false"

    async def test_after_the_log_was_lost(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A reset of the log ends sessions with their old position; they find a new epoch."""
        async with joined(channel) as ada:
            await publish(server, "1")
            await ada.hear()
            broker.lose_the_log("lobby")
            end = await ada.end()
            assert (end.status, end.may_come_back) == (Status.UNAVAILABLE, "yes")
            assert end.message == (
                "the log of the room was lost or reset; reconnect to get the new epoch"
            )
            assert end.position == f"{ada.epoch}/1"
            async with joined(channel, resume=str(end.position)) as again:
                assert again.headers["chat-recovered"] == "false"
                assert again.epoch != ada.epoch
                await publish(server, "new")
                assert offsets(await again.hear()) == [1]

    async def test_the_log_is_lost_meanwhile(
        self, broker: MoodyBroker, server: ChatServer, channel: Channel
    ) -> None:
        """A session that is catching up does not receive messages of two epochs."""
        await publish(server, "1", "2")
        epoch = (await server.rooms.history("lobby")).newest.epoch
        for asked, reads in (("history", 1), ("resume", 1), ("history", 2)):
            value = "2" if asked == "history" else f"{epoch}/0"
            keys = [("chat-room", "lobby"), (f"chat-{asked}", value)]
            before = broker.count("read")
            gate = broker.close_gate("read")
            async with entering(channel, keys) as ada:
                for read in range(1, reads + 1):
                    await until(
                        lambda read=read, before=before: broker.count("read") == before + read
                    )
                    if read < reads:
                        last, gate = gate, broker.close_gate("read")
                        last.set()
                broker.lose_the_log("lobby")
                gate.set()
                heard, end = await ada.last_words()
            assert heard == []
            assert (end.status, end.may_come_back) == (Status.UNAVAILABLE, "yes")
            assert ("chat-session" in ada.headers) is (reads == 2)
            assert end.position == (f"{epoch}/0" if reads == 2 else None)
            await publish(server, "1", "2")
            epoch = (await server.rooms.history("lobby")).newest.epoch


class TestLateNews:
    """A broker may report messages later than it has stored them."""

    @pytest.fixture
    def late(self, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
        """The events that the broker has not reported yet, as arguments of `Hub.published`."""
        news: list[tuple[Any, ...]] = []
        monkeypatch.setattr(node_of(server).hub, "published", lambda *told: news.append(told))
        return news

    def tell(self, server: ChatServer, late: list[tuple[Any, ...]]) -> None:
        for room, publications in late:
            Hub.published(node_of(server).hub, room, publications)
        late.clear()

    async def test_history(
        self, server: ChatServer, channel: Channel, late: list[tuple[Any, ...]]
    ) -> None:
        """A stored message that was not reported yet arrives when it is reported."""
        async with joined(channel) as ada:
            await publish(server, "1", "2")
            self.tell(server, late)
            await publish(server, "3")
            async with joined(channel, history="5") as bob:
                assert bob.headers["chat-offset"] == "2"
                assert offsets(await bob.hear(2)) == [1, 2]
                await publish(server, "4")
                self.tell(server, late)
                assert offsets(await bob.hear(2)) == [3, 4]
                assert offsets(await ada.hear(4)) == [1, 2, 3, 4]

    async def test_half_close(
        self, server: ChatServer, channel: Channel, late: list[tuple[Any, ...]]
    ) -> None:
        """A half-closed session waits for its own new and duplicate messages."""
        async with joined(channel, user="ada") as ada, joined(channel, user="ada") as again:
            for member in (ada, again):
                await member.say("hi", id="1")
                await member.half_close()
            await until(lambda: node_of(server).broker.count("publish") == 2)
            for _ in range(10):
                await asyncio.sleep(0)
            assert server.rooms.statistics().sessions == 2
            self.tell(server, late)
            for member in (ada, again):
                heard, end = await member.last_words()
                assert (offsets(heard), end.status) == ([1], Status.OK)
