"""Tests of client/stub.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chatify_stream import (
    Channel,
    ChatReq,
    ChatServer,
    DeadlineExceededError,
    ServiceStub,
    Session,
    Status,
    StatusError,
    UnavailableError,
)

from ..wire.peers import refusing


@pytest.fixture
async def stub(server: ChatServer) -> AsyncIterator[ServiceStub]:
    async with Channel("127.0.0.1", server.port) as channel:
        yield ServiceStub(channel)


async def test_a_list_of_messages(stub: ServiceStub) -> None:
    """A plain iterable of messages works."""
    replies = [r.message async for r in stub.chat([ChatReq(name="Ada"), ChatReq(name="世界")])]
    assert replies == ["Hello Ada", "Hello 世界"]


async def test_an_async_iterator(stub: ServiceStub) -> None:
    """A message may depend on earlier replies."""
    received = asyncio.Queue[str]()

    async def messages() -> AsyncIterator[ChatReq]:
        yield ChatReq(name="Ada")
        yield ChatReq(name=await received.get())

    replies = []
    async for reply in stub.chat(messages()):
        replies.append(reply.message)
        received.put_nowait(reply.message)
    assert replies == ["Hello Ada", "Hello Hello Ada"]


def fail_at_once() -> Iterator[ChatReq]:
    raise ValueError("no more names")
    yield


async def fail_later() -> AsyncIterator[ChatReq]:
    yield ChatReq(name="Ada")
    await asyncio.sleep(0)
    raise ValueError("no more names")


@pytest.mark.parametrize("messages", [fail_at_once, fail_later])
async def test_messages_that_fail(stub: ServiceStub, server: ChatServer, messages) -> None:
    """An error in the messages is raised by the replies and cancels the call."""
    with pytest.raises(ValueError, match="no more names"):
        async for _ in stub.chat(messages()):
            pass
    while server.open_calls:
        await asyncio.sleep(0)


async def test_a_message_of_another_type(stub: ServiceStub) -> None:
    """A message of a wrong type raises an error in the replies."""
    with pytest.raises(Exception, match="the message is a str; pass a ChatReq"):
        async for _ in stub.chat(["Ada"]):
            pass


async def test_a_status_while_messages_go_on() -> None:
    """When the server ends the call, the messages are stopped and the status is raised."""

    async def handler(session: Session) -> None:
        await session.receive()
        raise StatusError(Status.ABORTED, "enough")

    stopped = asyncio.Event()

    async def messages() -> AsyncIterator[ChatReq]:
        try:
            while True:
                yield ChatReq(name="x" * 1000)
                await asyncio.sleep(0)
        finally:
            stopped.set()

    async with ChatServer(handler=handler) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(StatusError, match="enough"):
                async for _ in ServiceStub(channel).chat(messages()):
                    pass
            await asyncio.wait_for(stopped.wait(), 10)


async def test_ok_while_messages_go_on() -> None:
    """When the server ends the call with OK, the iteration ends."""

    async def handler(session: Session) -> None:
        await session.send("bye")

    async def messages() -> AsyncIterator[ChatReq]:
        await asyncio.sleep(3600)
        yield ChatReq()

    async with ChatServer(handler=handler) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as channel:
            replies = [reply.message async for reply in ServiceStub(channel).chat(messages())]
    assert replies == ["bye"]


async def test_leaving_the_iteration(stub: ServiceStub, server: ChatServer) -> None:
    """Closing the iteration cancels the call."""

    async def messages() -> AsyncIterator[ChatReq]:
        yield ChatReq(name="Ada")
        await asyncio.sleep(3600)

    replies = stub.chat(messages())
    assert (await anext(aiter(replies))).message == "Hello Ada"
    await replies.aclose()
    while server.open_calls:
        await asyncio.sleep(0)


async def test_defaults_of_the_stub(server: ChatServer) -> None:
    """A call uses the stub's timeout and metadata unless it has its own."""
    async with Channel("127.0.0.1", server.port) as channel:
        stub = ServiceStub(channel, timeout=0.05)
        with pytest.raises(DeadlineExceededError):
            async for _ in stub.chat(wait_forever()):
                pass
        assert [r.message async for r in stub.chat([ChatReq(name="a")], timeout=30)] == ["Hello a"]


async def wait_forever() -> AsyncIterator[ChatReq]:
    await asyncio.sleep(3600)
    yield ChatReq()


async def test_waiting_for_ready() -> None:
    """With wait_for_ready, a call waits while no server can be reached."""
    with refusing() as dead:
        async with Channel(target=dead) as channel:
            with pytest.raises(UnavailableError):
                async for _ in ServiceStub(channel).chat([]):
                    pass
            with pytest.raises(DeadlineExceededError, match="Connection refused"):
                async for _ in ServiceStub(channel, wait_for_ready=True).chat([], timeout=0.05):
                    pass
