"""Tests of the errors in gateway/app.py."""

import asyncio

import pytest

from chatify_stream import ChatServer, Limits, Session, Status, StatusError
from chatify_stream.gateway import create_app
from chatify_stream.gateway.app import HTTP_STATUS

from .gateways import SECONDS, error, gateway_to, serving

CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def test_every_status() -> None:
    """Every status except OK has an HTTP status."""
    assert {status.name: code for status, code in HTTP_STATUS.items()} == CODES
    assert set(HTTP_STATUS) == set(Status) - {Status.OK}


@pytest.mark.parametrize("name", CODES)
async def test_status(name: str) -> None:
    """The status of the chat server becomes code, reason, message and metadata."""

    def reply(text: str) -> str:
        metadata = {"x-reason": f"no {text}", "x-retry-after": "3", "x-blob-bin": b"\x00\xff"}
        raise StatusError(Status[name], f"没有 {text}", metadata=metadata)

    async with gateway_to(ChatServer(reply=reply)) as client:
        response = await client.get("/helloworld/Ada")
        assert (await client.get("/healthz")).status_code == 200
    assert response.status_code == CODES[name]
    assert response.json() == {
        "code": CODES[name],
        "reason": name,
        "message": "没有 Ada",
        "metadata": {"x-reason": "no Ada", "x-retry-after": "3"},
    }


async def test_trailers() -> None:
    """Trailers that a session sets are in the metadata."""

    async def handler(session: Session) -> None:
        session.trailers["x-step"] = "1"
        raise StatusError(Status.ABORTED)

    async with gateway_to(ChatServer(handler=handler)) as client:
        response = await client.get("/helloworld/Ada")
    assert response.json() == error(409, "ABORTED", "", **{"x-step": "1"})


async def test_failing_reply() -> None:
    """An unexpected exception of the chat server is returned without its text."""

    def reply(name: str) -> str:
        raise RuntimeError("secret")

    async with gateway_to(ChatServer(reply=reply)) as client:
        response = await client.get("/helloworld/Ada")
    assert response.status_code == 500
    assert response.json() == error(500, "INTERNAL", "the handler failed")


async def test_too_large() -> None:
    """A name over the size limit of the chat server is rejected with that reason."""
    async with gateway_to(ChatServer(limits=Limits(max_message_size=10))) as client:
        response = await client.get("/helloworld/123456789")
    assert response.status_code == 429
    assert response.json() == error(
        429, "RESOURCE_EXHAUSTED", "the message has 11 bytes; at most 10 are allowed"
    )


async def test_late_reply() -> None:
    """A slow chat server gives status 504, and its handler is cancelled."""
    cancelled = asyncio.Event()

    async def reply(name: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return name

    async with ChatServer(reply=reply) as server:
        await server.start("127.0.0.1", 0)
        async with serving(create_app(f"127.0.0.1:{server.port}", 0.5)) as client:
            response = await client.get("/helloworld/Ada")
            async with asyncio.timeout(SECONDS):
                await cancelled.wait()
    assert response.status_code == 504
    assert response.json() == error(504, "DEADLINE_EXCEEDED", "the deadline of the call has passed")


async def test_not_grpc() -> None:
    """A server that does not speak gRPC gives an internal error that names it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with serving(create_app(target, SECONDS)) as client:
            response = await client.get("/helloworld/Ada")
    assert response.status_code == 500
    body = response.json()
    assert body["reason"] == "INTERNAL"
    assert body["message"].startswith(f"{target} does not speak gRPC")


async def test_unreachable(refusing_port: int) -> None:
    """An unreachable chat server gives status 503 with the reason."""
    target = f"127.0.0.1:{refusing_port}"
    async with serving(create_app(target, SECONDS)) as client:
        response = await client.get("/helloworld/Ada")
    assert response.status_code == 503
    assert response.json() == error(
        503, "UNAVAILABLE", f"cannot connect to {target}: Connection refused"
    )
