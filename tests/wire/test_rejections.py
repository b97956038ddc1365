"""Tests of `Limits.refusals`: rejections of calls are delayed above a rate."""

from __future__ import annotations

from h2.errors import ErrorCodes

from chatify_stream.errors import StatusError
from chatify_stream.wire import Limits, Rate, ServerStream, Status

from ..support.frames import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    WINDOW_UPDATE,
)
from .raw import (
    FrameClient,
    frame,
    frame_client,
    numbered_frames_in,
)
from .scene import ADA, ANSWER, headers, said, scene

UNKNOWN = "/test.Echo/Unknown"
SLOW = Limits(refusals=Rate(5, 0.001), max_concurrent_streams=10)
"""After the burst, a rejection is sent after a quarter of an hour."""


async def refused_at_once(client: FrameClient, path: str) -> None:
    """Make five calls that are rejected."""
    client.send(*(headers(stream_id, path=path) for stream_id in range(1, 11, 2)))
    for stream_id in range(1, 11, 2):
        await client.wait_for(HEADERS, stream_id)


async def answered(client: FrameClient, stream_id: int) -> None:
    """Make a call that is served."""
    client.send(headers(stream_id), frame(DATA, END_STREAM, stream_id, ADA))
    assert await client.wait_for(DATA, stream_id) == ANSWER


def has_headers(client: FrameClient, stream_id: int) -> bool:
    frames = numbered_frames_in(client.received)
    return any((kind, stream) == (HEADERS, stream_id) for kind, stream, _ in frames)


async def test_refusals_are_told_later() -> None:
    """Above the rate the status of a rejected call is delayed. Other calls are not."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11, path=UNKNOWN))
        await answered(client, 13)
        await answered(client, 15)
        assert not has_headers(client, 11)


async def test_refusals_by_a_handler_are_told_later() -> None:
    """Rejections by handlers count, too. Other statuses such as NOT_FOUND do not."""
    status = Status.NOT_FOUND

    async def refuse(stream: ServerStream) -> None:
        raise StatusError(status, "no")

    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        here.service.handler = refuse
        for stream_id in range(101, 141, 2):
            client.send(headers(stream_id, path="/test.Echo/Run"))
            await client.wait_for(HEADERS, stream_id)
        status = Status.PERMISSION_DENIED
        for stream_id in range(141, 151, 2):
            client.send(headers(stream_id, path="/test.Echo/Run"))
            await client.wait_for(HEADERS, stream_id)
        client.send(headers(151, path="/test.Echo/Run"))
        await answered(client, 153)
        assert not has_headers(client, 151)


async def test_a_refusal_that_waits_holds_no_window() -> None:
    """Data of a call whose rejection is delayed is discarded."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11, path=UNKNOWN), *[frame(DATA, 0, 11, bytes(16384))] * 20)
        assert await client.wait_for(WINDOW_UPDATE, 11)


async def test_refusals_that_nobody_waits_for() -> None:
    """Resetting calls whose rejection is delayed, to open others, ends the connection."""
    async with scene(SLOW) as here, frame_client(here.server.port) as attacker:
        await refused_at_once(attacker, UNKNOWN)
        for turn in range(11):
            attacker.send(headers(11 + 2 * turn, path=UNKNOWN), frame(PING, 0, 0, bytes(8)))
            await attacker.wait_for(PING, which=2 * turn)
            attacker.send(
                frame(RST_STREAM, 0, 11 + 2 * turn, bytes(4)), frame(PING, 0, 0, bytes(8))
            )
            await attacker.wait_for(PING, which=2 * turn + 1)
        attacker.send(headers(101))
        goaway = await attacker.wait_for(GOAWAY)
        assert said(goaway) == (ErrorCodes.ENHANCE_YOUR_CALM, "too_many_refusals")
        await attacker.wait_closed()


async def test_a_drain_waits_for_no_refusal() -> None:
    """A connection that is closing sends rejections immediately."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11), frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        for connection in here.server._connections:
            connection.close_when_idle()
        client.send(headers(13, path=UNKNOWN), frame(DATA, END_STREAM, 11, ADA))
        await client.wait_for(HEADERS, 13)
        await client.wait_closed()
