"""A peer that costs too much is cut off and told why; nobody else notices.

Each attack is made on a real connection, with a bystander on another one whose call is open all
the time, and afterwards the server holds nothing of the attacker any more.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder

from chatify_stream.errors import StatusError
from chatify_stream.wire import Limits, Rate, Server, ServerStream, Status
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
    GREETING,
    FrameClient,
    RawClient,
    frame,
    frame_client,
    framed,
    numbered_frames_in,
    raw_client,
    request_headers,
)
from .services import Answer, Ask, Echo

ADA = framed(bytes(Ask(service="Ada")))
ANSWER = framed(bytes(Answer(name="Ada")))
WIDE = frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + (2**30).to_bytes(4, "big")) + frame(
    WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")
)
"""Windows that never close."""

STRICT = Limits(
    pings=Rate(10, 1.0), settings=Rate(10, 1.0), resets=Rate(10, 1.0), glitches=Rate(10, 1.0)
)


@dataclass
class Scene:
    """A server, and somebody who uses it well."""

    server: Server
    service: Echo
    bystander: RawClient

    async def talk(self) -> None:
        """The bystander says something, and is answered."""
        before = self.bystander.data_of(1)
        self.bystander.h2.send_data(1, ADA)
        self.bystander.flush()
        async with asyncio.timeout(10):
            while self.bystander.data_of(1) == before:
                await self.bystander._read()

    async def only_the_bystander_is_left(self) -> None:
        async with asyncio.timeout(10):
            while self.server.connections > 1 or self.server.open_calls > 1:
                await asyncio.sleep(0.01)
        assert self.server.open_calls == 1


@asynccontextmanager
async def scene(limits: Limits) -> AsyncIterator[Scene]:
    service = Echo()
    server = Server([service], limits=limits)
    await server.start("127.0.0.1", 0)
    try:
        async with raw_client(server.port) as bystander:
            bystander.h2.send_headers(1, request_headers())
            bystander.flush()
            here = Scene(server, service, bystander)
            await here.talk()
            yield here
            await here.talk()
            await here.only_the_bystander_is_left()
    finally:
        server.close()
        await server.wait_closed()


def headers(
    stream_id: int, flags: int = END_HEADERS, path: str = "/test.Echo/Echo", **changes: str | None
) -> bytes:
    """The headers of a call, by themselves: they use nothing that was sent before."""
    fields = [(name, value, True) for name, value in request_headers(path, **changes)]
    return frame(HEADERS, flags, stream_id, Encoder().encode(fields))


def rapid_reset(count: int) -> bytes:
    return b"".join(
        headers(stream_id) + frame(RST_STREAM, 0, stream_id, bytes(4))
        for stream_id in range(1, 2 * count, 2)
    )


def made_to_reset(count: int) -> bytes:
    """Requests that the server has to reset, because they are malformed."""
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


def said(goaway: bytes) -> tuple[int, str]:
    """Error code and text of a GOAWAY."""
    return int.from_bytes(goaway[4:8], "big"), goaway[8:].decode()


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood(name: str) -> None:
    """A peer that sends too many of these is told so, and is cut off."""
    flood, reason = FLOODS[name]
    async with scene(STRICT) as here, frame_client(here.server.port) as attacker:
        attacker.send(flood(1000))
        goaway = await attacker.wait_for(GOAWAY)
        assert said(goaway) == (ErrorCodes.ENHANCE_YOUR_CALM, reason)
        await attacker.wait_closed()


@pytest.mark.parametrize("name", FLOODS)
async def test_a_little_of_it(name: str) -> None:
    """A peer that sends a few of these is served."""
    flood, _ = FLOODS[name]
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        client.send(flood(5))
        if name == "empty CONTINUATION":
            client.send(frame(CONTINUATION, END_HEADERS, 1, b""))
        client.send(headers(101), frame(DATA, END_STREAM, 101, ADA))
        assert await client.wait_for(DATA, 101) == ANSWER


async def test_what_a_peer_sent_before_it_knew_is_free() -> None:
    """What comes for a call that the server has reset, or ended, costs its other calls nothing."""
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
    """Who has waited for its calls for a while may give up any number of them."""
    monkeypatch.setattr(frames, "RAPID", 0.0)
    async with scene(STRICT) as here, frame_client(here.server.port) as client:
        client.send(rapid_reset(100))
        client.send(headers(201), frame(DATA, END_STREAM, 201, ADA))
        assert await client.wait_for(DATA, 201) == ANSWER


async def test_a_call_in_the_place_of_another() -> None:
    """Who has as many calls as allowed may reset one and open the next in the same packet."""
    async with scene(Limits(max_concurrent_streams=5)) as here:
        async with frame_client(here.server.port) as client:
            client.send(*(headers(stream_id) for stream_id in range(1, 11, 2)))
            client.send(frame(PING, 0, 0, bytes(8)))
            await client.wait_for(PING)
            client.send(frame(RST_STREAM, 0, 1, bytes(4)), headers(11))
            client.send(frame(DATA, END_STREAM, 11, ADA))
            assert await client.wait_for(DATA, 11) == ANSWER


async def test_each_malformed_call_is_reset() -> None:
    """Also those of which h2 has not read the headers, and after which nothing comes."""
    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        client.send(headers(1))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        client.send(headers(3, X="y"), headers(5, X="y"))
        for stream_id in (3, 5):
            reset = await client.wait_for(RST_STREAM, stream_id)
            assert int.from_bytes(reset, "big") == ErrorCodes.PROTOCOL_ERROR


async def test_messages_that_do_not_end() -> None:
    """A connection holds a little more of them than one of the largest size."""
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
            assert "messages that are not whole" in ended[9]["grpc-message"]


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_header_block_that_is_too_large(parts: int) -> None:
    """Headers are refused by their size as they are sent, in however many frames."""
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
    """Headers are refused by their size as they are read: HPACK makes much of little."""
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
    """Headers over the limit, but not by far, cost their call alone."""
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
    """The open calls of a connection have so many; one that ends gives way to another."""
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


UNKNOWN = "/test.Echo/Unknown"
SLOW = Limits(refusals=Rate(5, 0.001), max_concurrent_streams=10)
"""Past the burst, a refusal is told in quarter of an hour."""


async def refused_at_once(client: FrameClient, path: str) -> None:
    """Makes five calls, which are refused."""
    client.send(*(headers(stream_id, path=path) for stream_id in range(1, 11, 2)))
    for stream_id in range(1, 11, 2):
        await client.wait_for(HEADERS, stream_id)


async def answered(client: FrameClient, stream_id: int) -> None:
    """Makes a call, which is served."""
    client.send(headers(stream_id), frame(DATA, END_STREAM, stream_id, ADA))
    assert await client.wait_for(DATA, stream_id) == ANSWER


def has_headers(client: FrameClient, stream_id: int) -> bool:
    frames = numbered_frames_in(client.received)
    return any((kind, stream) == (HEADERS, stream_id) for kind, stream, _ in frames)


async def test_refusals_are_told_later() -> None:
    """Past the rate a refused call waits for its status, and other calls wait for nothing."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11, path=UNKNOWN))
        await answered(client, 13)
        await answered(client, 15)
        assert not has_headers(client, 11)


async def test_refusals_by_a_handler_are_told_later() -> None:
    """It is the same whoever refuses; an answer such as NOT_FOUND is no refusal."""
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
    """What is sent on a call that is to be refused is thrown away."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11, path=UNKNOWN), *[frame(DATA, 0, 11, bytes(16384))] * 20)
        assert await client.wait_for(WINDOW_UPDATE, 11)


async def test_refusals_that_nobody_waits_for() -> None:
    """Who gives up calls that are to be refused, to make others, is cut off."""
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
    """A connection that is to be closed tells refusals at once."""
    async with scene(SLOW) as here, frame_client(here.server.port) as client:
        await refused_at_once(client, UNKNOWN)
        client.send(headers(11), frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        for connection in here.server._connections:
            connection.close_when_idle()
        client.send(headers(13, path=UNKNOWN), frame(DATA, END_STREAM, 11, ADA))
        await client.wait_for(HEADERS, 13)
        await client.wait_closed()


async def test_many_calls_in_one_read() -> None:
    """Calls begin a few at a time; those that are reset before are dropped, the others served."""
    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        ids = range(1, 401, 2)
        client.send(*(headers(each) + frame(DATA, END_STREAM, each, ADA) for each in ids))
        client.send(*(frame(RST_STREAM, 0, each, bytes(4)) for each in ids[100:]))
        for each in ids[:100]:
            await client.wait_for(HEADERS, each, which=1)


async def test_streams() -> None:
    """A stream too many is refused; who opens ever more of them is cut off."""
    async with scene(Limits(max_concurrent_streams=5, resets=Rate(10, 1.0))) as here:
        async with frame_client(here.server.port) as attacker:
            attacker.send(*(headers(stream_id) for stream_id in range(1, 13, 2)))
            reset = await attacker.wait_for(RST_STREAM, 11)
            assert int.from_bytes(reset, "big") == ErrorCodes.REFUSED_STREAM
            attacker.send(*(headers(stream_id) for stream_id in range(13, 99, 2)))
            assert said(await attacker.wait_for(GOAWAY))[1] == "too_many_resets"
            await attacker.wait_closed()


async def test_a_stream_that_takes_the_place_of_another() -> None:
    """All in one read: two too many, then one is reset, and so the next one is served."""
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
    """A connection too many is closed; one that goes makes room for another."""
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


@pytest.mark.parametrize("greeting", [b"", GREETING[:10], GREETING[:24], GREETING[:26]])
async def test_no_greeting(greeting: bytes) -> None:
    """Who connects and says too little is cut off."""
    async with scene(Limits(handshake_timeout=0.1)) as here:
        async with frame_client(here.server.port, greeting) as silent:
            await silent.wait_closed()


async def test_no_call() -> None:
    """Who greets and then calls nothing is asked to go."""
    async with scene(Limits(first_call_timeout=0.1)) as here:
        async with frame_client(here.server.port) as idle:
            assert said(await idle.wait_for(GOAWAY)) == (ErrorCodes.NO_ERROR, "no_calls")
            await idle.wait_closed()


async def test_a_dead_peer() -> None:
    """Who does not answer a PING is cut off, and its call ends."""
    server = Server([Echo()], limits=Limits(keepalive_time=0.1, keepalive_timeout=0.1))
    await server.start("127.0.0.1", 0)
    async with frame_client(server.port) as dead:
        dead.send(headers(1), frame(DATA, 0, 1, ADA))
        await dead.wait_for(PING)
        await dead.wait_closed()
    assert (server.open_calls, server.connections) == (0, 0)
    server.close()
    await server.wait_closed()


async def test_a_living_peer() -> None:
    """Who answers every PING stays, however silent."""
    async with scene(Limits(keepalive_time=0.02, keepalive_timeout=5.0)) as here:
        await here.bystander.wait_for_frame(PING, 5)


async def test_answers_that_are_not_read() -> None:
    """Who asks without end and reads no answer is cut off."""
    limits = Limits(pings=Rate(10**9, 1.0), max_control_backlog=100_000, write_timeout=0.3)
    flood, _ = FLOODS["PING"]
    async with scene(limits) as here, frame_client(here.server.port) as attacker:
        await send_until_cut_off(attacker, flood(5000))


async def test_a_peer_that_reads_nothing() -> None:
    """Who takes nothing of what it asked for is cut off."""
    async with scene(Limits(write_timeout=0.3)) as here:
        async with frame_client(here.server.port) as attacker:
            attacker.send(WIDE, headers(1))
            message = framed(bytes(Ask(service="x" * 10_000)))
            await send_until_cut_off(attacker, frame(DATA, 0, 1, message))


@pytest.mark.parametrize("whole_messages", [2, 2.5])
async def test_a_call_that_reads_nothing(whole_messages: float) -> None:
    """A call whose window is used up ends, in the middle of a message with a reset."""
    answer = framed(bytes(Answer(name="x" * 1000)))

    async def handler(stream: ServerStream) -> None:
        while True:
            await stream.send_message(Answer(name="x" * 1000))

    async with scene(Limits(write_timeout=0.1)) as here, frame_client(here.server.port) as slow:
        here.service.handler = handler
        window = int(whole_messages * len(answer))
        slow.send(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big")))
        slow.send(headers(1, path="/test.Echo/Run"))
        if whole_messages == 2:
            decoder = Decoder()
            decoder.decode(await slow.wait_for(HEADERS, 1))
            trailers = dict(decoder.decode(await slow.wait_for(HEADERS, 1, which=1)))
            assert trailers["grpc-status"] == "8"
            assert trailers["grpc-message"] == "nothing was read for 0.1 s"
        else:
            reset = await slow.wait_for(RST_STREAM, 1)
            assert int.from_bytes(reset, "big") == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("stream_id", [0, 1])
async def test_windows_that_help_nothing(stream_id: int) -> None:
    """A window that lets nothing of a call be sent, its own or that of all, gives it no time."""

    async def handler(stream: ServerStream) -> None:
        while True:
            await stream.send_message(Answer(name="x" * 1000))

    async with scene(Limits(write_timeout=0.1)) as here, frame_client(here.server.port) as slow:
        here.service.handler = handler
        slow.send(headers(1, path="/test.Echo/Run"))
        await here.service.started.wait()
        while sum(len(body) for kind, _, body in numbered_frames_in(slow.received) if not kind) < (
            65535
        ):
            await slow._read()
        # From now on the window of the call is far below zero.
        slow.send(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4)))
        async with asyncio.timeout(5):
            while not here.service.ended.is_set():
                slow.send(frame(WINDOW_UPDATE, 0, stream_id, (1).to_bytes(4, "big")))
                await asyncio.sleep(0.01)


async def test_calls_that_wait_for_the_window_of_all() -> None:
    """As many as it has room for go on when it grows, one after the other."""
    size = 10_000

    async def handler(stream: ServerStream) -> None:
        await stream.send_message(Answer(name="x" * size))

    async with scene(Limits()) as here, frame_client(here.server.port) as client:
        here.service.handler = handler
        calls = range(1, 41, 2)
        client.send(*(headers(stream_id, path="/test.Echo/Run") for stream_id in calls))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.wait_for(PING)
        client.send(frame(WINDOW_UPDATE, 0, 0, (len(calls) * 2 * size).to_bytes(4, "big")))
        for stream_id in calls:
            await client.wait_for(HEADERS, stream_id, which=1)


async def send_until_cut_off(attacker: FrameClient, data: bytes) -> None:
    attacker.writer.transport.pause_reading()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            while True:
                attacker.send(data)
                await attacker.writer.drain()


class TestAge:
    async def test_an_old_connection(self) -> None:
        """Its calls go on; it is closed after the last one."""
        server = Server([Echo()], limits=Limits(max_connection_age=0.1))
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            client.send(headers(1))
            assert said(await client.wait_for(GOAWAY)) == (ErrorCodes.NO_ERROR, "max_age")
            client.send(frame(DATA, END_STREAM, 1, ADA))
            assert await client.wait_for(DATA, 1) == ANSWER
            await client.wait_closed()
        server.close()
        await server.wait_closed()

    async def test_calls_that_do_not_end(self) -> None:
        """After the grace they are ended, UNAVAILABLE."""
        limits = Limits(max_connection_age=0.1, max_connection_age_grace=0.1)
        server = Server([Echo()], limits=limits)
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            client.send(headers(1))
            trailers = dict(Decoder().decode(await client.wait_for(HEADERS, 1)))
            assert trailers["grpc-status"] == "14"
            await client.wait_closed()
        server.close()
        await server.wait_closed()


async def test_memory_is_given_back() -> None:
    """After an attack nothing of its connection is left."""
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
