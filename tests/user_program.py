"""A user's program, which `tox -e types` checks: the package's stub gives it these types."""

from __future__ import annotations

from typing import assert_type

import chatify_stream
from chatify_stream import CallError, Channel, ChatServer, Limits, RoomOptions, Session, Status


async def echo(session: Session) -> None:
    async for request in session:
        await session.send(assert_type(request.name, str))


async def main() -> None:
    async with ChatServer(handler=echo, rooms=RoomOptions(), limits=Limits()) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", assert_type(server.port, int)):
            position = await server.rooms.publish("lobby", "Ada", "Hello")
            assert_type(position, chatify_stream.Position)
    assert_type(server, chatify_stream.ChatServer)
    assert_type(chatify_stream.__version__, str)


def reason(error: CallError) -> Status:
    return assert_type(error.status, Status)
