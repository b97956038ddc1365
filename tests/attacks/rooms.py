"""Attacks by members of rooms."""

from __future__ import annotations

from ..support.frames import DATA, END_STREAM, RST_STREAM
from ..wire.raw import frame
from .attacker import WIDE, Attacker, call, request, u32
from .table import Form, attack


@attack("INVALID_ARGUMENT", together=100)
async def invalid_names(peer: Attacker, form: Form) -> str:
    """Control characters, line ends, spaces, too long, and positions and numbers made up."""
    good = ("chat-room", "names")
    wrong = (
        [("chat-room", "x" * 129)],
        [("chat-room-bin", "AA")],  # NUL
        [("chat-room-bin", "G1sybQ")],  # an escape sequence
        [("chat-room-bin", "YQpi")],  # a line end
        [("chat-room-bin", "4oCo")],  # a line separator
        [("chat-room-bin", "7aCA")],  # a surrogate
        [good, ("chat-user", "x" * 10_000)],
        [good, ("chat-user-bin", "YQ1i")],
        [good, ("chat-resume", "x/-1")],
        [good, ("chat-resume", "x/" + "9" * 5000)],
        [good, ("chat-history", "9" * 5000)],
        [good, ("chat-history", "-1")],
        [good, ("chat-events", "x," * 3000)],
    )
    for index, fields in enumerate(wrong):
        await peer.send(call(2 * index + 1, *fields))
    return await peer.answers(range(1, 2 * len(wrong), 2))


@attack("OK", together=1)
async def ten_thousand_rooms(peer: Attacker, form: Form) -> str:
    """Joined one after the other, by one user."""
    last = 2 * form.times(10_000) + 1
    for stream_id in range(1, last, 2):
        fields = ("chat-room", f"ten-thousand-{stream_id}"), ("chat-user", "everywhere")
        await peer.send(call(stream_id, *fields, ends=True))
        if stream_id % 1000 == 999:
            await peer.answers(range(stream_id - 998, stream_id, 2))
    return await peer.answers(range(1, last, 2))


@attack("OK", together=1)
async def a_thousand_rooms_at_once(peer: Attacker, form: Form) -> str:
    last = 2 * form.times(1000) + 1
    for stream_id in range(1, last, 2):
        fields = ("chat-room", f"at-once-{stream_id}"), ("chat-user", "everywhere")
        await peer.send(call(stream_id, *fields))
    await peer.until(lambda: len(peer.headers) >= (last - 1) // 2)
    for stream_id in range(1, last, 2):
        await peer.send(frame(DATA, END_STREAM, stream_id, b""))
    return await peer.answers(range(1, last, 2))


@attack("OK", together=20)
async def coming_and_going(peer: Attacker, form: Form) -> str:
    """In a room in which somebody is told of everybody who comes and goes."""
    await peer.send(WIDE, call(1, ("chat-room", "door"), ("chat-events", "presence,users")))
    last = 2 * form.times(500) + 3
    for stream_id in range(3, last, 2):
        user = ("chat-user", f"user-{stream_id}")
        await peer.send(
            call(stream_id, ("chat-room", "door"), user), frame(DATA, END_STREAM, stream_id, b"")
        )
        if stream_id % 200 == 1:
            await peer.answer(stream_id)
    await peer.answers(range(3, last, 2))
    await peer.send(frame(DATA, END_STREAM, 1, b""))
    return await peer.answer(1)


@attack("OK", together=10)
async def resuming_again_and_again(peer: Attacker, form: Form) -> str:
    """The whole history, for many sessions that are ended before they have it."""
    room = ("chat-room", f"history-{id(peer)}")
    await peer.send(WIDE, call(1, room))
    await peer.flood_within_windows(1, request(b"x" * 1000), 500)
    await peer.send(frame(DATA, END_STREAM, 1, b""))
    assert await peer.answer(1) == "OK"
    last = 2 * form.times(400) + 3
    for stream_id in range(3, last, 2):
        await peer.send(call(stream_id, room, ("chat-history", "500")))
        await peer.pong()
        await peer.send(frame(RST_STREAM, 0, stream_id, u32(8)))
    await peer.send(call(last, room, ends=True))
    return await peer.answer(last)


@attack("OK", together=1)
async def ids_without_end(peer: Attacker, form: Form) -> str:
    """Each message has its own id. There are more than a room keeps, so the first are removed."""
    room = ("chat-room", "ids")
    await peer.send(WIDE, call(1, room))
    for start in range(0, 12_000, 100):
        messages = (request(b"x", f"{number:0128}") for number in range(start, start + 100))
        await peer.flood_within_windows(1, b"".join(messages), 1)
    await peer.send(frame(DATA, END_STREAM, 1, b""))
    assert await peer.answer(1) == "OK"
    epoch = peer.headers[1][0]["chat-epoch"]
    await peer.send(call(3, room, ("chat-resume", f"{epoch}/1000"), ends=True))
    status = await peer.answer(3)
    assert peer.headers[3][0]["chat-recovered"] == "false", "more than 10,000 messages are kept"
    return status
