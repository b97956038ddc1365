"""Attacks by messages: their prefix, their compression, and what is in them."""

from __future__ import annotations

import gzip
import zlib

from ..wire.raw import framed
from .attacker import WIDE, Attacker, call, data, message, request
from .table import Form, attack

GZIP_BOMB = gzip.compress(bytes(50 * 1024 * 1024))
DEFLATE_BOMB = zlib.compress(bytes(20 * 1024 * 1024))

GZIP = ("grpc-encoding", "gzip")


@attack("RESOURCE_EXHAUSTED")
async def a_message_of_four_gigabytes(peer: Attacker, form: Form) -> str:
    """By its prefix."""
    await peer.send(call(1), data(1, b"\0\xff\xff\xff\xff" + b"x" * 1000))
    seen = await peer.answer(1)
    assert "the message has 4294967295 bytes" in peer.text(1)
    return seen


@attack("RESOURCE_EXHAUSTED", together=100)
async def a_message_of_four_gigabytes_in_a_room(peer: Attacker, form: Form) -> str:
    await peer.send(call(1, ("chat-room", "large")), data(1, b"\0\xff\xff\xff\xff"))
    return await peer.answer(1)


@attack("INTERNAL")
async def an_invalid_prefix(peer: Attacker, form: Form) -> str:
    await peer.send(call(1), data(1, b"\xff" * 1000))
    return await peer.answer(1)


@attack("RESOURCE_EXHAUSTED", together=20)
async def gzip_bomb(peer: Attacker, form: Form) -> str:
    await peer.send(call(1, GZIP), data(1, framed(GZIP_BOMB, compressed=True)))
    return await peer.answer(1)


@attack("RESOURCE_EXHAUSTED", together=100)
async def deflate_bomb(peer: Attacker, form: Form) -> str:
    await peer.send(
        call(1, ("grpc-encoding", "deflate")), data(1, framed(DEFLATE_BOMB, compressed=True))
    )
    return await peer.answer(1)


@attack("INTERNAL")
async def data_that_is_not_compressed(peer: Attacker, form: Form) -> str:
    """Not gzip, half of a gzip file, two of them, and compressed without saying how."""
    good = gzip.compress(b"\x0a\x03Ada")
    wrong = (b"\xff" * 100, good[:-3], good + good, good[:-8] + bytes(8))
    for index, body in enumerate(wrong):
        await peer.send(
            call(2 * index + 1, GZIP), data(2 * index + 1, framed(body, compressed=True))
        )
    await peer.send(call(9), data(9, framed(good, compressed=True)))
    return await peer.answers(range(1, 10, 2))


@attack("INTERNAL")
async def malformed_messages(peer: Attacker, form: Form) -> str:
    """Invalid UTF-8, a surrogate, a wrong wire type, truncated fields and varints."""
    wrong = (
        b"\x0a\x01\xff",
        b"\x0a\x03\xed\xa0\x80",
        b"\x0a\x02\xc0\x80",
        b"\x0f\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x80" * 11,
        b"\0\0",
        b"\x0c",
    )
    for index, body in enumerate(wrong):
        await peer.send(call(2 * index + 1), data(2 * index + 1, framed(body)))
    return await peer.answers(range(1, 2 * len(wrong), 2))


@attack("INTERNAL", together=20)
async def groups_in_groups(peer: Attacker, form: Form) -> str:
    """Nested a million deep."""
    await peer.send(WIDE, call(1), data(1, framed(b"\x1b" * 1_000_000)))
    return await peer.answer(1)


@attack("OK", together=3)
async def a_message_of_a_million_fields(peer: Attacker, form: Form) -> str:
    """Each of them unknown; the message is valid."""
    fields = b"\x50\x01" * form.times(1_000_000)
    await peer.send(WIDE, call(1), data(1, framed(fields), ends=True))
    return await peer.answer(1)


@attack("OK", together=100)
async def control_characters_in_a_message(peer: Attacker, form: Form) -> str:
    """Text is text: what shows it has to take care."""
    text = "".join(map(chr, range(32))).encode() + b"\x7f\xc2\x9b31m\xe2\x80\xae"
    await peer.send(call(1), message(1, text, ends=True))
    seen = await peer.answer(1)
    assert peer.received[1] == 5 + 2 + len("Hello ") + len(text)
    return seen


@attack("OK", together=20)
async def messages_as_fast_as_they_go(peer: Attacker, form: Form) -> str:
    await peer.send(WIDE, call(1))
    await peer.flood_within_windows(1, request(b"Ada") * 100, form.times(500))
    await peer.send(message(1, ends=True))
    return await peer.answer(1)
