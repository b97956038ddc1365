"""Attacks on flow control, and by not reading."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterable

from ..support.frames import DATA, WINDOW_UPDATE
from ..wire.raw import frame, framed
from .attacker import WIDE, Attacker, call, data, message, request, settings, u32
from .table import Form, attack

MEGABYTE = 1024 * 1024


GZIP = ("grpc-encoding", "gzip")


def short_message(size: int) -> bytes:
    """A message of so many characters, and a thousandth of that compressed."""
    return framed(gzip.compress(request(b"x" * size)[5:]), compressed=True)


def room(peer: Attacker) -> tuple[str, str]:
    """A room of this attacker's own."""
    return "chat-room", f"flow-{id(peer)}"


@attack("RESOURCE_EXHAUSTED", takes_time=True, together=100)
async def zero_window(peer: Attacker, form: Form) -> str:
    """Calls whose answers may not leave."""
    peer.answers_pings = True
    stream_ids = range(1, 40, 2)
    await peer.send(settings(window=0))
    for stream_id in stream_ids:
        await peer.send(call(stream_id), message(stream_id, b"x" * 50_000))
    return await peer.answers(stream_ids)


@attack("RESOURCE_EXHAUSTED", takes_time=True, together=10)
async def zero_window_in_a_room(peer: Attacker, form: Form) -> str:
    """A member that takes nothing of what is said in its room, by itself and by another."""
    peer.answers_pings = True
    await peer.send(settings(window=0))
    await peer.send(call(1, room(peer)), call(3, room(peer)))
    await peer.until(lambda: 1 in peer.headers and 3 in peer.headers)
    await peer.flood_within_windows(3, request(b"x" * 10_000), 300)
    return await peer.answers(range(1, 5, 2))


@attack("OK", together=100)
async def windows_that_open_by_a_byte(peer: Attacker, form: Form) -> str:
    """A byte is sent for each. Whoever reads so slowly holds one answer, and no more."""
    await peer.send(settings(window=0), call(1), message(1, b"x" * 10_000, ends=True))
    for _ in range(form.times(5000)):
        await peer.send(frame(WINDOW_UPDATE, 0, 1, u32(1)))
    await peer.send(frame(WINDOW_UPDATE, 0, 1, u32(100_000)))
    return await peer.answer(1)


async def answers_left_in_the_socket(
    peer: Attacker,
    form: Form,
    *fields: tuple[str, str],
    sealed: Callable[[bytes], bytes] = bytes,
) -> str:
    """`sealed` makes what is sent of what is to come, where that is not the same."""
    peer.transport.pause_reading()
    await peer.send(sealed(WIDE + call(1, *fields)))
    await peer.send(sealed(data(1, short_message(3 * MEGABYTE)) * 20))
    while not peer.transport.is_closing():  # it is not told of the end while it does not read
        peer.write(sealed(frame(WINDOW_UPDATE, 0, 0, u32(1))))
        await asyncio.sleep(form.drip)
    return "closed"


@attack("closed", takes_time=True, together=5)
async def answers_that_are_not_read(peer: Attacker, form: Form) -> str:
    """Small requests of which large answers are made, and left in the socket."""
    return await answers_left_in_the_socket(peer, form, GZIP)


@attack("RESOURCE_EXHAUSTED", together=20)
async def sending_and_taking_nothing(peer: Attacker, form: Form) -> str:
    """Large messages, for calls whose answers may not leave."""
    peer.answers_pings = True
    await peer.send(settings(window=0))
    for stream_id in (1, 3):
        await peer.send(call(stream_id), message(stream_id, b"x" * 10_000) * 25)
    await peer.send(call(5), data(5, b"\0\xff\xff\xff\xff"))
    return await peer.answer(5)


@attack("GOAWAY FLOW_CONTROL_ERROR")
async def a_window_of_all_too_large(peer: Attacker, form: Form) -> str:
    await peer.send(frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)))
    return (await peer.end())[:25]


@attack("RST_STREAM FLOW_CONTROL_ERROR")
async def a_window_too_large(peer: Attacker, form: Form) -> str:
    await peer.send(call(1), frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1)))
    return await peer.answer(1)


@attack("GOAWAY FLOW_CONTROL_ERROR", together=100)
async def windows_that_settings_make_too_large(peer: Attacker, form: Form) -> str:
    await peer.send(call(1), frame(WINDOW_UPDATE, 0, 1, u32(2**30)), settings(window=2**31 - 1))
    return (await peer.end())[:25]


@attack("GOAWAY FLOW_CONTROL_ERROR", together=1)
async def more_data_than_the_window(peer: Attacker, form: Form) -> str:
    """For a call that is open and gets no further, so that nothing is given back."""
    await peer.send(settings(window=0), call(1))
    await peer.flood(message(1, b"x" * 16_000), 2000)
    return (await peer.end())[:25]


async def held_back(
    peer: Attacker, frames: Callable[[int], bytes], stream_ids: Iterable[int]
) -> None:
    """Opens calls that have the server hold something as long as they like; says when it does."""
    peer.answers_pings = True
    await peer.send(settings(window=0))
    for stream_id in stream_ids:
        await peer.send(frames(stream_id))
    await peer.until(lambda: peer.is_writable)
    await peer.pong()


@attack("RESOURCE_EXHAUSTED", together=20)
async def messages_without_their_end(peer: Attacker, form: Form) -> str:
    """They lack their last byte: the windows are given back, so that they can come."""
    almost = framed(bytes(4 * MEGABYTE - 10))[:-1]
    await held_back(peer, lambda n: call(n) + data(n, almost), range(1, 2 * form.times(60), 2))
    return await peer.answer(5)


@attack("RESOURCE_EXHAUSTED", takes_time=True, together=5)
async def large_messages_whose_answers_are_not_taken(peer: Attacker, form: Form) -> str:
    """One that is taken, with its answer; of the others comes what their windows allow."""
    large = request(b"x" * (3 * MEGABYTE))
    first, *others = range(1, 2 * form.times(60), 2)
    await held_back(peer, call, [first, *others])
    await peer.send_within_windows(first, large)
    sending = [asyncio.create_task(peer.send_within_windows(each, large)) for each in others]
    seen = await peer.answer(first)
    for each in sending:
        each.cancel()
    return seen


@attack("nothing", together=5)
async def inflated_messages_whose_answers_are_not_taken(peer: Attacker, form: Form) -> str:
    """Each takes 3 KB of the network, and 3 MB of memory; it waits as it came."""
    body = short_message(3 * MEGABYTE)
    stream_ids = range(1, 2 * form.times(250), 2)
    await held_back(peer, lambda n: call(n, GZIP) + data(n, body), stream_ids)
    return "nothing" if not peer.ends else str(peer)


@attack("nothing", together=10)
async def small_messages_whose_answers_are_not_taken(peer: Attacker, form: Form) -> str:
    """As many as the windows allow: their objects are larger than they are."""
    small = framed(b"\x0a\0")
    stream_ids = range(1, 2 * form.times(400), 2)
    await held_back(peer, lambda n: call(n) + frame(DATA, 0, n, small * 300), stream_ids)
    return "nothing" if not peer.ends else str(peer)
