"""Nothing is left behind: no task, stream, connection or descriptor."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from contextlib import nullcontext, suppress

import pytest
from grpclib.protocol import Stream

from chatify_stream import (
    CallError,
    Channel,
    ChatClient,
    ChatifyError,
    ChatReq,
    ChatRsp,
    ChatServer,
    Rate,
    ServiceStub,
    UsageLimits,
)
from chatify_stream.client import CHAT_PATH
from chatify_stream.wire import Cardinality, ServerObserver, ServerStream

from .footprint import descriptors, held

STREAMS = 500


async def use(channel: Channel, chance: random.Random) -> None:
    """Opens a stream, uses it a little, and leaves it in one of the ways there are."""
    async with asyncio.timeout(60):
        try:
            async with ChatClient(channel, timeout=chance.choice([None, 30, 0.01])) as chat:
                for _ in range(chance.randrange(4)):
                    await chat.send("x" * chance.choice([0, 10, 30_000]))
                match chance.randrange(6):
                    case 0:
                        await chat.cancel()
                    case 1:
                        await chat.close_and_recv()
                    case 2:
                        raise KeyError
                    case 3:
                        await chat.half_close()
                    case 4:
                        asyncio.current_task().cancel()
                        await chat.receive()
                    case _:
                        pass
        except (CallError, KeyError):
            pass


@pytest.mark.parametrize("seed", range(3))
async def test_streams_at_random(seed: int) -> None:
    """500 streams opened, used and cancelled at random leave nothing behind."""
    chance = random.Random(seed)
    earlier = held(Stream)  # of other tests, whose failures pytest keeps
    before = descriptors()
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        channels = [Channel("127.0.0.1", server.port) for _ in range(5)]
        uses = [
            asyncio.create_task(use(chance.choice(channels), random.Random(chance.random())))
            for _ in range(STREAMS)
        ]
        cancellations = [
            asyncio.get_running_loop().call_later(chance.random() / 5, task.cancel)
            for task in chance.sample(uses, 50)
        ]
        results = await asyncio.gather(*uses, return_exceptions=True)
        errors = [r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)]
        assert errors == []
        for cancellation in cancellations:
            cancellation.cancel()
        del uses, results, errors  # whose exceptions hold frames, and those their streams
        connections = server._listeners[0].server._connections
        async with asyncio.timeout(30):
            # A stream that waits for the next turn of its connection is not an open call yet.
            while server.open_calls or any(each.connection.streams for each in connections):
                await asyncio.sleep(0)
        for connection in connections:
            assert connection.connection.streams == {}
            connection.connection.h2.open_outbound_streams  # noqa: B018 - which prunes
            assert connection.connection.h2.streams == {}
        async with ChatClient(channels[0]) as chat:  # the connections still work
            await chat.send("Ada")
            assert (await chat.receive()).message == "Hello Ada"
        del chat
        for channel in channels:
            channel.close()
            await channel.wait_closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(0)
    assert descriptors() == before
    assert [each for each in held(Stream) if not any(each is other for other in earlier)] == []


async def test_the_stub_leaves_no_task() -> None:
    """A call of the stub leaves no sending task, however it ends."""

    async def failing():
        raise KeyError
        yield

    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as channel:
            for _ in range(20):
                with pytest.raises(KeyError):
                    async for _ in ServiceStub(channel).chat(failing()):
                        pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Calls(ServerObserver):
    """The calls of a server that are still in memory."""

    def __init__(self) -> None:
        self.kept: weakref.WeakSet[ServerStream] = weakref.WeakSet()
        self.started = 0

    def call_started(self, stream: ServerStream) -> None:
        self.started += 1
        self.kept.add(stream)


@pytest.mark.parametrize("room", [None, "lobby"])
@pytest.mark.parametrize("way", ["done", "cancelled", "over a limit", "lost"])
async def test_a_session_is_freed_as_it_ends(room: str | None, way: str) -> None:
    """It waits for no garbage collector, so those that come and go take no memory."""
    calls = Calls()
    usage = UsageLimits(messages_per_session=Rate(2, 0.001))
    metadata = {} if room is None else {"chat-room": room, "chat-user": "Ada"}

    async def talk(channel: Channel) -> None:
        async with channel.request(
            CHAT_PATH, Cardinality.STREAM_STREAM, ChatReq, ChatRsp, metadata=metadata
        ) as call:
            await call.send_request()
            for number in range(100 if way == "over a limit" else 1):
                await call.send_message(ChatReq(name=f"Ada {number}"))
            assert await call.recv_message() is not None
            match way:
                case "done":
                    await call.end()
                    assert await call.recv_message() is None
                case "cancelled":
                    await call.cancel()
                case "lost":
                    channel.close()
                case _:
                    while await call.recv_message() is not None:
                        pass

    async with ChatServer(observers=[calls], usage=usage) as server:
        await server.start("127.0.0.1", 0)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                async with Channel("127.0.0.1", server.port) as channel:
                    with nullcontext() if way == "done" else suppress(ChatifyError):
                        await talk(channel)
            async with asyncio.timeout(30):
                while server.open_calls:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert (calls.started, len(calls.kept)) == (10, 0)
        finally:
            gc.enable()
