"""Tests of server/services/reflection.py; tests/e2e has other clients."""

from __future__ import annotations

import importlib
import logging
import tracemalloc
from typing import Any

import pytest

from chatify_stream import Channel, ChatServer, Status, StatusError
from chatify_stream.wire import Cardinality

from ...wire.encoding import delimited, varint_field


class Encoded(bytes):
    """Return a request as it is sent."""

    SerializeToString = bytes.__bytes__


async def ask(version: str, request: bytes) -> Any:
    """Return the server's answers to these bytes."""
    messages = importlib.import_module(f"chatify_stream.messages.grpc.reflection.{version}")
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with ChatServer(reflection=True) as server:
        await server.start("127.0.0.1", 0)
        async with (
            Channel("127.0.0.1", server.port) as channel,
            channel.request(
                path, Cardinality.STREAM_STREAM, Encoded, messages.ServerReflectionResponse
            ) as stream,
        ):
            await stream.send_message(Encoded(request), end=True)
            answer = await stream.recv_message()
            assert answer is not None
            return answer


versions = pytest.mark.parametrize("version", ["v1", "v1alpha"])


@versions
async def test_a_request_that_is_no_message(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """Malformed bytes are the client's error, and nothing is logged."""
    with pytest.raises(StatusError, match="not a valid ServerReflectionRequest") as caught:
        await ask(version, delimited(7, b"*")[:-1])
    assert caught.value.status is Status.INTERNAL
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@versions
@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\x08\x06",  # a number for a text
        varint_field(5, 1 << 40),  # a number for a message: betterproto2 makes it so many bytes
    ],
)
async def test_a_request_for_nothing(version: str, request_: bytes) -> None:
    """An unknown request is answered with an error and with the request."""
    tracemalloc.start()
    try:
        answer = await ask(version, request_)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.error_response.error_code == Status.INVALID_ARGUMENT.value
    assert bytes(answer.original_request) == request_
    assert peak < 5_000_000


@versions
async def test_two_requests_in_one(version: str) -> None:
    """The last field of a oneof counts, and the answer has the request as it was decoded."""
    answer = await ask(version, delimited(7, b"") + delimited(4, b"a.B") + delimited(3, b"a.proto"))
    assert (
        answer.error_response.error_message == "this server has no definition of the file 'a.proto'"
    )
    assert bytes(answer.original_request) == delimited(3, b"a.proto")
