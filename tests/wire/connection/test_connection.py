"""Tests of wire/connection/connection.py: what a peer can make a connection keep, and do."""

from __future__ import annotations

import asyncio
import tracemalloc
from unittest.mock import create_autospec

import pytest
from grpclib.config import Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hpack import Encoder

from chatify_stream.limits import Limits, Rate
from chatify_stream.wire.connection.connection import LeanEvent, WireConnection
from chatify_stream.wire.connection.fair_share import FairShare
from chatify_stream.wire.connection.stream import CallStream
from chatify_stream.wire.connection.write_buffer import WriteBuffer
from chatify_stream.wire.http2.h2_connection import MAX_HEADER_TABLE, h2_config, h2_connection
from chatify_stream.wire.server.server import Server

from ...support.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
)
from ..raw import GREETING, frame, frame_client, request_headers
from ..services import Echo

MOST_GONE = 4096


def server_h2() -> H2Connection:
    """A server's, with a peer that has said its greeting."""
    config = Configuration().__for_test__()
    h2 = h2_connection(h2_config(client_side=False), config, Limits())
    h2.receive_data(GREETING)
    h2.data_to_send()
    return h2


@pytest.mark.parametrize("status", ["103", "200"])
def test_an_answer_that_crosses_a_reset(status: str) -> None:
    """It costs the connection nothing, and the table of headers is kept."""
    config = Configuration().__for_test__()
    h2 = h2_connection(h2_config(client_side=True), config, Limits())
    h2.receive_data(settings({}))
    h2.send_headers(1, request_headers())
    h2.send_headers(3, request_headers())
    h2.reset_stream(1)
    encoder = Encoder()
    block = encoder.encode([(":status", status), ("x", "y")])
    assert h2.receive_data(frame(HEADERS, END_HEADERS, 1, block)) == []
    block = encoder.encode([(":status", "200"), ("x", "y")])
    (event,) = h2.receive_data(frame(HEADERS, END_HEADERS, 3, block))
    assert event.headers == [(":status", "200"), ("x", "y")]


def settings(values: dict[int, int]) -> bytes:
    body = [code.to_bytes(2, "big") + value.to_bytes(4, "big") for code, value in values.items()]
    return frame(SETTINGS, 0, 0, b"".join(body))


def test_settings_that_nobody_knows() -> None:
    """They are ignored, and not kept."""
    h2 = server_h2()
    tracemalloc.start()
    try:
        for first in range(10, 60_000, 2000):
            h2.receive_data(settings(dict.fromkeys(range(first, first + 2000), 1)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_settings_that_are_known() -> None:
    """They count, also among others."""
    h2 = server_h2()
    h2.receive_data(settings({4: 123, 0x1234: 5, 5: 20_000, 6: 9}))
    assert h2.remote_settings.initial_window_size == 123
    assert h2.max_outbound_frame_size == 20_000
    assert h2.remote_settings.max_header_list_size == 9
    assert h2.data_to_send() == frame(SETTINGS, 1, 0, b"")


def test_a_large_table_of_headers() -> None:
    """A peer that offers to keep any number of headers does not have us keep them too."""
    h2 = server_h2()
    h2.receive_data(settings({SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1}))
    encoder = Encoder()
    tracemalloc.start()
    try:
        for stream_id in range(1, 201, 2):
            block = encoder.encode(request_headers())
            h2.receive_data(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block))
            text = f"{stream_id}" * 1000
            h2.send_headers(stream_id, [(":status", "200"), ("x", text)], end_stream=True)
            h2.data_to_send()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_a_small_table_of_headers() -> None:
    """A peer that keeps less than usual is not sent more."""
    h2 = server_h2()
    h2.receive_data(settings({SettingCodes.HEADER_TABLE_SIZE: 100}))
    assert h2.encoder.header_table_size == 100 < MAX_HEADER_TABLE


@pytest.mark.parametrize("cut", [None, 9])
async def test_streams_that_are_gone(service: Echo, cut: int | None) -> None:
    """Of streams that ended long ago little is kept, however their headers come."""
    server = Server([service], limits=Limits(resets=Rate(10**6, 1.0)))
    await server.start("127.0.0.1", 0)
    try:
        async with frame_client(server.port) as client:
            headers = Encoder().encode([(name, value, True) for name, value in request_headers()])
            for stream_id in range(1, 2 * (MOST_GONE + 200), 2):
                first, rest = headers[:cut], headers[len(headers[:cut]) :]
                client.send(
                    frame(HEADERS, 0 if rest else END_HEADERS, stream_id, first),
                    *([frame(CONTINUATION, END_HEADERS, stream_id, rest)] if rest else []),
                    frame(RST_STREAM, 0, stream_id, bytes(4)),
                )
            client.send(frame(PING, 0, 0, b"all read"))
            await client.wait_for(PING)
            [connection] = server._connections
            h2 = connection.connection.h2
            assert len(h2._closed_streams) <= MOST_GONE
            assert len(h2.streams) < 100
    finally:
        server.close()
        await server.wait_closed()


async def test_who_is_woken_by_a_window() -> None:
    """The window of all wakes one of those that wait for it; a call's own wakes that call."""
    write_buffer = create_autospec(WriteBuffer, instance=True)
    connection = WireConnection(server_h2(), write_buffer, Limits(), FairShare(), lambda: None)
    streams = [CallStream(connection, number) for number in (1, 3, 5, 7)]
    for stream in streams:
        connection.wait_for_window(stream, 1, is_own=stream.id > 3)

    def woken() -> list[bool]:
        return [stream.window_updated.is_set() for stream in streams]

    connection.window_updated(0)
    assert woken() == [True, False, False, False]
    connection.window_updated(5)
    assert woken() == [True, False, True, False]


async def test_who_needs_how_much() -> None:
    """Of those that wait for the window of all, the first is woken that has enough in it."""
    write_buffer = create_autospec(WriteBuffer, instance=True)
    h2 = server_h2()
    connection = WireConnection(h2, write_buffer, Limits(), FairShare(), lambda: None)
    streams = [CallStream(connection, number) for number in (1, 3, 5)]
    for stream, least in zip(streams, (100, 50, 10), strict=True):
        connection.wait_for_window(stream, least, is_own=False)

    def woken(window: int) -> list[int]:
        h2.outbound_flow_control_window = window
        for stream in streams:
            stream.window_updated.clear()
        connection.window_updated(0)
        return [stream.id for stream in streams if stream.window_updated.is_set()]

    assert woken(0) == woken(9) == []
    assert woken(10) == woken(49) == [5]
    assert woken(50) == [3]
    assert woken(1000) == [1]
    connection.stop_waiting_for_window(streams[0])
    await asyncio.sleep(0)  # in which the next one is woken
    assert streams[1].window_updated.is_set()
    assert not connection.is_blocked(1)
    assert connection.is_blocked(3)


@pytest.mark.parametrize("kind", [LeanEvent, asyncio.Event])
class TestFlag:
    async def test_who_waits_is_woken(self, kind: type[LeanEvent]) -> None:
        """All who wait go on, once it is set; who comes later does not wait."""
        flag = kind()
        waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not flag.is_set()
        flag.set()
        flag.set()
        assert flag.is_set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await flag.wait()

    async def test_set_and_cleared_at_once(self, kind: type[LeanEvent]) -> None:
        """Who waited when it was set goes on, even if it is cleared before."""
        flag = kind()
        waiting = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        flag.set()
        flag.clear()
        assert await asyncio.wait_for(waiting, 10)
        again = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        assert not again.done()
        flag.set()
        assert await again

    async def test_who_is_cancelled(self, kind: type[LeanEvent]) -> None:
        """One that is cancelled waits no more; the others do, whenever it is set."""
        flag = kind()
        first, second = [asyncio.create_task(flag.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        flag.set()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first


def test_set_from_the_beginning() -> None:
    """A flag may be made set."""
    assert LeanEvent(True).is_set()
