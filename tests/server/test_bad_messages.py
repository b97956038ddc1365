"""Malformed requests that betterproto2 accepts and protobuf rejects."""

from __future__ import annotations

import pytest

from chatify_stream import Channel, Status, StatusError
from chatify_stream.messages.chatify.rooms.v1 import HistoryRequest, PublishRequest, RoomsStub
from chatify_stream.server import RoomOptions
from chatify_stream.wire import Cardinality

from .talking import serving

TEXT = "Do not send it"
PUBLISH = bytes(PublishRequest(room="lobby", user="Ada", text=TEXT))


class Encoded(bytes):
    """A message of raw bytes."""

    SerializeToString = bytes.__bytes__
    FromString = classmethod(lambda cls, data: cls(data))


async def call(channel: Channel, path: str, request: bytes) -> bytes | None:
    stream = channel.request(path, Cardinality.UNARY_UNARY, Encoded, Encoded)
    async with stream:
        await stream.send_message(Encoded(request), end=True)
        return await stream.recv_message()


async def test_publish() -> None:
    """A request that is truncated in its text is rejected, and never published shortened."""
    async with (
        serving(rooms=RoomOptions(service=True)) as server,
        Channel("127.0.0.1", server.port) as channel,
    ):
        for missing in range(1, len(TEXT) + 2):
            with pytest.raises(
                StatusError, match=r"not a valid PublishRequest: (truncated|varint without) "
            ) as caught:
                await call(channel, "/chatify.rooms.v1.Rooms/Publish", PUBLISH[:-missing])
            assert caught.value.status is Status.INTERNAL
        await call(channel, "/chatify.rooms.v1.Rooms/Publish", PUBLISH)
        history = await RoomsStub(channel).history(HistoryRequest(room="lobby"))
        assert [message.text for message in history.messages] == [TEXT]


@pytest.mark.parametrize("request_", [b"\x0a\x05ab", b"\x0a\x01\xff", b"\x0c", b"\x08"])
async def test_health(request_: bytes) -> None:
    """A malformed request is INTERNAL, and the text names the problem."""
    async with serving() as server, Channel("127.0.0.1", server.port) as channel:
        with pytest.raises(StatusError, match="not a valid HealthCheckRequest: ") as caught:
            await call(channel, "/grpc.health.v1.Health/Check", request_)
    assert caught.value.status is Status.INTERNAL
