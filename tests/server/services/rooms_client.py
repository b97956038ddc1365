"""A server with the Rooms service, and clients of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatify_stream import (
    Channel,
    ChatServer,
    Status,
)
from chatify_stream.errors import CallError
from chatify_stream.messages.chatify.rooms.v1 import (
    HistoryResponse,
    RoomsStub,
)
from chatify_stream.messages.service.v1 import ChatReq, ChatRsp
from chatify_stream.server import RoomOptions
from chatify_stream.wire import Cardinality, ClientStream

from ..talking import serving

__all__ = [
    "ANY_TEXTS",
    "BAD_NAMES",
    "METHODS",
    "ROOMS_PROTO",
    "SECONDS",
    "Clock",
    "Member",
    "bad_names",
    "error_of",
    "member",
    "offsets",
    "rooms_server",
    "said",
]

SECONDS = 30.0
ROOMS_PROTO = "chatify/rooms/v1/rooms.proto"
METHODS = ["Publish", "History", "Presence", "ListRooms", "Disconnect", "ListNodes"]
BAD_NAMES = {
    "": "is empty; use 1 to 128 characters",
    "x" * 129: "has 129 characters; at most 128 are allowed",
    "小" * 129: "has 129 characters; at most 128 are allowed",
    "a\nb": "has the control character U+000A",
    "a\x1b[31m": "has the control character U+001B",
    "a\x9b": "has the control character U+009B",
    " a": "begins or ends with a space",
    "a\u3000": "begins or ends with a space",
}
ANY_TEXTS = ["", " ", "小明", "🎉👨‍👩‍👧", "a\nb\tc", "\x1b[31mred", "\0", "x" * 65536]

bad_names = pytest.mark.parametrize(("name", "why"), BAD_NAMES.items(), ids=range(len(BAD_NAMES)))


class Clock:
    """Returns seconds since 1970, as set by the test."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def rooms_server(**options: Any) -> AsyncIterator[tuple[ChatServer, RoomsStub]]:
    """Run a server with the service, and yield a stub for it."""
    async with serving(rooms=RoomOptions(service=True, **options)) as server:
        async with Channel("127.0.0.1", server.rooms_port) as channel:
            yield server, RoomsStub(channel, timeout=SECONDS)


class Member:
    """A client in a room."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream

    @property
    def position(self) -> str:
        """The position at which it joined."""
        metadata = self._stream.initial_metadata
        return f"{metadata['chat-epoch']}/{metadata['chat-offset']}"

    async def say(self, text: str, message_id: str = "") -> ChatRsp:
        """Publish a message, and return its copy."""
        await self._stream.send_message(ChatReq(name=text, id=message_id))
        return await self.receive()

    async def receive(self) -> ChatRsp:
        reply = await self._stream.recv_message()
        assert reply is not None, "the session has ended"
        return reply

    async def end(self) -> tuple[Status, str | None, dict[str, str]]:
        """Return status, text and trailers of a session that the server ends."""
        with pytest.raises(CallError) as caught:
            assert await self._stream.recv_message() is None
            await self._stream.recv_trailing_metadata()
        return caught.value.status, caught.value.message, dict(caught.value.metadata)


@asynccontextmanager
async def member(server: ChatServer, room: str, user: str) -> AsyncIterator[Member]:
    """Join a room, and cancel the call at the end."""
    metadata = {"chat-room-bin": room.encode(), "chat-user-bin": user.encode()}
    async with Channel("127.0.0.1", server.port) as channel:
        stream = channel.request(
            "/service.v1.Service/Chat",
            Cardinality.STREAM_STREAM,
            ChatReq,
            ChatRsp,
            metadata=metadata,
            timeout=SECONDS,
        )
        async with stream:
            await stream.send_request()
            await stream.recv_initial_metadata()
            joined = Member(stream)
            # What it says comes back once it is among those who are present.
            await joined.say(f"{user} is here")
            yield joined
            await stream.cancel()


async def error_of(call: Any) -> tuple[Status, str]:
    """Return status and text of a call that must fail."""
    with pytest.raises(CallError) as caught:
        await call
    return caught.value.status, str(caught.value.message)


async def said(server: ChatServer, room: str, number: int) -> str:
    """Publish `1`, `2` and so on, and return the epoch."""
    for each in range(1, number + 1):
        position = await server.rooms.publish(room, "Ada", str(each))
    return position.epoch


def offsets(answer: HistoryResponse) -> list[int]:
    return [message.offset for message in answer.messages]
