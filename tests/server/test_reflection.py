"""Tests of server/reflection.py; tests/e2e has the clients of others."""

from __future__ import annotations

import logging

import pytest
from h2.events import ResponseReceived

from chatify_stream import ChatServer, Status

from ..wire.raw import framed, raw_client, request_headers


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_request_that_is_no_message(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is the client's fault: it is told so, and nothing is logged as ours."""
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with ChatServer(reflection=True) as server:
        await server.start("127.0.0.1", 0)
        async with raw_client(server.port) as client:
            client.h2.send_headers(1, request_headers(path))
            client.h2.send_data(1, framed(b"\x08\x06"))  # a number for a text
            client.flush()
            headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
    assert headers["grpc-status"] == str(Status.INTERNAL.value)
    assert "not a valid ServerReflectionRequest" in headers["grpc-message"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
