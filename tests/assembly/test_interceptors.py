"""Tests of assembly/listener.py: interceptors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chatify_stream import Channel, ChatClient, ChatServer, Status, StatusError
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.server import CallHandler
from chatify_stream.wire import ServerStream

CHAT = "/service.v1.Service/Chat"


class Recording:
    """An interceptor that records the calls."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self._name = name
        self._seen = seen

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        async def around(stream: ServerStream) -> None:
            self._seen.append(f"{self._name} before {path}")
            await handler(stream)
            self._seen.append(f"{self._name} after {path}")

        return around


def only_chat_is_refused(path: str, handler: CallHandler) -> CallHandler:
    async def refuse(stream: ServerStream) -> None:
        raise StatusError(Status.PERMISSION_DENIED, f"{stream.metadata['x-name']} may not chat")

    return refuse if path == CHAT else handler


@pytest.fixture
async def seen() -> list[str]:
    return []


@pytest.fixture
async def port(seen: list[str]) -> AsyncIterator[int]:
    interceptors = [Recording("first", seen), Recording("second", seen), only_chat_is_refused]
    async with ChatServer(interceptors=interceptors) as server:
        await server.start("127.0.0.1", 0)
        yield server.port


async def test_order(port: int, seen: list[str]) -> None:
    """The first interceptor is outermost, and interceptors run around all services."""
    async with Channel("127.0.0.1", port) as channel:
        await HealthStub(channel).check(HealthCheckRequest())
    path = "/grpc.health.v1.Health/Check"
    assert seen == [
        f"first before {path}",
        f"second before {path}",
        f"second after {path}",
        f"first after {path}",
    ]


async def test_refusal(port: int) -> None:
    """An interceptor can reject a call because of its metadata."""
    with pytest.raises(StatusError, match="ada may not chat") as caught:
        async with ChatClient(f"127.0.0.1:{port}", metadata={"x-name": "ada"}) as chat:
            await chat.send("gene")
            await chat.close_and_recv()
    assert caught.value.status is Status.PERMISSION_DENIED
