"""Attacks by header blocks, and by what is in them."""

from __future__ import annotations

from hpack import Encoder

from ..support.frames import CONTINUATION, END_HEADERS, HEADERS
from ..wire.raw import frame, request_headers
from .attacker import Attacker, call, message, u32
from .table import Form, attack

TOO_LARGE = "GOAWAY ENHANCE_YOUR_CALM headers of more than 65536 bytes"


@attack("GOAWAY NO_ERROR no_calls", takes_time=True)
async def slow_headers(peer: Attacker, form: Form) -> str:
    """A frame of headers that comes byte by byte."""
    peer.answers_pings = True
    await peer.drip(call(1, *[(f"x-{n}", "y" * 100) for n in range(100)]), form.drip)
    return await peer.end()


@attack("closed", takes_time=True)
async def headers_without_end(peer: Attacker, form: Form) -> str:
    """A block of headers that is not ended, which leaves no place for an answer to a PING."""
    await peer.send(frame(HEADERS, 0, 1, b"\x83"))
    return await peer.end()


@attack("GOAWAY NO_ERROR no_calls", takes_time=True)
async def slow_continuation(peer: Attacker, form: Form) -> str:
    """A block of headers that gets a byte longer now and then."""
    await peer.send(frame(HEADERS, 0, 1, b"\x83"))
    while not peer.is_over:
        await peer.send(frame(CONTINUATION, 0, 1, b"\x86"))
        await peer.until(lambda: peer.is_over, form.drip, fails=False)
    return await peer.end()


@attack(TOO_LARGE)
async def continuation_flood(peer: Attacker, form: Form) -> str:
    """CVE-2024-27316 and others."""
    await peer.send(frame(HEADERS, 0, 1, bytes(16384)))
    await peer.flood(frame(CONTINUATION, 0, 1, bytes(16384)), form.times(1000))
    return await peer.end()


@attack("GOAWAY PROTOCOL_ERROR")
async def small_continuations(peer: Attacker, form: Form) -> str:
    await peer.send(frame(HEADERS, 0, 1, b"\x83"))
    await peer.flood(frame(CONTINUATION, 0, 1, b"\x86"), form.times(20_000))
    return (await peer.end())[:21]


@attack("GOAWAY PROTOCOL_ERROR")
async def empty_continuations(peer: Attacker, form: Form) -> str:
    await peer.send(frame(HEADERS, 0, 1, b"\x83") + frame(CONTINUATION, 0, 1, b"") * 7000)
    return (await peer.end())[:21]


@attack("GOAWAY ENHANCE_YOUR_CALM", together=100)
async def hpack_bomb(peer: Attacker, form: Form) -> str:
    """One long entry of the table, and a thousand references to it, in a byte each."""
    encoder = Encoder()
    first = encoder.encode([("a", "b" * 3500)])
    again = encoder.encode([("a", "b" * 3500)])
    await peer.send(frame(HEADERS, END_HEADERS, 1, first + again * 12000))
    return (await peer.end())[:24]


@attack(TOO_LARGE)
async def a_header_of_one_megabyte(peer: Attacker, form: Form) -> str:
    block = Encoder().encode([("a", "\1" * 1_000_000)], huffman=False)
    parts = [block[start : start + 16384] for start in range(0, len(block), 16384)]
    await peer.send(frame(HEADERS, 0, 1, parts[0]))
    await peer.send(*(frame(CONTINUATION, 0, 1, part) for part in parts[1:]))
    return await peer.end()


@attack("GOAWAY PROTOCOL_ERROR")
async def a_header_that_says_it_has_one_megabyte(peer: Attacker, form: Form) -> str:
    await peer.send(frame(HEADERS, END_HEADERS, 1, b"\x00\x7f\xc1\x83\x3d" + b"a" * 10_000))
    return (await peer.end())[:21]


@attack("GOAWAY PROTOCOL_ERROR")
async def a_number_of_16000_bytes(peer: Attacker, form: Form) -> str:
    """HPACK's integers have no end of their own."""
    await peer.send(frame(HEADERS, END_HEADERS, 1, b"\x7f" + b"\xff" * 16_000))
    return (await peer.end())[:21]


@attack("GOAWAY PROTOCOL_ERROR")
async def a_reference_to_nothing(peer: Attacker, form: Form) -> str:
    await peer.send(frame(HEADERS, END_HEADERS, 1, b"\xfe"))
    return (await peer.end())[:21]


@attack("RST_STREAM PROTOCOL_ERROR", together=100)
async def tables_that_change_their_size(peer: Attacker, form: Form) -> str:
    """A block of nothing but changes of the size of the table."""
    await peer.send(frame(HEADERS, END_HEADERS, 1, (b"\x20\x3f\xe1\x1f" * 4096)[:16384]))
    return await peer.answer(1)


@attack("431 RESOURCE_EXHAUSTED", together=20)
async def headers_over_the_limit(peer: Attacker, form: Form) -> str:
    """Each call has more headers than it may; each is told so."""
    stream_ids = range(1, 2 * form.times(500), 2)
    headers = call(1, *[(f"x-{n}", "a" * 1000) for n in range(20)], ends=True)
    for stream_id in stream_ids:
        await peer.send(headers[:5] + u32(stream_id) + headers[9:])
    return await peer.answers(stream_ids)


@attack("RESOURCE_EXHAUSTED", together=20)
async def a_thousand_calls_with_much_metadata(peer: Attacker, form: Form) -> str:
    """As many headers as a call may have, in a byte each, on as many calls as there may be."""
    encoder = Encoder()
    fields = [*request_headers("/service.v1.Service/Chat"), *[("x", "y")] * 440]
    first, again = encoder.encode(fields), encoder.encode(fields)
    last = 2 * max(form.times(1000), 150) - 1
    await peer.send(frame(HEADERS, END_HEADERS, 1, first), message(1))
    for stream_id in range(3, last + 2, 2):
        await peer.send(frame(HEADERS, END_HEADERS, stream_id, again), message(stream_id))
    return await peer.answer(last)


@attack("RST_STREAM PROTOCOL_ERROR", together=100)
async def control_characters(peer: Attacker, form: Form) -> str:
    """Those that may split a header or a log, in values and in names."""
    wrong = [("x", f"a{c}b") for c in "\0\r\n"] + [(f"x{c}y", "z") for c in "\0\r\n \x7fA\xe9"]
    for index, field in enumerate(wrong):
        await peer.send(call(2 * index + 1, field))
    return await peer.answers(range(1, 2 * len(wrong), 2))


@attack("INVALID_ARGUMENT", together=100)
async def metadata_that_is_not_ascii(peer: Attacker, form: Form) -> str:
    """Invalid UTF-8, valid UTF-8, and what is not base64 under `-bin`."""
    for stream_id, field in (
        (1, ("x", "\xff\xfe")),
        (3, ("x", "\u4e16")),
        (5, ("x-bin", "%%%")),
        (7, ("grpc-timeout", "999999999S")),
        (9, ("chat-room-bin", "//79")),
        (11, ("chat-room", "")),
    ):
        await peer.send(call(stream_id, field))
    return await peer.answers(range(1, 12, 2))
