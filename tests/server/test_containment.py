"""An exception in a session, hook, broker or observer affects no other session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatify_stream import (
    ChatClient,
    ChatServer,
    RoomClient,
    RoomOptions,
    Session,
    StatusError,
    UnavailableError,
)
from chatify_stream.brokers import MemoryBroker
from chatify_stream.server.rooms.subscriptions import contain_exit
from chatify_stream.wire import CallEnd, ServerObserver, ServerStream

SECONDS = 60.0

ERRORS = [
    RuntimeError("boom"),
    MemoryError(),
    RecursionError(),
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    BaseException("odd"),
]
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


async def echo(server: ChatServer) -> str:
    async with ChatClient(f"127.0.0.1:{server.port}", timeout=SECONDS) as chat:
        await chat.send("good")
        return (await chat.close_and_recv()).message


async def fails(server: ChatServer, **options: Any) -> None:
    """A session ends with any error."""
    with pytest.raises((StatusError, UnavailableError, Exception)):
        async with ChatClient(f"127.0.0.1:{server.port}", timeout=SECONDS, **options) as chat:
            await chat.send("bad")
            await chat.receive()
            await chat.close_and_recv()


@each_error
@pytest.mark.parametrize("kind", ["reply", "async reply", "handler"])
async def test_a_session(error: BaseException, kind: str) -> None:
    """A bystander on another connection is served before, during and after."""

    def reply(text: str) -> str:
        if text == "bad":
            raise error
        return text

    async def async_reply(text: str) -> str:
        await asyncio.sleep(0)
        return reply(text)

    async def handler(session: Session) -> None:
        async for request in session:
            await session.send(reply(request.name))

    functions: dict[str, Any] = {"reply": reply, "async reply": async_reply, "handler": handler}
    function = functions[kind]
    options = {"handler": handler} if kind == "handler" else {"reply": function}
    async with ChatServer(**options) as server:
        await server.start("127.0.0.1", 0)
        async with ChatClient(f"127.0.0.1:{server.port}", timeout=SECONDS) as bystander:
            await bystander.send("good")
            assert await bystander.receive() is not None
            await fails(server)
            await bystander.send("good")
            assert (await bystander.close_and_recv()).message == "good"
        assert await echo(server) == "good"
        assert server.open_calls == 0


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), RuntimeError("boom")])
@pytest.mark.parametrize("hook", ["on_join", "on_message", "on_leave"])
async def test_a_hook(error: BaseException, hook: str) -> None:
    """The server and the members of the room continue."""

    async def failing(event: Any) -> None:
        if event.user == "mallory":
            raise error

    hooks: dict[str, Any] = {hook: failing}
    async with ChatServer(rooms=RoomOptions(**hooks)) as server:
        await server.start("127.0.0.1", 0)
        target = f"127.0.0.1:{server.port}"
        async with RoomClient(target, room="lobby", user="ada") as ada:
            await ada.send("before")
            metadata = {"chat-room": "lobby", "chat-user": "mallory"}
            async with ChatClient(target, timeout=SECONDS, metadata=metadata) as mallory:
                await mallory.send("bad")
                await mallory.half_close()
                try:
                    async for _ in mallory:
                        pass
                except StatusError:
                    pass
                except UnavailableError:
                    pass
            await ada.send("after")
        assert await echo(server) == "Hello good"


class FailingBroker(MemoryBroker):
    """Raises exceptions that stop the event loop, for the room `bad`."""

    async def subscribe(self, room: str) -> None:
        if room == "bad":
            raise SystemExit(1)
        await super().subscribe(room)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        if room == "worse":
            raise SystemExit(1)
        await super().leave(room, user, session_id)


@pytest.mark.parametrize("room", ["bad", "worse"])
async def test_a_broker(room: str) -> None:
    """Sessions of that room may end; others continue."""
    async with ChatServer(rooms=RoomOptions(broker=FailingBroker())) as server:
        await server.start("127.0.0.1", 0)
        target = f"127.0.0.1:{server.port}"
        async with RoomClient(target, room="lobby", user="ada") as ada:
            await ada.send("before")
            metadata = {"chat-room": room}
            async with ChatClient(target, timeout=SECONDS, metadata=metadata) as chat:
                await chat.half_close()
                try:
                    async for _ in chat:
                        pass
                except StatusError:
                    pass
            await ada.send("after")


class Failing(ServerObserver):
    """Raises exceptions that stop the event loop."""

    def connection_opened(self, address: str | None) -> None:
        raise SystemExit(1)

    def call_started(self, stream: ServerStream) -> CallEnd:
        def end(*args: object) -> None:
            raise KeyboardInterrupt

        return end


async def test_an_observer() -> None:
    """Calls do not notice a failing observer."""
    async with ChatServer(observers=[Failing()]) as server:
        await server.start("127.0.0.1", 0)
        assert await echo(server) == "Hello good"


async def test_contain_exit() -> None:
    """Results and errors pass through; SystemExit becomes a RuntimeError."""

    async def give(what: Any) -> Any:
        if isinstance(what, BaseException):
            raise what
        return what

    assert await contain_exit(give(1)) == 1
    with pytest.raises(KeyError):
        await contain_exit(give(KeyError()))
    with pytest.raises(RuntimeError, match=r"a task raised SystemExit\(1\)"):
        await contain_exit(give(SystemExit(1)))
