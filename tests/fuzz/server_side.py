"""Our server, and a peer that sends it anything."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from grpclib.events import RecvRequest, listen

from chatify_stream import Channel, ChatClient, ChatServer, Session
from chatify_stream.wire import Limits, Rate

from .answers import ServerAnswers
from .frames import DATA, END_STREAM, WINDOW_UPDATE, Frame, is_between_frames
from .memory import End, MemoryLoop
from .stories import Story
from .watch import FaultError

__all__ = ["ServerSide"]

USUAL, WIDE, NARROW = 1, 2, 3
"""The ports of three servers; that with wide limits answers messages one by one, not in batches."""

NO_END = Rate(10**9, 1.0)
LIMITS = {
    USUAL: Limits(),
    WIDE: Limits(
        pings=NO_END,
        resets=NO_END,
        settings=NO_END,
        glitches=NO_END,
        refusals=NO_END,
        max_header_list_size=2**20,
        max_control_backlog=2**30,
        handshake_timeout=None,
        first_call_timeout=None,
        keepalive_time=None,
        write_timeout=None,
    ),
    NARROW: Limits(
        pings=Rate(2, 1.0),
        resets=Rate(1, 1.0),
        settings=Rate(1, 1.0),
        glitches=Rate(2, 1.0),
        refusals=Rate(1, 10.0),
        max_message_size=60,
        max_header_list_size=600,
        max_concurrent_streams=2,
        max_control_backlog=100,
        max_connection_age=100.0,
    ),
}

REFUSED_LATER = 1.0
"""Seconds after which every call that is refused has been told so."""

LAST_TIMERS = 2.0
"""Seconds after which nothing is left of a connection that is gone."""

LONG = 600.0
"""Seconds in which every limit on time has had its say."""


async def one_by_one(session: Session) -> None:
    async for request in session:
        await session.send(f"Hello {request.name}")


class ServerSide:
    """Servers that live as long as the run, and someone who uses each of them well."""

    def __init__(self, loop: MemoryLoop) -> None:
        self._loop = loop
        self._servers: dict[int, ChatServer] = {}
        self.outcomes: Counter[str] = Counter()
        self._watching = 0
        """Calls of Health/Watch, which do not end with their requests."""

    async def start(self) -> None:
        for port, limits in LIMITS.items():
            handler = one_by_one if port == WIDE else None
            self._servers[port] = ChatServer(reflection=True, handler=handler, limits=limits)
            await self._servers[port].start("127.0.0.1", port)
            self._servers[port]._monitor.stop()  # its timer would be taken for one that is left
            listen(self._servers[port]._listeners[0].server, RecvRequest, self._called)

    async def _called(self, event: RecvRequest) -> None:
        self._watching += event.method_name.endswith("/Watch")

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    async def check_bystander(self, story: Story) -> None:
        """One who calls is served before, while and after another one sends anything."""
        for port in LIMITS:
            async with Channel("127.0.0.1", port) as channel:
                async with ChatClient(channel) as chat:
                    await chat.send("Ada")
                    end = self._loop.connect(port)
                    end.feed(story.data)
                    await self._loop.idle()
                    await chat.send("Grace")
                    end.reset()
                    replies = [(await chat.receive()).message, (await chat.receive()).message]
                    if replies != ["Hello Ada", "Hello Grace"]:
                        raise FaultError(f"a bystander was answered {replies}")
            await self._nothing_is_left(port, end)

    async def run(self, story: Story, chance: Random) -> None:
        """Raises `FaultError` when the server did what it must not."""
        self._watching = 0
        port = chance.choice((USUAL, WIDE, WIDE, NARROW))
        end = self._loop.connect(port)
        reads = chance.random() < 0.9
        if not reads:
            end.most_unread = chance.choice((0, 100, 64 * 1024))
            end.stop_reading()
        rests = chance.random() if len(story.chunks) < 10 else 0.1
        for chunk in story.chunks:
            end.feed(chunk)
            if chance.random() < rests:
                await self._loop.idle()
        await self._come_to_rest(port)
        if reads:
            self._check_ended_calls(end)
        if chance.random() < 0.05:
            end.protocol.drain()
            await self._loop.idle()
        end.go_on_reading()
        await self._loop.idle()
        if chance.random() < 0.8:  # the others see what becomes of calls that nobody ends
            await self._half_close(end, port, story)
            if port != NARROW:
                self._check_expected(end, story)
        await self._leave(end, port, chance)
        await self._nothing_is_left(port, end)
        answers = ServerAnswers(bytes(end.received))
        self.outcomes.update(f"status {status}" for status in answers.statuses.values())
        self.outcomes.update(f"RST_STREAM {code}" for code in answers.resets.values())
        self.outcomes.update(f"GOAWAY {code}" for code in answers.goaways)

    def _check_ended_calls(self, end: End) -> None:
        """A call whose requests have ended has ended, unless it waits for a larger window."""
        connection = end.protocol.connection
        if connection.is_closing():
            return
        waiting = [
            stream_id
            for stream_id, stream in connection.streams.items()
            if stream.remote_ended and not connection.is_blocked(stream_id)
        ]
        if len(waiting) > self._watching:
            raise FaultError(f"the calls {waiting} hang")

    def _check_expected(self, end: End, story: Story) -> None:
        answers = ServerAnswers(bytes(end.received))
        for stream_id, expected in story.expected.items():
            actual = (answers.texts(stream_id), answers.statuses.get(stream_id))
            if actual != expected:
                raise FaultError(f"stream {stream_id} was answered {actual}, not {expected}")
            self.outcomes["as expected"] += 1

    async def _come_to_rest(self, port: int) -> None:
        await self._loop.idle()
        if port == NARROW:
            await asyncio.sleep(REFUSED_LATER)
            await self._loop.idle()

    async def _half_close(self, end: End, port: int, story: Story) -> None:
        """If the peer still can, it ends its requests; each call has to end then."""
        protocol = end.protocol
        if protocol.connection.is_closing() or not is_between_frames(story.data, preface=True):
            return
        more = (2**20).to_bytes(4, "big")
        frames = [Frame(WINDOW_UPDATE, 0, 0, more)]
        for stream_id, stream in protocol.connection.streams.items():
            frames.append(Frame(WINDOW_UPDATE, 0, stream_id, more))
            if not stream.remote_ended:
                frames.append(Frame(DATA, END_STREAM, stream_id))
        end.feed(b"".join(map(bytes, frames)))
        await self._come_to_rest(port)
        if len(protocol.connection.streams) > self._watching:
            raise FaultError(f"calls hang after their half-close: {protocol.connection.streams}")
        self.outcomes["half-closed to the end"] += 1

    async def _leave(self, end: End, port: int, chance: Random) -> None:
        """The connection ends, in one of the ways there are."""
        match chance.randrange(10):
            case 0 | 1 | 2 | 3:
                end.hang_up()
            case 4 | 5:
                end.reset()
            case 6:
                end.stop_reading()
                end.hang_up()
            case 7:
                end.protocol.drain()
                await asyncio.sleep(LAST_TIMERS)
                end.hang_up()
            case _:
                await asyncio.sleep(LONG)
                if port != WIDE and not end.is_lost:
                    raise FaultError("a peer that is silent was waited for")
                end.hang_up()

    async def _nothing_is_left(self, port: int, end: End) -> None:
        await self._loop.idle()
        await asyncio.sleep(LAST_TIMERS)
        timer = await self._loop.idle()
        if timer is not None:
            raise FaultError(f"a timer is left, for in {timer} seconds")
        if not end.is_lost:
            raise FaultError("the connection is not closed")
        if end.protocol.connection.streams:
            raise FaultError(f"streams are left: {end.protocol.connection.streams}")
        if self._servers[port].open_calls:
            raise FaultError("calls are left")
        if self._servers[port]._listeners[0].server.connections:
            raise FaultError("a connection is left")
        if len(asyncio.all_tasks()) > 1:
            raise FaultError(f"tasks are left: {asyncio.all_tasks()}")
