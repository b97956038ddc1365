"""Clients that read slowly or not at all: they are ended, can resume, and delay nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import cycle
from typing import Any

import pytest
from h2.errors import ErrorCodes

from chatify_stream import Channel, ChatServer, Limits, Status
from chatify_stream.rooms import Outbox
from tests.footprint import held

from ...support.waiting import until
from .membership import Membership, channel_to, joined, node_of, room_server
from .raw_member import RawMember, raw_member

KIB = 1024
OUTBOX = 64 * KIB
LARGEST = 2**31 - 1
TOO_SLOW = (
    f"the client reads too slowly: more than {OUTBOX} bytes are buffered; reconnect and resume"
)
SHORT = Limits(write_timeout=0.3)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with room_server(max_outbox=OUTBOX) as server:
        yield server


@pytest.fixture
async def impatient() -> AsyncIterator[ChatServer]:
    """A server with short timeouts for slow readers."""
    async with room_server(max_outbox=OUTBOX, limits=SHORT) as server:
        yield server


@pytest.fixture
async def channel(server: ChatServer) -> AsyncIterator[Channel]:
    async with channel_to(server) as channel:
        yield channel


async def publish_until(server: ChatServer, ended: str, text: str, reader: Membership) -> int:
    """Publish until a session has ended for this reason; return the number of messages."""
    count = 0
    async with asyncio.timeout(20):
        while not server.rooms.statistics().sessions_ended.get(ended):
            position = await server.rooms.publish("lobby", "bot", text)
            (message,) = await reader.hear()
            assert message.offset == position.offset
            count += 1
    return count


def assert_resumable(member: RawMember, message: str = TOO_SLOW) -> None:
    """Check the reason and the position of the last received message."""
    assert member.trailers["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
    assert member.trailers["grpc-message"] == message
    assert member.trailers["chat-reconnect"] == "yes"
    epoch = member.headers[0]["chat-epoch"]
    assert member.offsets == list(range(1, len(member.offsets) + 1))
    assert member.trailers["chat-resume"] == f"{epoch}/{len(member.offsets)}"


async def resumes(server: ChatServer, channel: Channel, member: RawMember, newest: int) -> None:
    """Resume, and check that no message is missing."""
    async with joined(channel, resume=member.trailers["chat-resume"]) as again:
        assert again.headers["chat-recovered"] == "true"
        missed = await again.hear(newest - len(member.offsets))
        assert [message.offset for message in missed] == list(
            range(len(member.offsets) + 1, newest + 1)
        )


class TestStalledWindow:
    @pytest.mark.parametrize("size", [10, 1000, 20 * KIB])
    async def test_over_its_outbox(self, server: ChatServer, channel: Channel, size: int) -> None:
        """A client that returns no window is ended, and misses nothing after it resumes."""
        async with joined(channel) as reader, raw_member(server) as stalled:
            count = await publish_until(server, "slow_reader", "x" * size, reader)
            await stalled.read_until(lambda: stalled.is_ended)
            assert_resumable(stalled)
            assert stalled.offsets
            await resumes(server, channel, stalled, count)

    async def test_its_memory(self, server: ChatServer, channel: Channel) -> None:
        """Nothing of the session remains, also while its connection is open."""
        earlier = len(held(Outbox))
        async with joined(channel) as reader, raw_member(server) as stalled:
            await publish_until(server, "slow_reader", "x" * KIB, reader)
            await until(lambda: server.rooms.statistics().sessions == 1)
            await until(lambda: server.open_calls == 1)
            assert len(held(Outbox)) == earlier
            assert not stalled.is_closed

    async def test_whose_window_is_for_less_than_a_message(
        self, server: ChatServer, channel: Channel
    ) -> None:
        """A message that was sent in part is completed when the client reads again."""
        async with joined(channel) as reader, raw_member(server) as slow:
            for size in (20, 50, 50):
                await server.rooms.publish("lobby", "bot", "x" * size * KIB)
                await reader.hear()
            await until(lambda: any(session._disconnect for session in node_of(server).sessions))
            await slow.read_until(lambda: slow.bytes_received == 65_535)
            assert slow.offsets == [1]
            assert not slow.is_ended
            slow.grant(64 * KIB)
            await slow.read_until(lambda: slow.is_ended)
            assert slow.offsets == [1, 2]
            assert_resumable(slow)
            await resumes(server, channel, slow, 3)

    async def test_what_comes_as_it_catches_up(self, server: ChatServer) -> None:
        """A message published just after the last buffered message was sent is sent once."""
        async with raw_member(server) as slow:
            for size in (20, 50):
                await server.rooms.publish("lobby", "bot", "x" * size * KIB)
            await slow.read_until(lambda: slow.bytes_received == 65_535)
            (session,) = node_of(server).sessions
            member = session._member

            def publish_at_once() -> None:
                member.notify = None
                with pytest.raises(StopIteration):  # a broker in memory does not wait
                    server.rooms.publish("lobby", "bot", "x" * 10 * KIB).send(None)
                node_of(server).hub._rooms["lobby"].flush()

            member.notify = publish_at_once
            slow.grant(8 * KIB)  # for the rest of the second message, and not for a third one
            await slow.read_until(lambda: len(slow.messages) == 2)
            await server.rooms.publish("lobby", "bot", "last")
            slow.grant(64 * KIB)
            slow.half_close()
            await slow.read_until(lambda: slow.is_ended)
            assert slow.offsets == [1, 2, 3, 4]

    async def test_in_the_middle_of_a_message(self, impatient: ChatServer) -> None:
        """A client that never reads the rest of a message is reset with RESOURCE_EXHAUSTED."""
        async with channel_to(impatient) as channel, joined(channel) as reader:
            async with raw_member(impatient) as stalled:
                for size in (20, 50):
                    await impatient.rooms.publish("lobby", "bot", "x" * size * KIB)
                    await reader.hear()
                await stalled.read_until(lambda: stalled.reset is not None)
                assert stalled.reset == ErrorCodes.ENHANCE_YOUR_CALM
                assert not stalled.is_ended
                await reader.say("still here")
                assert await reader.texts() == ["still here"]
        assert impatient.rooms.statistics().sessions_ended["stalled"] == 1

    async def test_for_too_long(self, impatient: ChatServer) -> None:
        """A client with few buffered bytes is ended if it reads nothing within the timeout."""
        async with channel_to(impatient) as channel, joined(channel) as reader:
            async with raw_member(impatient, window=1000) as stalled:
                for _ in range(5):
                    await impatient.rooms.publish("lobby", "bot", "x" * 400)
                    await reader.hear()
                await stalled.read_until(lambda: stalled.is_ended)
                assert_resumable(stalled, "nothing was read for 0.3 s; reconnect and resume")
                assert stalled.offsets == [1, 2]
                await resumes(impatient, channel, stalled, 5)

    async def test_while_it_catches_up(self, impatient: ChatServer) -> None:
        """A client that requests history and does not read is ended."""
        for _ in range(100):
            await impatient.rooms.publish("lobby", "bot", "x" * KIB)
        async with channel_to(impatient) as channel:
            async with raw_member(impatient, history="100") as stalled:
                await impatient.rooms.publish("lobby", "bot", "live")
                await stalled.read_until(lambda: stalled.is_ended)
                assert_resumable(stalled, "nothing was read for 0.3 s; reconnect and resume")
                assert 30 < len(stalled.offsets) < 64
                await resumes(impatient, channel, stalled, 101)

    @pytest.mark.parametrize("window", [1, 100, 1000])
    async def test_a_tiny_window(self, server: ChatServer, window: int) -> None:
        """A client that reads a few bytes at a time receives everything and the end."""
        async with raw_member(server, window=window) as slow:
            for number in range(5):
                await server.rooms.publish("lobby", "bot", f"{number} {'x' * 50}")
            while len(slow.messages) < 5:
                before = slow.bytes_received
                await slow.read_until(
                    lambda before=before: slow.bytes_received > before or len(slow.messages) == 5
                )
                slow.grant(slow.bytes_received - before)
            slow.half_close()
            await slow.read_until(lambda: slow.is_ended)
            assert slow.offsets == [1, 2, 3, 4, 5]
            assert slow.trailers["grpc-status"] == "0"

    async def test_a_small_window_of_all_calls(self, server: ChatServer) -> None:
        """A message that only the stream's window has space for does not wait forever."""
        async with raw_member(server, window=LARGEST) as slow:
            for offset in (1, 2, 3):
                await server.rooms.publish("lobby", "bot", "x" * 64 * KIB)
                while len(slow.messages) < offset:
                    before = slow.bytes_received
                    await slow.read_until(lambda before=before: slow.bytes_received > before)
                    slow.grant(0, connection=slow.bytes_received - before)
            assert slow.offsets == [1, 2, 3]

    async def test_one_of_many_calls(self, server: ChatServer, channel: Channel) -> None:
        """A stream that is not read does not block the other streams of its connection."""
        async with joined(channel, "attic") as unread, joined(channel) as reader:
            for number in range(200):
                await server.rooms.publish("attic", "bot", "x" * KIB)
                await server.rooms.publish("lobby", "bot", str(number))
            assert await reader.texts(200) == [str(number) for number in range(200)]
            assert len(await unread.hear(200)) == 200


class TestStalledConnection:
    async def test_over_its_outbox(self, server: ChatServer, channel: Channel) -> None:
        """A client that leaves everything in its socket is ended, and finds the reason there."""
        async with joined(channel) as reader:
            async with raw_member(server, window=LARGEST, connection=2**30) as stalled:
                count = await publish_until(server, "slow_reader", "x" * 50 * KIB, reader)
                assert server.rooms.statistics().sessions == 1
                await stalled.read_until(lambda: stalled.is_ended)
                assert_resumable(stalled)
                await resumes(server, channel, stalled, count)

    async def test_for_too_long(self, impatient: ChatServer) -> None:
        """The connection of a client that never reads is aborted at last."""
        async with channel_to(impatient) as channel, joined(channel) as reader:
            async with raw_member(impatient, window=LARGEST, connection=2**30):
                await publish_until(impatient, "slow_reader", "x" * 50 * KIB, reader)
                await until(lambda: impatient.statistics().connections == 1)
                await until(lambda: impatient.open_calls == 1)

    @pytest.mark.parametrize(("window", "connection"), [(LARGEST, 2**30), (65_535, 0)])
    @pytest.mark.parametrize("sizes", [(20,), (20, 50)])
    async def test_that_is_lost(
        self,
        server: ChatServer,
        channel: Channel,
        caplog: pytest.LogCaptureFixture,
        window: int,
        connection: int,
        sizes: tuple[int, ...],
    ) -> None:
        """A client that leaves with a full outbox leaves nothing behind and no error in the log."""
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, it: reported.append(it))
        async with joined(channel) as reader:
            async with raw_member(server, window=window, connection=connection) as stalled:
                for size in cycle(sizes):
                    await server.rooms.publish("lobby", "bot", "x" * size * KIB)
                    await reader.hear()
                    if any(session._member.backlog for session in node_of(server).sessions):
                        break
                stalled._client.writer.transport.abort()
            await until(lambda: server.rooms.statistics().sessions == 1)
        held(Outbox)  # which collects what nobody has looked at
        assert reported == []
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_that_is_lost_as_it_ends(
        self, server: ChatServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The same holds for a session that had ended with a message sent in part."""
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, it: reported.append(it))
        async with raw_member(server, user="ada") as slow:
            for size in (20, 50):
                await server.rooms.publish("lobby", "bot", "x" * size * KIB)
            await slow.read_until(lambda: slow.bytes_received == 65_535)
            assert server.rooms.disconnect("ada") == 1
            (session,) = node_of(server).sessions
            await until(session._sending.done)
            assert not session._half_sent.done()
            slow._client.writer.transport.abort()
            await until(lambda: server.open_calls == 0)
        del session
        held(Outbox)  # which collects what nobody has looked at
        assert reported == []
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


class TestPublishers:
    async def test_that_do_not_read(self, impatient: ChatServer) -> None:
        """A client that floods the room without reading is not read from, and then ended."""
        async with channel_to(impatient) as channel, joined(channel) as reader:
            async with raw_member(impatient) as flood:
                flood.say("x" * KIB, times=500)
                await until(lambda: impatient.rooms.statistics().sessions == 1)
                published = impatient.rooms.statistics().messages_published
                await flood.read_until(lambda: flood.is_ended)
                assert_resumable(flood, "nothing was read for 0.3 s; reconnect and resume")
                assert published * KIB < 65_535 + OUTBOX
                heard = await reader.hear(published)
                assert [message.offset for message in heard] == list(range(1, published + 1))
                await reader.say("still here")
                assert await reader.texts() == ["still here"]

    @pytest.mark.parametrize("text", ["x" * KIB, "界" * 300, "🚀" * 256, ""])
    async def test_that_send_much_at_once(self, server: ChatServer, text: str) -> None:
        """A client that reads while it sends may send more at once than its outbox holds."""
        async with raw_member(server) as eager:
            eager.say(text, times=300)
            eager.half_close()
            while not eager.is_ended:
                before = eager.bytes_received
                await eager.read()
                if eager.bytes_received > before:
                    eager.grant(eager.bytes_received - before)
            assert eager.trailers["grpc-status"] == "0"
            assert eager.offsets == list(range(1, 301))

    async def test_that_half_close_in_a_busy_room(self, server: ChatServer) -> None:
        """A half-closed session ends once its own messages arrived; it ignores later messages."""
        async with raw_member(server) as slow:
            for _ in range(5):
                await server.rooms.publish("lobby", "bot", "x" * 15 * KIB)
            slow.say("mine")
            slow.half_close()
            await until(lambda: server.rooms.statistics().messages_published == 6)
            room = node_of(server).hub._rooms["lobby"]
            await until(lambda: not room.members)
            for _ in range(20):
                await server.rooms.publish("lobby", "bot", "x" * 15 * KIB)
            while not slow.is_ended:
                before = slow.bytes_received
                await slow.read()
                if slow.bytes_received > before:
                    slow.grant(slow.bytes_received - before)
            assert slow.offsets == [1, 2, 3, 4, 5, 6]
            assert slow.messages[-1].message == "mine"
            assert slow.trailers["grpc-status"] == "0"

    async def test_that_half_close_and_do_not_read(self, impatient: ChatServer) -> None:
        """A half-closed session whose client does not read ends by the timeout."""
        async with raw_member(impatient) as member:
            member.say("x" * KIB, times=100)
            member.half_close()
            await member.read_until(lambda: member.is_ended)
            assert_resumable(member, "nothing was read for 0.3 s; reconnect and resume")


async def test_many_of_them(server: ChatServer, channel: Channel) -> None:
    """Ten clients that do not read cost the others no message, and can all resume."""
    async with joined(channel) as reader, AsyncExitStack() as stack:
        stalled = [await stack.enter_async_context(raw_member(server)) for _ in range(10)]
        for offset in range(1, 201):
            await server.rooms.publish("lobby", "bot", "x" * KIB)
            assert [message.offset for message in await reader.hear()] == [offset]
        for member in stalled:
            await member.read_until(lambda member=member: member.is_ended)
            assert_resumable(member)
