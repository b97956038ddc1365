"""Attacks by calls that are refused, one after the other."""

from __future__ import annotations

import asyncio

from ..support.frames import RST_STREAM
from ..wire.raw import frame
from .attacker import Attacker, call, message, u32
from .floods import calm
from .table import Form, attack

BURST, PER_SECOND, OPEN = 2000, 200, 1000
"""`limits.refusals` and `limits.max_concurrent_streams`."""


def refused(first: int, calls: int) -> bytes:
    """Calls of a method that is not there, from this stream on."""
    ids = range(first, first + 2 * calls, 2)
    return b"".join(call(n, path="/no.such.Service/Method", ends=True) for n in ids)


async def use_up(peer: Attacker, form: Form) -> int:
    """Is refused as often as costs nothing; returns the number of the next call."""
    at_once = 500
    for first in range(1, 2 * BURST, 2 * at_once):
        await peer.send(refused(first, at_once))
        await peer.answers(range(first, first + 2 * at_once, 2))
    return 2 * BURST + 1


@attack("UNIMPLEMENTED", together=20)
async def calls_that_are_refused(peer: Attacker, form: Form) -> str:
    """Whoever waits for his answers gets them, and no more of them a second than he may."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    first, more = await use_up(peer, form), form.times(1000)
    await peer.send(refused(first, more))
    seen = await peer.answers(range(1, first + 2 * more, 2))
    at_least = (more - 1) / PER_SECOND
    took = loop.time() - started
    return seen if took >= at_least else f"{BURST + more} refusals in {took:.2f} s"


@attack(calm("refusals"), together=3)
async def calls_that_are_refused_and_given_up(peer: Attacker, form: Form) -> str:
    """Whoever gives them up to make others is cut off once he owes more than he may have open."""
    first = await use_up(peer, form)
    following = first + 2 * OPEN
    last = following - 2
    await peer.send(refused(first, OPEN - 1), call(last), message(last, ends=True))
    await peer.answer(last)  # all before it have begun
    given_up = range(first, first + 2 * (OPEN - 50), 2)
    await peer.send(*(frame(RST_STREAM, 0, stream_id, u32(8)) for stream_id in given_up))
    await peer.send(refused(following, OPEN - 100))
    for stream_id in range(following + 2 * (OPEN - 100), following + 2 * (OPEN - 50), 2):
        await peer.until(lambda: peer.is_over, 0.05, fails=False)
        await peer.send(refused(stream_id, 1))
    return await peer.end()
