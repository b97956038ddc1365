"""Tests of server/services/health.py, over real connections; tests/e2e has other clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from betterproto2.grpclib import ServiceStub
from h2.events import ResponseReceived, StreamEnded

from chatify_stream import Channel, ChatServer, ServingStatus, Status, StatusError
from chatify_stream.errors import UnavailableError
from chatify_stream.messages.grpc.health.v1 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthStub,
)

from ...wire.raw import raw_client, request_headers

SERVICES = ["", "service.v1.Service", "service.v1.Service/rooms", "grpc.health.v1.Health"]


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        yield server


@pytest.fixture
async def stub(server: ChatServer) -> AsyncIterator[HealthStub]:
    async with Channel("127.0.0.1", server.port) as channel:
        yield HealthStub(channel, timeout=30)


def serving(status: ServingStatus) -> HealthCheckResponse:
    return HealthCheckResponse(status=status)


@pytest.mark.parametrize("service", SERVICES)
async def test_check(stub: HealthStub, service: str) -> None:
    """The server and its services are SERVING from the start."""
    response = await stub.check(HealthCheckRequest(service=service))
    assert response == serving(ServingStatus.SERVING)


async def test_check_unknown(stub: HealthStub) -> None:
    """An unknown service is NOT_FOUND, and the text names it."""
    with pytest.raises(StatusError) as caught:
        await stub.check(HealthCheckRequest(service="no.Such"))
    assert caught.value.status is Status.NOT_FOUND
    assert "'no.Such'" in str(caught.value)


async def test_list(stub: HealthStub, server: ChatServer) -> None:
    """The list has every service with its status."""
    server.health.set_status("mine", ServingStatus.NOT_SERVING)
    response = await stub.list(HealthListRequest())
    assert response.statuses == {
        **{service: serving(ServingStatus.SERVING) for service in SERVICES},
        "mine": serving(ServingStatus.NOT_SERVING),
    }


async def test_watch(stub: HealthStub, server: ChatServer) -> None:
    """A watch receives the status at once, then each change."""
    watch = aiter(stub.watch(HealthCheckRequest(service="mine")))
    assert await anext(watch) == serving(ServingStatus.SERVICE_UNKNOWN)
    server.health.set_status("mine", ServingStatus.SERVING)
    assert await anext(watch) == serving(ServingStatus.SERVING)
    server.health.set_status("other", ServingStatus.SERVING)
    server.health.set_status("mine", ServingStatus.SERVING)
    server.health.set_status("mine", ServingStatus.NOT_SERVING)
    assert await anext(watch) == serving(ServingStatus.NOT_SERVING)
    await watch.aclose()


async def test_the_server_stops(stub: HealthStub, server: ChatServer) -> None:
    """On shutdown, watches receive NOT_SERVING and end without delaying the server."""
    watches = [aiter(stub.watch(HealthCheckRequest(service=service))) for service in SERVICES]
    for watch in watches:
        assert await anext(watch) == serving(ServingStatus.SERVING)
    draining = asyncio.create_task(server.drain(60))
    for watch in watches:
        assert await anext(watch) == serving(ServingStatus.NOT_SERVING)
        with pytest.raises(UnavailableError, match="shutting down"):
            await anext(watch)
    await asyncio.wait_for(draining, 10)


async def test_a_plain_get(server: ChatServer) -> None:
    """An HTTP request to /healthz returns the status of the server."""
    async with raw_client(server.port) as client:
        for stream_id, status, answer in [
            (1, ServingStatus.SERVING, ("200", b"SERVING\n")),
            (3, ServingStatus.NOT_SERVING, ("503", b"NOT_SERVING\n")),
        ]:
            server.health.set_status("", status)
            headers = request_headers("/healthz", __method="GET")
            client.h2.send_headers(stream_id, headers, end_stream=True)
            client.flush()
            response = await client.wait_for(ResponseReceived, stream_id)
            await client.wait_for(StreamEnded, stream_id)
            assert (dict(response.headers)[":status"], client.data_of(stream_id)) == answer


@pytest.mark.parametrize("of", ["", "service.v1.Service/rooms"])
async def test_a_plain_get_of_readiness(server: ChatServer, of: str) -> None:
    """An HTTP request to /readyz returns the status of the rooms, or else of the server."""
    async with AsyncExitStack() as stack:
        if not of:
            server = await stack.enter_async_context(ChatServer(rooms=None))
            await server.start("127.0.0.1", 0)
        client = await stack.enter_async_context(raw_client(server.port))
        for stream_id, status, answer in [
            (1, ServingStatus.SERVING, ("200", b"SERVING\n")),
            (3, ServingStatus.NOT_SERVING, ("503", b"NOT_SERVING\n")),
        ]:
            server.health.set_status(of, status)
            headers = request_headers("/readyz", __method="GET")
            client.h2.send_headers(stream_id, headers, end_stream=True)
            client.flush()
            response = await client.wait_for(ResponseReceived, stream_id)
            await client.wait_for(StreamEnded, stream_id)
            assert (dict(response.headers)[":status"], client.data_of(stream_id)) == answer


def test_the_stub_is_the_generated_one() -> None:
    """The stub of betterproto2 works over our channel."""
    assert HealthStub.__mro__[1] is ServiceStub
