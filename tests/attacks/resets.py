"""Attacks that open calls and have them end, by the peer or by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..support.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
)
from ..wire.raw import frame
from .attacker import Attacker, call, message, u32
from .floods import calm
from .table import Form, attack

CALLS = 4000


async def many(peer: Attacker, form: Form, frames: Callable[[int], bytes]) -> str:
    """Calls, each with these frames, until the server has had enough."""
    for stream_id in range(1, 2 * CALLS, 2):
        if peer.is_over:
            break
        await peer.send(frames(stream_id))
        await asyncio.sleep(0)  # to hear what the server says of it
    return await peer.end()


@attack(calm("resets"), together=100)
async def rapid_reset(peer: Attacker, form: Form) -> str:
    """CVE-2023-44487."""
    return await many(peer, form, lambda n: call(n) + frame(RST_STREAM, 0, n, u32(8)))


@attack(calm("resets"), together=100)
async def rapid_reset_of_calls_with_a_message(peer: Attacker, form: Form) -> str:
    return await many(peer, form, lambda n: call(n) + message(n) + frame(RST_STREAM, 0, n, u32(8)))


@attack(calm("resets"), together=100)
async def rapid_reset_of_sessions_of_a_room(peer: Attacker, form: Form) -> str:
    room = ("chat-room", "reset")
    return await many(peer, form, lambda n: call(n, room) + frame(RST_STREAM, 0, n, u32(8)))


@attack("GOAWAY PROTOCOL_ERROR", together=100)
async def made_to_reset_by_a_window_update_of_nothing(peer: Attacker, form: Form) -> str:
    """MadeYouReset, CVE-2025-8671, in the ways that follow."""
    seen = await many(peer, form, lambda n: call(n) + frame(WINDOW_UPDATE, 0, n, u32(0)))
    return seen[:21]


@attack(calm("resets"), together=100)
async def made_to_reset_by_a_window_too_large(peer: Attacker, form: Form) -> str:
    return await many(peer, form, lambda n: call(n) + frame(WINDOW_UPDATE, 0, n, u32(2**31 - 1)))


@attack(calm("resets"), together=100)
async def made_to_reset_by_data_after_the_end(peer: Attacker, form: Form) -> str:
    return await many(peer, form, lambda n: call(n, ends=True) + frame(DATA, 0, n, b"late"))


@attack(calm("resets"), together=100)
async def made_to_reset_by_headers_after_the_end(peer: Attacker, form: Form) -> str:
    return await many(peer, form, lambda n: call(n, ends=True) + call(n))


@attack(calm("resets"), together=100)
async def made_to_reset_by_headers_that_are_malformed(peer: Attacker, form: Form) -> str:
    return await many(peer, form, lambda n: call(n, ("Upper", "case")))


@attack("GOAWAY PROTOCOL_ERROR", together=100)
async def made_to_reset_by_a_stream_that_depends_on_itself(peer: Attacker, form: Form) -> str:
    seen = await many(peer, form, lambda n: call(n) + frame(PRIORITY, 0, n, u32(n) + b"\0"))
    return seen[:21]


@attack("GOAWAY FRAME_SIZE_ERROR", together=100)
async def made_to_reset_by_a_length_that_is_wrong(peer: Attacker, form: Form) -> str:
    seen = await many(peer, form, lambda n: call(n) + frame(PRIORITY, 0, n, b""))
    return seen[:23]


@attack(calm("resets"), together=20)
async def calls_over_the_limit(peer: Attacker, form: Form) -> str:
    return await many(peer, form, call)


@attack("GOAWAY PROTOCOL_ERROR", together=100)
async def trailers_flood(peer: Attacker, form: Form) -> str:
    """Headers after headers on one call."""
    await peer.send(call(1))
    await peer.flood(frame(HEADERS, END_HEADERS, 1, b"\0\1x\1y"), form.times(CALLS))
    return (await peer.end())[:21]


@attack("OK", together=20)
async def calls_that_end_at_once(peer: Attacker, form: Form) -> str:
    """That is what a busy client does, too."""
    last = form.times(CALLS) * 2 + 1
    for stream_id in range(1, last, 2):
        await peer.send(call(stream_id, ends=True))
        if stream_id % 1000 == 999:
            await peer.answers(range(1, stream_id + 1, 2))
    return await peer.answers(range(1, last, 2))


@attack("GOAWAY PROTOCOL_ERROR")
async def stream_numbers_used_up(peer: Attacker, form: Form) -> str:
    """The last number there is, and then there is none."""
    await peer.send(call(2**31 - 1), message(2**31 - 1, ends=True))
    assert await peer.answer(2**31 - 1) == "OK"
    await peer.send(call(1), call(2))
    return (await peer.end())[:21]


@attack("OK", together=20)
async def a_thousand_idle_calls(peer: Attacker, form: Form) -> str:
    """As many as one connection may have open."""
    peer.answers_pings = True
    stream_ids = range(1, 2 * form.times(1000), 2)
    for stream_id in stream_ids:
        await peer.send(call(stream_id), message(stream_id))
    await peer.until(lambda: len(peer.received) == len(stream_ids))
    for stream_id in stream_ids:
        await peer.send(frame(DATA, END_STREAM, stream_id, b""))
    return await peer.answers(stream_ids)
