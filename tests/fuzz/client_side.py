"""Our client, and a server that sends it anything."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from chatify_stream import (
    CallError,
    ChatClient,
    ChatifyError,
    ChatReq,
    ChatRsp,
    ClosedError,
    ServiceStub,
)
from chatify_stream.client import Channel
from chatify_stream.wire import CHANNEL_LIMITS, Cardinality, Limits, Rate

from .frames import settings
from .memory import End, MemoryLoop
from .server_side import LAST_TIMERS, LONG
from .stories import Story
from .watch import FaultError

__all__ = ["ClientSide"]

PORT = 9
NARROW = Limits(
    pings=Rate(2, 1.0),
    resets=Rate(1, 1.0),
    settings=Rate(3, 1.0),
    glitches=Rate(2, 1.0),
    max_message_size=60,
    max_header_list_size=600,
    first_call_timeout=None,
)


class Call:
    """A call that is made in one of the ways there are, and what came of it."""

    def __init__(self, channel: Channel, chance: Random) -> None:
        self._channel = channel
        self._chance = chance
        self._timeout = chance.choice((None, None, 5))
        self._requests = ("Ada", "x" * 100)[: chance.randrange(3)]
        self.reads_all = False
        """It waits for the status, whatever comes before."""
        self.texts: list[str] = []
        self.status = 0
        style = chance.choice(
            (self._chat, self._talk, self._talk, self._all, self._all, self._stub, self._one)
        )
        self.task = asyncio.create_task(self._run(style))

    async def _run(self, style: Callable[[], Awaitable[None]]) -> str:
        """Says how it ended; raises what no caller has to expect."""
        try:
            await style()
        except CallError as error:
            self.status = error.status.value
            return type(error).__name__
        except ClosedError as error:
            return type(error).__name__
        return "OK"

    async def _chat(self) -> None:
        chance = self._chance
        async with ChatClient(self._channel, timeout=self._timeout) as client:
            for text in self._requests:
                await client.send(text)
            for _ in range(chance.randrange(3)):
                await client.receive()
            if chance.random() < 0.3:
                await client.cancel()

    async def _talk(self) -> None:
        async with ChatClient(self._channel, timeout=self._timeout) as client:
            await client.send("Ada")
            async for reply in client:
                await client.send(reply.message)

    async def _all(self) -> None:
        self.reads_all = True
        async with ChatClient(self._channel, timeout=self._timeout) as client:
            for text in self._requests:
                await client.send(text)
            if self._chance.random() < 0.7:
                await client.half_close()
            async for reply in client:
                self.texts.append(reply.message)

    async def _stub(self) -> None:
        self.reads_all = True
        requests = [ChatReq(name=text) for text in self._requests]
        async for reply in ServiceStub(self._channel).chat(requests, timeout=self._timeout):
            self.texts.append(reply.message)

    async def _one(self) -> None:
        request = self._channel.request("/a.B/C", Cardinality.UNARY_UNARY, ChatReq, ChatRsp)
        async with request as stream:
            await stream.send_message(ChatReq(name="Ada"))
            await stream.recv_message()


class ClientSide:
    """Channels, each with three calls, to a server that is not there."""

    def __init__(self, loop: MemoryLoop) -> None:
        self._loop = loop
        self.outcomes: Counter[str] = Counter()

    async def run(self, story: Story, chance: Random) -> None:
        """Raises `FaultError` when the client did what it must not."""
        limits = chance.choice((CHANNEL_LIMITS, CHANNEL_LIMITS, NARROW))
        compression = chance.choice(("identity", "identity", "gzip", "deflate"))
        channel = Channel("127.0.0.1", PORT, limits=limits, compression=compression)
        ends: list[End] = []
        self._loop.answer(PORT, ends.append)
        calls = [Call(channel, chance) for _ in range(3)]
        await self._loop.idle()
        (end,) = ends
        is_greeted = chance.random() < 0.95
        if is_greeted:  # without which no call is opened
            end.feed(bytes(settings({})))
            await self._loop.idle()
        rests = chance.random() if len(story.chunks) < 10 else 0.1
        for chunk in story.chunks:
            end.feed(chunk)
            if chance.random() < rests:
                await self._loop.idle()
        await self._loop.idle()
        if not is_greeted:  # the attempt to connect ends with the connection
            await asyncio.sleep(LAST_TIMERS)
        self._check_waiting(end, calls)
        if is_greeted and limits is not NARROW:
            self._check_expected(calls, story)
        if chance.random() < 0.2:  # one more, on this connection or, if it is going, on none
            calls.append(Call(channel, chance))
            await self._loop.idle()
        await self._leave(channel, end, calls, chance)
        for call in calls:
            self.outcomes[_outcome(call)] += 1
        channel.close()
        await channel.wait_closed()
        await self._nothing_is_left(end)

    def _check_waiting(self, end: End, calls: list[Call]) -> None:
        """A call has ended, unless its server still has something to say, or to let it say."""
        waiting = sum(not call.task.done() for call in calls)
        connection = end.protocol.connection
        if connection.is_closing():
            may_wait = 0
        elif not end.protocol.greeting.done() or not end.protocol.free_streams:
            may_wait = len(calls)
        else:
            may_wait = sum(
                not stream.remote_ended or connection.is_blocked(stream_id)
                for stream_id, stream in connection.streams.items()
            )
            if len(connection.streams) > waiting:
                raise FaultError(f"streams are left: {connection.streams}")
        if waiting > may_wait:
            raise FaultError(f"{waiting} calls wait, and {may_wait} of them have cause to")

    def _check_expected(self, calls: list[Call], story: Story) -> None:
        for stream_id, call in zip((1, 3, 5), calls, strict=True):
            if not call.reads_all or stream_id not in story.expected:
                continue
            actual = (call.texts, call.status) if call.task.done() else None
            if actual != story.expected[stream_id]:
                raise FaultError(f"call {stream_id} got {actual}, not {story.expected[stream_id]}")
            self.outcomes["as expected"] += 1

    async def _leave(self, channel: Channel, end: End, calls: list[Call], chance: Random) -> None:
        """The connection ends, or the calls do, in one of the ways there are."""
        cancelled = False
        match chance.randrange(6):
            case 0 | 1:
                end.hang_up()
            case 2:
                end.reset()
            case 3:
                channel.close()
            case 4:
                cancelled = True
                for call in calls:
                    call.task.cancel()
            case _:
                await asyncio.sleep(LONG)
                end.hang_up()
        await self._loop.idle()
        if not cancelled and any(not call.task.done() for call in calls):
            raise FaultError("a call waits on a connection that is gone")
        await asyncio.wait([call.task for call in calls], timeout=LONG)
        if end.protocol.connection.streams:
            raise FaultError(f"streams are left: {end.protocol.connection.streams}")

    async def _nothing_is_left(self, end: End) -> None:
        await asyncio.sleep(LAST_TIMERS)
        timer = await self._loop.idle()
        if timer is not None:
            raise FaultError(f"a timer is left, for in {timer} seconds")
        if not end.is_lost:
            raise FaultError("the connection is not closed")
        if len(asyncio.all_tasks()) > 1:
            raise FaultError(f"tasks are left: {asyncio.all_tasks()}")


def _outcome(call: Call) -> str:
    if not call.task.done():
        raise FaultError("a call goes on after it was cancelled")
    if call.task.cancelled():
        return "cancelled"
    error = call.task.exception()
    if error is None:
        return call.task.result()
    if isinstance(error, ChatifyError):
        raise FaultError("right use was called wrong") from error
    raise FaultError("what is no error of ours was raised") from error
