"""The usage limits over real connections: clients above a limit, and bystanders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpclib.client import UnaryUnaryMethod

from chatify_stream import (
    AddressHeader,
    CallError,
    ChatServer,
    Credentials,
    Grants,
    Identity,
    Limits,
    Message,
    Rate,
    Reconnecting,
    Status,
    UsageLimits,
    unauthenticated,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.messages.service.v1 import ChatReq, ChatRsp
from chatify_stream.wire import Cardinality, MethodHandler, ServerStream

from ..rooms.membership import CHAT, End, channel_to, entering, joined, node_of, refused
from ..talking import answers, client, member

NEVER = 0.001
"""Tokens for each second, so low that none is gained during a test."""


class ByName:
    """Accepts the user name that the caller claims."""

    async def authenticate(self, call: Credentials) -> Identity:
        name = call.metadata.get("x-name")
        if not isinstance(name, str):
            raise unauthenticated("say who you are")
        return Identity(name, Grants.of({"*": ["join", "send", "read"]}))


@asynccontextmanager
async def serving(usage: UsageLimits | None, **options: Any) -> AsyncIterator[ChatServer]:
    async with ChatServer(usage=usage, **options) as server:
        await server.start("127.0.0.1", 0)
        yield server


def over(error: CallError, text: str) -> float:
    """Return the seconds to wait from an error that reports a limit."""
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert text in str(error.message)
    assert error.retry_after is not None
    return error.retry_after


def over_limit(end: End, text: str) -> None:
    """Check the end of a room session above a limit."""
    assert end.status is Status.RESOURCE_EXHAUSTED
    assert text in end.message
    assert end.may_come_back == "yes"
    assert int(end.trailers["retry-after-ms"]) > 0


async def flood(server: ChatServer, number: int, **options: Any) -> tuple[list[str], CallError]:
    """Send messages without reading; return the replies and how the call ended."""
    replies = []
    async with client(server, **options) as chat:

        async def send_all() -> None:
            for n in range(number):
                await chat.send(str(n))

        sending = asyncio.create_task(send_all())
        try:
            with pytest.raises(CallError) as caught:
                while (reply := await chat.receive()) is not None:
                    replies.append(reply.message)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return replies, caught.value


class TestDirectSessions:
    async def test_what_came_before_is_answered(self) -> None:
        """Exactly the allowed number is answered; then the call ends with the time to wait."""
        async with serving(UsageLimits(messages_per_session=Rate(300, NEVER))) as server:
            replies, error = await flood(server, 1000)
            assert replies == [f"Hello {n}" for n in range(300)]
            assert over(error, "too many messages of a session: the limit is 300, then") > 990
            assert server.usage_statistics().refused == {"messages_per_session": 1}
            assert await answers(server, "Ada") == ["Hello Ada"]

    async def test_one_after_the_other(self) -> None:
        """Messages that are answered within the read that brought them are counted, too."""
        async with serving(UsageLimits(bytes_per_session=Rate(45, NEVER))) as server:
            async with client(server) as chat:
                for n in range(5):  # of 9 bytes each
                    await chat.send(f"hello {n}")
                    assert (await chat.receive()).message == f"Hello hello {n}"
                await chat.send("hello 5")
                with pytest.raises(CallError, match="bytes of messages of a session"):
                    await chat.receive()

    async def test_awaited_replies(self) -> None:
        """The error waits for replies that take some time."""

        async def reply(text: str) -> str:
            await asyncio.sleep(0.001)
            return text.upper()

        limits = UsageLimits(messages_per_session=Rate(10, NEVER))
        async with serving(limits, reply=reply) as server:
            replies, _ = await flood(server, 50)
            assert replies == [str(n) for n in range(10)]

    async def test_messages_one_by_one(self) -> None:
        """A handler that receives messages one by one gets the same error."""
        got = []

        async def handler(session: Any) -> None:
            async for request in session:
                got.append(request.name)

        limits = UsageLimits(messages_per_session=Rate(3, NEVER))
        async with serving(limits, handler=handler) as server:
            _, error = await flood(server, 10)
            over(error, "too many messages")
            assert got == ["0", "1", "2"]

    async def test_grpcio(self) -> None:
        """Other gRPC clients receive the status, the text and the trailer."""
        async with serving(UsageLimits(messages_per_session=Rate(20, NEVER))) as server:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                call = channel.stream_stream(CHAT)()
                for _ in range(20):
                    await call.write(b"\x0a\x01x")
                    assert await call.read() == b"\x0a\x07Hello x"
                await call.write(b"\x0a\x01x")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            trailers = dict(caught.value.trailing_metadata() or ())
            assert 990_000 < int(trailers["retry-after-ms"]) <= 1_000_000

    async def test_sessions(self) -> None:
        """One session too many is rejected, and admitted after another one has ended."""
        limits = UsageLimits(sessions_per_address=2)
        async with serving(limits) as server:
            async with client(server), client(server) as chat:
                await chat.send("Ada")
                await chat.receive()
                with pytest.raises(CallError) as caught:
                    await answers(server, "Bob")
                assert over(caught.value, "open sessions of an address: at most 2") == 5
                await chat.close_and_recv()
                assert await answers(server, "Bob") == ["Hello Bob"]


class TestRooms:
    async def test_nothing_is_lost_or_doubled(self) -> None:
        """A RoomClient that floods is ended, waits and continues; every message arrives once."""
        limits = UsageLimits(messages_per_session=Rate(40, 200.0))
        async with serving(limits) as server, AsyncExitStack() as stack:
            watching = await stack.enter_async_context(member(server, "r", "eve"))
            flooding = await stack.enter_async_context(member(server, "r", "ada"))
            sends = [asyncio.create_task(flooding.send(str(n))) for n in range(100)]
            heard = []
            async with asyncio.timeout(60):
                while len(heard) < 100:
                    event = await watching.receive()
                    if isinstance(event, Message):
                        heard.append(event)
                positions = await asyncio.gather(*sends)
            assert [event.text for event in heard] == [str(n) for n in range(100)]
            assert [each.offset for each in positions] == list(range(1, 101))
            refused_by = server.usage_statistics().refused
            assert refused_by.keys() == {"messages_per_session"}
            events = [await flooding.receive() for _ in range(3)]
            while not isinstance(events[-1], Reconnecting):
                events.append(await flooding.receive())
            wait = over(events[-1].error, "too many messages of a session")
            assert events[-1].delay >= wait
            assert events[-1].error.metadata["chat-reconnect"] == "yes"

    async def test_what_was_refused_is_not_published(self) -> None:
        """The trailers have the resume position, and messages within the limit are published."""
        limits = UsageLimits(messages_per_session=Rate(5, NEVER))
        async with serving(limits) as server, channel_to(server) as channel:
            async with joined(channel, "r", user="ada") as member:
                await member.say(*map(str, range(9)))
                heard, end = await member.last_words()
            over_limit(end, "too many messages of a session")
            assert 990_000 < int(end.trailers["retry-after-ms"]) <= 1_000_000
            assert end.position == f"{member.epoch}/{len(heard)}"
            page = await server.rooms.history("r")
            assert [each.text for each in page.publications] == ["0", "1", "2", "3", "4"]
            assert node_of(server).statistics().sessions_ended == {"over_limit": 1}

    async def test_a_message_that_is_never_taken(self) -> None:
        """A message larger than the burst ends the session without reconnect."""
        async with serving(UsageLimits(bytes_per_session=Rate(10, NEVER))) as server:
            async with channel_to(server) as channel, joined(channel, "r") as member:
                await member.say("a" * 20)
                end = await member.end()
        assert (end.status, end.may_come_back) == (Status.RESOURCE_EXHAUSTED, "no")
        assert "retry-after-ms" not in end.trailers

    async def test_joins(self) -> None:
        """Too many joins are rejected with a time to wait; direct sessions do not count."""
        limits = UsageLimits(joins_per_address=Rate(2, NEVER))
        async with serving(limits) as server, channel_to(server) as channel:
            for _ in range(2):
                async with joined(channel, "r"):
                    pass
            over_limit(await refused(channel, room="r"), "rooms that an address joins")
            assert await answers(server, "Ada") == ["Hello Ada"]

    async def test_ten_thousand_rooms_of_one_user(self) -> None:
        """By default one user may be in a hundred rooms, and other users are not affected."""
        limits = UsageLimits(joins_per_user=None)
        async with serving(limits, auth=ByName()) as server, AsyncExitStack() as stack:
            channel = await stack.enter_async_context(channel_to(server))
            for n in range(100):
                keys = [("chat-room", f"r{n}"), ("x-name", "ada")]
                member = await stack.enter_async_context(entering(channel, keys))
                await member.stream.recv_initial_metadata()
            for n in range(100, 110):
                end = await refused(channel, ("x-name", "ada"), room=f"r{n}")
                over_limit(end, "rooms that a user is in: at most 100 at a time")
            async with entering(channel, [("chat-room", "new"), ("x-name", "bob")]) as member:
                await member.stream.recv_initial_metadata()
            assert server.usage_statistics().refused == {"rooms_per_user": 10}


class TestWhoShares:
    async def test_two_sessions_of_one_user(self) -> None:
        """All connections of a user share the limit; other users have their own."""
        limits = UsageLimits(messages_per_user=Rate(30, NEVER))
        async with serving(limits, auth=ByName()) as server:
            ada, bob = {"metadata": {"x-name": "ada"}}, {"metadata": {"x-name": "bob"}}
            async with client(server, **ada) as chat:
                for _ in range(20):
                    await chat.send("")
                    await chat.receive()
                replies, error = await flood(server, 30, **ada)
                assert len(replies) == 10
                over(error, "too many messages of a user")
                async with client(server, **bob) as bystander:
                    await bystander.send("Bob")
                    assert (await bystander.receive()).message == "Hello Bob"
                await chat.send("")
                with pytest.raises(CallError, match="too many messages of a user"):
                    await chat.receive()

    async def test_nobody_is_believed_by_name(self) -> None:
        """Without an authenticator, user names in the metadata do not affect the limits."""
        limits = UsageLimits(messages_per_user=Rate(1, NEVER), messages_per_address=Rate(3, NEVER))
        async with serving(limits) as server, channel_to(server) as channel:
            async with joined(channel, "r", user="ada") as ada, joined(channel, user="bob") as bob:
                await ada.say("1", "2", "3")
                assert await ada.texts(3) == ["1", "2", "3"]
                await bob.say("4")
                over_limit(await bob.end(), "too many messages of an address")

    async def test_addresses_behind_a_proxy(self) -> None:
        """The address in the header of a trusted proxy counts."""
        header = AddressHeader("x-forwarded-for", ["127.0.0.0/8"])
        limits = UsageLimits(messages_per_address=Rate(2, NEVER))
        async with serving(limits, address_header=header) as server:
            first, second = ({"metadata": {"x-forwarded-for": f"192.0.2.{n}"}} for n in (1, 2))
            assert len((await flood(server, 9, **first))[0]) == 2
            assert len((await flood(server, 9, **first))[0]) == 0
            assert len((await flood(server, 9, **second))[0]) == 2
            spoofed = {"metadata": {"x-forwarded-for": "192.0.2.9, 192.0.2.1"}}
            assert len((await flood(server, 9, **spoofed))[0]) == 0

    async def test_a_header_of_strangers(self) -> None:
        """The header of an untrusted client is ignored."""
        header = AddressHeader("x-forwarded-for", ["192.0.2.0/24"])
        limits = UsageLimits(messages_per_address=Rate(2, NEVER))
        async with serving(limits, address_header=header) as server:
            first, second = ({"metadata": {"x-forwarded-for": f"198.51.100.{n}"}} for n in (1, 2))
            assert len((await flood(server, 9, **first))[0]) == 2
            assert len((await flood(server, 9, **second))[0]) == 0


class TestOthers:
    async def test_health_is_not_counted(self) -> None:
        """Health checks are answered while clients flood."""
        limits = UsageLimits(messages_per_address=Rate(1, NEVER), sessions_per_address=1)
        async with serving(limits) as server, channel_to(server) as channel:
            await flood(server, 9)
            for _ in range(3):
                await HealthStub(channel).check(HealthCheckRequest())

    async def test_other_services(self) -> None:
        """Unary calls of other services count, too."""

        class Upper:
            async def _upper(self, stream: ServerStream) -> None:
                request = await stream.recv_message()
                await stream.send_message(ChatRsp(message=request.name.upper()))

            def __mapping__(self) -> dict[str, MethodHandler]:
                unary = Cardinality.UNARY_UNARY
                return {"/my.Service/Upper": MethodHandler(self._upper, unary, ChatReq, ChatRsp)}

        limits = UsageLimits(messages_per_address=Rate(2, NEVER))
        async with serving(limits, services=[Upper()]) as server, channel_to(server) as channel:
            call = UnaryUnaryMethod(channel, "/my.Service/Upper", ChatReq, ChatRsp)
            for _ in range(2):
                assert (await call(ChatReq(name="ada"))).message == "ADA"
            with pytest.raises(CallError) as caught:
                await call(ChatReq(name="ada"))
            over(caught.value, "too many messages of an address")

    async def test_connections(self) -> None:
        """Above the rate of new connections a connection is closed, and open ones continue."""
        limits = Limits(connection_rate_per_address=Rate(2, NEVER))
        async with serving(None, limits=limits) as server, client(server) as chat:
            assert await answers(server, "Ada") == ["Hello Ada"]
            with pytest.raises(CallError):
                await answers(server, "Bob")
            await chat.send("Eve")
            assert (await chat.receive()).message == "Hello Eve"
            assert set(server.statistics().connections_refused_by) == {
                "connection_rate_per_address"
            }

    async def test_a_change_while_it_runs(self) -> None:
        """New limits apply to open sessions, and None removes all limits."""
        async with serving(UsageLimits(messages_per_session=Rate(1000, NEVER))) as server:
            async with client(server) as chat:
                for _ in range(3):
                    await chat.send("Ada")
                    await chat.receive()
                server.usage = UsageLimits(messages_per_session=Rate(4, NEVER))
                await chat.send("Ada")
                await chat.receive()
                await chat.send("Ada")
                with pytest.raises(CallError, match="the limit is 4, then"):
                    await chat.receive()
            server.usage = None
            assert server.usage is None
            assert len(await answers(server, *map(str, range(50)))) == 50

    async def test_memory_returns(self) -> None:
        """An account is removed once its user has left and its buckets are full."""
        limits = UsageLimits(messages_per_address=Rate(5, 1000.0), joins_per_user=Rate(9, 1000.0))
        async with serving(limits, auth=ByName()) as server:
            for name in ("ada", "bob"):
                await flood(server, 2000, metadata={"x-name": name})
            async with asyncio.timeout(30):
                while server.usage_statistics().accounts:
                    await asyncio.sleep(0)
