"""Tests of wire/connection/write_buffer.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hyperframe.frame import Frame
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.wire.connection.write_buffer import MAX_GATHERED, WriteBuffer

from ...support.frames import ACK, PING
from ..raw import frame
from .test_connection import server_h2

MOST = 100
MAX_BACKLOG = 400


class Transport:
    """Keeps each write; what else an WriteBuffer needs of a transport."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ended = ""
        self.ended_writing = False
        self.is_reading = True
        self.unsent = 7

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended_writing = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return None if name == "socket" else name


def make() -> tuple[WriteBuffer, Transport]:
    transport = Transport()
    return WriteBuffer(transport, server_h2(), MAX_BACKLOG, 30.0), transport


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """Stream and body of every frame."""
    frames = []
    while data:
        header, length = Frame.parse_frame_header(memoryview(data[:9]))
        frames.append((header.stream_id, data[9 : 9 + length]))
        data = data[9 + length :]
    return frames


async def test_one_write_a_turn() -> None:
    """What is written in one turn of the loop leaves in one write, in order."""
    write_buffer, transport = make()
    write_buffer.write(frame(PING, 0, 0, b"12345678"))
    write_buffer.write_data(1, b"abc", MOST)
    write_buffer.write(b"")
    write_buffer.write(frame(PING, 0, 0, b"87654321"))
    assert transport.writes == []
    await asyncio.sleep(0)
    assert len(transport.writes) == 1
    assert frames_of(transport.writes[0]) == [(0, b"12345678"), (1, b"abc"), (0, b"87654321")]
    await asyncio.sleep(0)
    write_buffer.write_data(1, b"next", MOST)
    await asyncio.sleep(0)
    assert frames_of(transport.writes[1]) == [(1, b"next")]


async def test_messages_share_frames() -> None:
    """Messages that follow each other on a stream share a frame, up to the peer's frame size."""
    write_buffer, transport = make()
    for data in (b"a" * 60, b"b" * 40, b"c"):
        write_buffer.write_data(1, data, MOST)
    write_buffer.write_data(3, b"d", MOST)
    write_buffer.write_data(1, b"e", MOST)
    write_buffer.flush()
    assert frames_of(transport.writes[0]) == [
        (1, b"a" * 60 + b"b" * 40),
        (1, b"c"),
        (3, b"d"),
        (1, b"e"),
    ]


async def test_much_leaves_at_once() -> None:
    """A lot does not wait for the end of the turn: the transport has to know of it."""
    write_buffer, transport = make()
    write_buffer.write(bytes(MAX_GATHERED - 1))
    assert transport.writes == []
    write_buffer.write(b"x")
    assert [len(write) for write in transport.writes] == [MAX_GATHERED]


async def test_closing() -> None:
    """Closing sends what was gathered; aborting forgets it."""
    write_buffer, transport = make()
    write_buffer.write_data(1, b"last", MOST)
    write_buffer.close()
    assert frames_of(b"".join(transport.writes)) == [(1, b"last")]
    assert write_buffer.is_closing()

    write_buffer, transport = make()
    write_buffer.write_data(1, b"lost", MOST)
    write_buffer.abort()
    await asyncio.sleep(0)
    assert (transport.writes, transport.ended) == ([], "aborted")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([1, 3]), st.binary(max_size=MOST)),
            st.tuples(st.just(0), st.binary(min_size=1, max_size=20)),
            st.none(),
        )
    )
)
def test_order(writes: list[tuple[int, bytes] | None]) -> None:
    """Every stream's bytes leave whole and in order, and no frame is larger than it may be."""

    async def run() -> bytes:
        write_buffer, transport = make()
        for each in writes:
            if each is None:
                await asyncio.sleep(0)
            elif each[0]:
                write_buffer.write_data(*each, MOST)
            else:
                write_buffer.write(frame(0xBE, 0, 0, each[1]))
        write_buffer.close()
        return b"".join(transport.writes)

    frames = frames_of(asyncio.run(run()))
    assert all(len(body) <= MOST for _, body in frames)
    for stream_id in (0, 1, 3):
        expected = b"".join(each[1] for each in writes if each and each[0] == stream_id)
        assert b"".join(body for each, body in frames if each == stream_id) == expected


async def test_what_a_read_causes_leaves_together() -> None:
    """What is written while data is received, and by the tasks that it wakes, is one write."""
    write_buffer, transport = make()
    woken = asyncio.Event()

    async def handler() -> None:
        await woken.wait()
        write_buffer.write_data(1, b"reply", MOST)

    handling = asyncio.create_task(handler())
    await asyncio.sleep(0)
    with write_buffer:
        write_buffer.write(frame(PING, ACK, 0, b"12345678"))
        woken.set()
    await handling
    await asyncio.sleep(0)
    assert [frames_of(write) for write in transport.writes] == [[(0, b"12345678"), (1, b"reply")]]


class TestBacklog:
    async def test_answers_wait_for_a_peer_that_reads(self) -> None:
        """A peer that does not read is not read from either, until it does."""
        write_buffer, transport = make()
        write_buffer.write(bytes(MAX_BACKLOG))
        write_buffer.block()
        write_buffer.write(bytes(MAX_BACKLOG // 4))
        assert transport.is_reading
        write_buffer.write(b"1")
        assert not transport.is_reading
        write_buffer.unblock()
        assert transport.is_reading
        assert transport.ended == ""

    async def test_too_many_answers(self) -> None:
        """A peer for which too many answers wait is cut off."""
        write_buffer, transport = make()
        write_buffer.block()
        write_buffer.write(bytes(MAX_BACKLOG))
        assert transport.ended == ""
        write_buffer.write(b"1")
        assert transport.ended == "aborted"

    async def test_messages_are_no_answers(self) -> None:
        """Messages do not count: they wait for the peer's windows."""
        write_buffer, transport = make()
        write_buffer.block()
        write_buffer.write_data(1, bytes(MAX_BACKLOG + 1), MAX_BACKLOG + 1)
        assert (transport.ended, transport.is_reading) == ("", True)

    async def test_what_is_unsent(self) -> None:
        """What is gathered and what the transport holds are both unsent."""
        write_buffer, _ = make()
        write_buffer.write(b"123")
        assert write_buffer.buffered_bytes == 10


class Timers:
    """In the place of the loop: what is to be called later, which the test does."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        self.delays.append(delay)
        self.fire = partial(callback, *args)


class TestClosing:
    def closing(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Transport, Timers]:
        """A connection that was closed while 1000 bytes waited for its peer."""
        write_buffer, transport = make()
        timers = Timers()
        monkeypatch.setattr(write_buffer, "_loop", timers)
        transport.unsent = 1000
        write_buffer.close()
        assert transport.ended == "closed"
        return transport, timers

    async def test_a_slow_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who reads something in each write timeout has its time to read all."""
        transport, timers = self.closing(monkeypatch)
        for unsent in range(900, 0, -100):
            transport.unsent = unsent
            timers.fire()
        assert transport.ended == "closed"
        assert timers.delays == [30.0] * 10

    async def test_who_stops_reading(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who reads nothing for a write timeout is cut off."""
        transport, timers = self.closing(monkeypatch)
        transport.unsent = 999
        timers.fire()
        assert transport.ended == "closed"
        timers.fire()
        assert transport.ended == "aborted"


async def test_a_noisy_peer_is_read_from_to_the_end() -> None:
    """The way out is closed at once; the way in stays open, and nothing more is sent."""
    write_buffer, transport = make()
    write_buffer.write(b"goaway")
    write_buffer.close_and_linger()
    assert transport.writes == [b"goaway"]
    assert transport.ended_writing
    assert write_buffer.is_closing()
    write_buffer.close()
    assert transport.ended == ""
