"""Tests of the limits of a connection against attacks.

Each attack uses a real connection. A client on another connection has an open call all the time and
must not notice. Afterwards the server must hold nothing of the attacker.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder

from chatify_stream.wire import Limits, Rate
from chatify_stream.wire.http2 import frame_reader as frames

from ..support.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from .raw import (
    frame,
    frame_client,
    framed,
    numbered_frames_in,
)
from .scene import ADA, ANSWER, headers, said, scene

STRICT = Limits(
    pings=Rate(10, 1.0), settings=Rate(10, 1.0), resets=Rate(10, 1.0), glitches=Rate(10, 1.0)
)


def rapid_reset(count: int) -> bytes:
    return b"".join(
        headers(stream_id) + frame(RST_STREAM, 0, stream_id, bytes(4))
        for stream_id in range(1, 2 * count, 2)
    )


def made_to_reset(count: int) -> bytes:
    """Malformed requests, which the server must reset."""
    return b"".join(headers(stream_id, Te="trailers") for stream_id in range(1, 2 * count, 2))


FLOODS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "PING": (lambda n: frame(PING, 0, 0, bytes(8)) * n, "too_many_pings"),
    "SETTINGS": (lambda n: frame(SETTINGS, 0, 0, b"") * n, "too_many_settings"),
    "rapid reset": (rapid_reset, "too_many_resets"),
    "made to reset": (made_to_reset, "too_many_resets"),
    "empty DATA": (lambda n: headers(1) + frame(DATA, 0, 1, b"") * n, "too_many_glitches"),
    "padding": (lambda n: headers(1) + frame(DATA, 8, 1, b"\1\0") * n, "too_many_glitches"),
    "PRIORITY": (lambda n: frame(PRIORITY, 0, 1, bytes(5)) * n, "too_many_glitches"),
    "unknown frames": (lambda n: frame(0xBE, 0, 0, b"") * n, "too_many_glitches"),
    "answers to no PING": (lambda n: frame(PING, 1, 0, bytes(8)) * n, "too_many_glitches"),
    "empty CONTINUATION": (
        lambda n: headers(1, flags=0) + frame(CONTINUATION, 0, 1, b"") * n,
        "too_many_glitches",
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood(name: str) -> None:
    """Too many of these frames end the connection with a GOAWAY that names the limit."""
    flood, reason = FLOODS[name]
    async with scene(STRICT) as here, frame_client(here.server.port) as attacker:
        attacker.send(flood(1000))
        goaway = await attacker.wait_for(GOAWAY)
        assert said(goaway) == (ErrorCodes.ENHANCE_YOUR_CALM, reason)
        await attacker.wait_closed()


@pytest.mark.parametrize("name", FLOODS)
async def test_a_little_of_it(name: str) -> None:
    """A few of these frames are accepted."""
    flood, _ = FLOODS[name]
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        client.send(flood(5))
        if name == "empty CONTINUATION":
            client.send(frame(CONTINUATION, END_HEADERS, 1, b""))
        client.send(headers(101), frame(DATA, END_STREAM, 101, ADA))
        assert await client.wait_for(DATA, 101) == ANSWER


async def test_what_a_peer_sent_before_it_knew_is_free() -> None:
    """Frames for a call that the server has reset or ended do not affect its other calls."""
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        update = (1).to_bytes(4, "big")
        client.send(headers(1), frame(DATA, END_STREAM, 1, ADA))
        await client.wait_for(HEADERS, 1, which=1)
        client.send(
            frame(WINDOW_UPDATE, 0, 1, update) * 1000, frame(RST_STREAM, 0, 1, bytes(4)) * 1000
        )
        client.send(headers(3, Te="trailers"), frame(DATA, 0, 3, bytes(16384)) * 1000)
        client.send(
            frame(WINDOW_UPDATE, 0, 3, update) * 1000, frame(RST_STREAM, 0, 3, bytes(4)) * 1000
        )
        client.send(headers(5), frame(DATA, END_STREAM, 5, ADA))
        assert await client.wait_for(DATA, 5) == ANSWER


async def test_pings_beside_messages_are_free() -> None:
    """A peer may send a PING with every message, as grpc-go does."""
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        client.send(headers(1))
        for _ in range(100):
            client.send(frame(DATA, 0, 1, ADA), frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING, which=99)


async def test_pings_beside_calls_are_free() -> None:
    """A peer may send a PING with every call, also where no message comes or goes."""
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        for stream_id in range(1, 201, 2):
            client.send(headers(stream_id, END_STREAM | END_HEADERS, "/test.Echo/None"))
            client.send(frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING, which=99)


async def test_resets_of_calls_that_were_tried_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that were open for a while may be reset in any number."""
    monkeypatch.setattr(frames, "RAPID", 0.0)
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        client.send(rapid_reset(100))
        client.send(headers(201), frame(DATA, END_STREAM, 201, ADA))
        assert await client.wait_for(DATA, 201) == ANSWER


async def test_a_call_in_the_place_of_another() -> None:
    """At the stream limit, a client may reset a call and open another in the same packet."""
    async with scene(Limits(max_concurrent_streams=5)) as here:
        async with frame_client(here.server.port) as client:
            client.send(*(headers(stream_id) for stream_id in range(1, 11, 2)))
            client.send(frame(PING, 0, 0, bytes(8)))
            await client.wait_for(PING)
            client.send(frame(RST_STREAM, 0, 1, bytes(4)), headers(11))
            client.send(frame(DATA, END_STREAM, 11, ADA))
            assert await client.wait_for(DATA, 11) == ANSWER


async def test_each_malformed_call_is_reset() -> None:
    """This includes a call whose headers h2 has not read, at the end of the data."""
    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        client.send(headers(1))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        client.send(headers(3, X="y"), headers(5, X="y"))
        for stream_id in (3, 5):
            reset = await client.wait_for(RST_STREAM, stream_id)
            assert int.from_bytes(reset, "big") == ErrorCodes.PROTOCOL_ERROR


async def test_messages_that_do_not_end() -> None:
    """The incomplete messages of a connection are limited to a little over the maximum size."""
    size = 1024 * 1024
    almost = framed(bytes(size))[:-1]
    parts = [almost[start : start + 16384] for start in range(0, len(almost), 16384)]
    async with scene(Limits(max_message_size=size)) as here:
        async with frame_client(here.server.port) as attacker:
            for stream_id in range(1, 11, 2):
                attacker.send(headers(stream_id))
                attacker.send(*(frame(DATA, 0, stream_id, part) for part in parts))
            await attacker.wait_for(HEADERS, 9)
            decoder = Decoder()
            ended = {
                stream_id: dict(decoder.decode(body))
                for kind, stream_id, body in numbered_frames_in(attacker.received)
                if kind == HEADERS
            }
            assert {3, 5, 7, 9} >= set(ended) >= {7, 9}
            assert ended[9]["grpc-status"] == "8"
            assert "messages that are incomplete" in ended[9]["grpc-message"]


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_header_block_that_is_too_large(parts: int) -> None:
    """The limit on the encoded size of headers holds for any number of frames."""
    async with scene(Limits(max_header_list_size=4000)) as here:
        async with frame_client(here.server.port) as attacker:
            part = bytes(16384 if parts == 1 else 5000)
            attacker.send(frame(HEADERS, 0, 1, part))
            attacker.send(frame(CONTINUATION, 0, 1, part) * (parts - 1))
            assert said(await attacker.wait_for(GOAWAY)) == (
                ErrorCodes.ENHANCE_YOUR_CALM,
                "headers of more than 16000 bytes",
            )
            await attacker.wait_closed()


async def test_a_header_list_that_is_too_large() -> None:
    """The limit on the decoded size of headers holds, which HPACK can make large."""
    encoder = Encoder()
    first = encoder.encode([("a", "b" * 3000)])
    again = encoder.encode([("a", "b" * 3000)])
    assert len(again) == 1
    async with scene(Limits(max_header_list_size=4000)) as here:
        async with frame_client(here.server.port) as attacker:
            attacker.send(frame(HEADERS, END_HEADERS, 1, first + again * 900))
            code, reason = said(await attacker.wait_for(GOAWAY))
            assert code == ErrorCodes.ENHANCE_YOUR_CALM
            assert "A header list larger than 16000" in reason
            await attacker.wait_closed()


async def test_a_call_with_large_headers() -> None:
    """Headers a little over the limit end only their call."""
    async with scene(Limits(max_header_list_size=4000)) as here:
        async with frame_client(here.server.port) as client:
            client.send(headers(1))
            client.send(headers(3, x="y" * 5000))
            answer = dict(Decoder().decode(await client.wait_for(HEADERS, 3)))
            assert (answer[":status"], answer["grpc-status"]) == ("431", "8")
            assert "at most 4000 are allowed" in answer["grpc-message"]
            client.send(frame(DATA, END_STREAM, 1, ADA))
            assert await client.wait_for(DATA, 1) == ANSWER


async def test_calls_with_many_headers_in_all() -> None:
    """The headers of all open calls of a connection are limited."""
    async with scene(Limits(max_header_list_size=1000)) as here:
        async with frame_client(here.server.port) as client:
            opened = range(1, 301, 2)
            client.send(*(headers(stream_id, x="y" * 600) for stream_id in opened))
            await client.wait_for(HEADERS, 299)
            client.send(*(frame(DATA, END_STREAM, stream_id, ADA) for stream_id in opened[:50]))
            await client.wait_for(DATA, 99)
            client.send(headers(301, x="y" * 600), frame(DATA, END_STREAM, 301, ADA))
            assert await client.wait_for(DATA, 301) == ANSWER
            decoder, refused = Decoder(), {}
            for kind, stream_id, body in numbered_frames_in(client.received):
                if kind == HEADERS:
                    fields = dict(decoder.decode(body))
                    if fields.get("grpc-status", "0") != "0":
                        refused[stream_id] = fields["grpc-message"]
    first = opened.index(min(refused))
    assert 128 <= first <= 128 * 1000 / 633  # which is the part that is said here
    assert sorted(refused) == list(opened[first:])
    assert "at most 128000 are allowed" in refused[299]


async def test_many_calls_in_one_read() -> None:
    """Calls start a few at a time. Calls reset before are dropped, the others served."""
    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        ids = range(1, 401, 2)
        client.send(*(headers(each) + frame(DATA, END_STREAM, each, ADA) for each in ids))
        client.send(*(frame(RST_STREAM, 0, each, bytes(4)) for each in ids[100:]))
        for each in ids[:100]:
            await client.wait_for(HEADERS, each, which=1)


async def test_streams() -> None:
    """A stream over the limit is refused. Opening more and more ends the connection."""
    async with scene(Limits(max_concurrent_streams=5, resets=Rate(10, 1.0))) as here:
        async with frame_client(here.server.port) as attacker:
            attacker.send(*(headers(stream_id) for stream_id in range(1, 13, 2)))
            reset = await attacker.wait_for(RST_STREAM, 11)
            assert int.from_bytes(reset, "big") == ErrorCodes.REFUSED_STREAM
            attacker.send(*(headers(stream_id) for stream_id in range(13, 99, 2)))
            assert said(await attacker.wait_for(GOAWAY))[1] == "too_many_resets"
            await attacker.wait_closed()


async def test_a_stream_that_takes_the_place_of_another() -> None:
    """Streams over the limit, a reset and a new stream in one read are handled in order."""
    async with scene(Limits(max_concurrent_streams=2)) as here:
        async with frame_client(here.server.port) as client:
            client.send(
                *(headers(stream_id) for stream_id in (1, 3, 5, 7)),
                frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")),
                *(headers(9), headers(11)),
                *(frame(DATA, END_STREAM, stream_id, ADA) for stream_id in (3, 9)),
            )
            for stream_id in (5, 7, 11):
                reset = await client.wait_for(RST_STREAM, stream_id)
                assert int.from_bytes(reset, "big") == ErrorCodes.REFUSED_STREAM
            for stream_id in (3, 9):
                assert await client.wait_for(DATA, stream_id) == ANSWER
            client.send(headers(13), frame(DATA, END_STREAM, 13, ADA))
            assert await client.wait_for(DATA, 13) == ANSWER


async def test_connections() -> None:
    """A connection over the limit is closed. A closed connection makes room."""
    async with scene(Limits(max_connections=2)) as here:
        async with frame_client(here.server.port) as second:
            second.send(headers(1), frame(DATA, 0, 1, ADA))
            assert await second.wait_for(DATA, 1) == ANSWER
            async with frame_client(here.server.port) as third:
                await third.wait_closed()
                assert third.received == b""
        await here.only_the_bystander_is_left()
        async with frame_client(here.server.port) as fourth:
            fourth.send(headers(1), frame(DATA, 0, 1, ADA))
            assert await fourth.wait_for(DATA, 1) == ANSWER


async def test_memory_is_given_back() -> None:
    """After an attack nothing of its connection remains."""
    gone: list[weakref.ref[Any]] = []
    async with scene(STRICT) as here:
        for flood, _ in FLOODS.values():
            async with frame_client(here.server.port) as attacker:
                await attacker.wait_for(SETTINGS)
                gone += [weakref.ref(each) for each in here.server._connections]
                attacker.send(flood(1000))
                await attacker.wait_closed()
            await here.only_the_bystander_is_left()
        gc.collect()
        left = {each() for each in gone} - {None}
        assert left == set(here.server._connections)
