"""Attacks by frames that are cheap to send."""

from __future__ import annotations

import asyncio

from ..support.frames import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from ..wire.raw import frame
from .attacker import Attacker, call, message, setting, u32
from .table import Form, attack

MANY = 20_000


def calm(bucket: str) -> str:
    return f"GOAWAY ENHANCE_YOUR_CALM too_many_{bucket}"


@attack(calm("pings"))
async def ping_flood(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(PING, 0, 0, bytes(8)), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"))
async def answers_to_no_ping(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(PING, 1, 0, bytes(8)), form.times(MANY))
    return await peer.end()


@attack(calm("settings"))
async def settings_flood(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(SETTINGS, 0, 0, b""), form.times(MANY))
    return await peer.end()


@attack(calm("settings"))
async def unknown_settings(peer: Attacker, form: Form) -> str:
    """Each frame has 2,730 settings that nobody knows."""
    body = b"".join(setting(code, code) for code in range(1000, 1000 + 16384 // 6))
    await peer.flood(frame(SETTINGS, 0, 0, body), form.times(1000))
    return await peer.end()


@attack(calm("settings"), together=20)
async def settings_that_move_windows(peer: Attacker, form: Form) -> str:
    """Each has to be applied to each of the calls that are open."""
    await peer.send(*(call(stream_id) for stream_id in range(1, form.times(1000) * 2, 2)))
    await peer.flood(frame(SETTINGS, 0, 0, setting(4, 0) + setting(4, 2**31 - 1)), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"))
async def settings_acknowledged_for_no_reason(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(SETTINGS, 1, 0, b""), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"))
async def priority_flood(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(PRIORITY, 0, 1, bytes(5)), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"))
async def priority_of_many_streams(peer: Attacker, form: Form) -> str:
    """What h2 or a tree of dependencies might keep."""
    for first in range(1, 2 * form.times(MANY), 1000):
        if not peer.is_over:
            ids = range(first, first + 1000, 2)
            await peer.send(*(frame(PRIORITY, 0, n, u32(0) + b"\1") for n in ids))
            await asyncio.sleep(0)
    return await peer.end()


@attack(calm("glitches"))
async def unknown_frames(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(0xBE, 0, 0, bytes(100)), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"))
async def empty_data(peer: Attacker, form: Form) -> str:
    await peer.send(call(1))
    await peer.flood(frame(DATA, 0, 1, b""), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"), together=100)
async def data_that_is_padding(peer: Attacker, form: Form) -> str:
    await peer.send(call(1))
    await peer.flood(frame(DATA, 8, 1, b"\xff" + bytes(255)), form.times(MANY))
    return await peer.end()


@attack(calm("glitches"), together=100)
async def empty_headers(peer: Attacker, form: Form) -> str:
    await peer.flood(frame(HEADERS, 4, 1, b""), form.times(MANY))
    return await peer.end()


@attack("GOAWAY PROTOCOL_ERROR")
async def pushed_promises(peer: Attacker, form: Form) -> str:
    await peer.send(frame(PUSH_PROMISE, 4, 1, u32(2) + b"\x82"))
    return (await peer.end())[:21]


@attack("OK")
async def goaway_flood(peer: Attacker, form: Form) -> str:
    """A client that goes may end its calls."""
    await peer.send(call(1))
    await peer.flood(frame(GOAWAY, 0, 0, bytes(8) + bytes(1000)), form.times(MANY))
    await peer.send(message(1, ends=True))
    return await peer.answer(1)


@attack("OK")
async def window_updates_of_one_byte(peer: Attacker, form: Form) -> str:
    """They mean what they say, and cost no more than they do to send."""
    await peer.send(call(1), message(1))
    await peer.flood(
        frame(WINDOW_UPDATE, 0, 1, u32(1)) + frame(WINDOW_UPDATE, 0, 0, u32(1)), form.times(MANY)
    )
    await peer.send(frame(DATA, END_STREAM, 1, b""))
    return await peer.answer(1)


@attack("OK")
async def frames_for_calls_that_are_over(peer: Attacker, form: Form) -> str:
    """It may have been on its way, and costs nothing."""
    await peer.send(call(1), message(1, ends=True))
    await peer.answer(1)
    late = frame(WINDOW_UPDATE, 0, 1, u32(1)) + frame(RST_STREAM, 0, 1, u32(8))
    await peer.flood(late, form.times(MANY))
    await peer.send(call(3), message(3, ends=True))
    return await peer.answer(3)
