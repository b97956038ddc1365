"""Tests of server/interceptors/access_log.py."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from chatify_stream import (
    Channel,
    ChatClient,
    ChatReq,
    ChatRsp,
    ChatServer,
    RoomClient,
    RoomOptions,
    Status,
    StatusError,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.server import CallHandler
from chatify_stream.server.interceptors.access_log import ACCESS_LOGGER
from chatify_stream.wire import Cardinality, ServerStream

CHAT = "/service.v1.Service/Chat"
SECRET = "planted-secret"


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS_LOGGER)


def entries(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the fields of the records of one event."""
    return [r.fields for r in caplog.records if getattr(r, "event", "") == event]


async def say(server: ChatServer, *texts: str, **options: Any) -> None:
    async with ChatClient(f"127.0.0.1:{server.port}", timeout=30, **options) as chat:
        for text in texts:
            await chat.send(text)
        await chat.half_close()
        async for _ in chat:
            pass


async def test_a_direct_session(caplog: pytest.LogCaptureFixture) -> None:
    """The lines of a session and its connection have the client, duration and counts."""
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        await say(server, SECRET, "b", metadata={"authorization": f"Bearer {SECRET}"})
    events = [record.event for record in caplog.records if record.name == ACCESS_LOGGER]
    assert events == ["connection opened", "session opened", "session closed", "connection closed"]
    (opened,) = entries(caplog, "session opened")
    (closed,) = entries(caplog, "session closed")
    (connection,) = entries(caplog, "connection closed")
    assert opened.keys() == {"call", "peer", "method"}
    assert opened["peer"].startswith("127.0.0.1:")
    assert opened.items() <= closed.items()
    assert closed["method"] == CHAT
    assert closed["status"] == "OK"
    assert closed["duration"] >= 0
    assert (closed["messages_received"], closed["messages_sent"]) == (2, 2)
    assert (connection["peer"], connection["reason"]) == ("127.0.0.1", "left")
    assert (connection["calls"], connection["messages_received"]) == (1, 2)
    assert connection["bytes_received"] > 0 < connection["bytes_sent"]
    assert SECRET not in caplog.text


async def test_a_room(caplog: pytest.LogCaptureFixture) -> None:
    """The lines of a room session have the room, the user, the session id and the reason."""
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        async with RoomClient(f"127.0.0.1:{server.port}", room="大厅", user="小明") as chat:
            await chat.send(SECRET)
    (opened,) = entries(caplog, "session opened")
    (closed,) = entries(caplog, "session closed")
    assert (opened["room"], opened["user"]) == ("大厅", "小明")
    assert opened.items() <= closed.items()
    assert closed["reason"] in ("done", "left")
    assert closed["session"]
    assert SECRET not in caplog.text


async def test_a_room_without_a_name_of_the_user(caplog: pytest.LogCaptureFixture) -> None:
    """The last line has the user name that the server chose."""
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        await say(server, metadata={"chat-room": "lobby"})
    (closed,) = entries(caplog, "session closed")
    assert closed["user"].startswith("guest-")


async def test_a_room_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong room name is not logged; the reason is the disconnect reason."""
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(StatusError):
            await say(server, "a", metadata={"chat-room": "x" * 1000})
    (closed,) = entries(caplog, "session closed")
    assert (closed["status"], closed["reason"]) == ("INVALID_ARGUMENT", "bad_request")
    assert "xxx" not in caplog.text


async def test_names_stay_within_their_line(caplog: pytest.LogCaptureFixture) -> None:
    """Control characters and line breaks are logged as escapes."""
    name = "a\u202eb c='d'"
    async with ChatServer(access_log=True, rooms=RoomOptions()) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(StatusError):
            await say(server, "a", metadata={"chat-room-bin": b"a\nb", "chat-user": "ada"})
        try:
            await say(server, metadata={"chat-room-bin": name.encode()})
        except StatusError:
            pass
    for record in caplog.records:
        assert record.getMessage().isprintable()


async def test_a_unary_call(caplog: pytest.LogCaptureFixture) -> None:
    """A unary call has one line, when it ends, with its status and message."""
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as channel:
            await HealthStub(channel).check(HealthCheckRequest())
            with pytest.raises(StatusError):
                await HealthStub(channel).check(HealthCheckRequest(service="none"))
    good, bad = entries(caplog, "call")
    assert (good["method"], good["status"]) == ("/grpc.health.v1.Health/Check", "OK")
    assert "reason" not in good
    assert bad["status"] == "NOT_FOUND"
    assert "none" in bad["reason"]
    assert not entries(caplog, "session opened")


async def test_a_session_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A call that an interceptor rejects only has a line at its end."""

    def refuse(path: str, handler: CallHandler) -> CallHandler:
        async def refusing(stream: ServerStream) -> None:
            raise StatusError(Status.PERMISSION_DENIED, "not you")

        return refusing

    async with ChatServer(access_log=True, interceptors=[refuse]) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(StatusError):
            await say(server, "a")
    assert not entries(caplog, "session opened")
    (closed,) = entries(caplog, "session closed")
    assert (closed["status"], closed["reason"]) == ("PERMISSION_DENIED", "not you")


async def test_a_reset(caplog: pytest.LogCaptureFixture) -> None:
    """A call without a status is RESET."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def handler(session: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    async with ChatServer(access_log=True, handler=handler) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as channel:
            async with channel.request(CHAT, Cardinality.STREAM_STREAM, ChatReq, ChatRsp) as stream:
                await stream.send_message(ChatReq(name="a"))
                await begun.wait()
                await stream.cancel()
            await gone.wait()
    (closed,) = entries(caplog, "session closed")
    assert closed["status"] == "RESET"


async def test_it_costs_nothing_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """With the logger at a higher level nothing is logged, and calls are served."""
    caplog.set_level(logging.WARNING, ACCESS_LOGGER)
    async with ChatServer(access_log=True) as server:
        await server.start("127.0.0.1", 0)
        await say(server, "a")
    assert not caplog.records
