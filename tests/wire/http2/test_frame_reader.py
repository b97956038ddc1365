"""Tests of wire/http2/frame_reader.py: the fast path is the slow path.

The same frames, right and wrong, are fed to a FrameReader, cut at random places, and to h2 alone;
what was delivered, both sides' windows, the states of all streams and what h2 would send have to
be the same after every step.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived
from h2.exceptions import FrameTooLargeError, ProtocolError
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from chatify_stream.limits import Limits
from chatify_stream.wire.http2 import frame_reader as frames_module
from chatify_stream.wire.http2.flood import FrameBudget
from chatify_stream.wire.http2.frame_reader import CALL_WORK, H2_WORK, FrameReader
from chatify_stream.wire.http2.frame_types import ping, window_update
from chatify_stream.wire.http2.h2_connection import send_headers
from chatify_stream.wire.http2.hpack import CachingDecoder, CachingEncoder

from ...support.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from ..raw import frame, frames_in, request_headers

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INITIAL_WINDOW_SIZE = 4


@pytest.fixture(autouse=True, scope="module")
def _messages_are_counted() -> Iterator[None]:
    """In frames of the sizes that these tests have, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "SMALL", 4)
        yield


class Buffer:
    """Takes bytes as if they were messages."""

    def __init__(self, data: bytearray) -> None:
        self._data = data
        self._uncut = b""

    @property
    def is_uncut(self) -> bool:
        return bool(self._uncut)

    def add(self, data: bytes, window: int, most: int | None = None) -> int:
        assert window == len(data)
        assert not (data and self._uncut)
        data += self._uncut
        most = len(data) if most is None else most
        self._data += data[:most]
        self._uncut = data[most:]
        return len(data[:most])


@dataclass
class Call:
    inbox: Buffer
    opened_at: float = 0.0


def server_h2() -> H2Connection:
    h2 = H2Connection(
        H2Configuration(
            client_side=False, validate_inbound_headers=False, validate_outbound_headers=False
        )
    )
    h2.initiate_connection()
    h2.data_to_send()
    return h2


class Plain:
    """h2 alone."""

    def __init__(self) -> None:
        self.h2 = server_h2()
        self.delivered: dict[int, bytearray] = defaultdict(bytearray)
        self.error: type[ProtocolError] | None = None

    def feed(self, data: bytes) -> None:
        try:
            self._to_h2(data)
        except ProtocolError as error:
            self.error = type(error)

    def _to_h2(self, data: bytes) -> bool:
        for event in self.h2.receive_data(data):
            if isinstance(event, DataReceived):
                self.delivered[event.stream_id] += event.data
            elif isinstance(event, RequestReceived):
                self.opened(event.stream_id)
        return True

    def opened(self, stream_id: int) -> None:
        pass

    def act(self, action: str, stream_id: int) -> None:
        """Does something on the server's side, if h2 lets it."""
        try:
            match action:
                case "inform":
                    self.send_headers(stream_id, [(":status", "100")], False)
                case "answer":
                    self.send_headers(stream_id, [(":status", "200"), ("x", "y")], False)
                case "answer and end":
                    self.send_headers(stream_id, [(":status", "200"), ("x", "y")], True)
                case "end":
                    self.send_headers(stream_id, [("grpc-status", "0"), ("x", "y")], True)
                case "trailers without an end":
                    self.send_headers(stream_id, [("grpc-status", "0")], False)
                case "end of data":
                    self.h2.end_stream(stream_id)
                case "reset":
                    self.h2.reset_stream(stream_id)
        except (ProtocolError, KeyError):
            pass

    def send_headers(self, stream_id: int, headers: list[tuple[str, str]], ends: bool) -> None:
        if stream_id in self.h2.streams:
            self.h2.send_headers(stream_id, headers, end_stream=ends)

    def state(self) -> dict[str, Any]:
        h2 = self.h2
        h2.open_inbound_streams  # noqa: B018 - which forgets the streams that are closed
        return {
            "delivered": {key: bytes(data) for key, data in self.delivered.items() if data},
            "error": self.error,
            "connection": h2.state_machine.state,
            "inbound": h2.inbound_flow_control_window,
            "outbound": h2.outbound_flow_control_window,
            "sent": without_answers_to_late_data(bytes(h2._data_to_send)),
            "streams": {
                stream_id: (
                    stream.state_machine.state,
                    stream._inbound_window_manager.current_window_size,
                    stream.outbound_flow_control_window,
                )
                for stream_id, stream in h2.streams.items()
            },
        }


class Fast(Plain):
    """h2 behind a FrameReader."""

    def __init__(self) -> None:
        super().__init__()
        self.h2.decoder = CachingDecoder(2**16)
        self.h2.encoder = CachingEncoder()
        self.calls: dict[int, Call] = {}
        self.by_h2 = 0
        self.ended: list[int] = []
        self.reader = FrameReader(
            self.h2,
            self.calls,
            FrameBudget(Limits(), lambda: 0.0),
            self,
            2**24,
            100,
        )

    def feed_h2(self, data: bytes) -> bool:
        self.by_h2 += len(data)
        return self._to_h2(data)

    def greeting_received(self) -> None:
        pass

    def request_received(self, stream_id: int, headers: object) -> None:
        self.opened(stream_id)

    def stream_ended(self, stream_id: int) -> None:
        self.ended.append(stream_id)

    def window_updated(self, stream_id: int) -> None:
        pass

    def ping_received(self, data: bytes) -> None:
        self.h2._data_to_send.extend(ping(data, ACK))

    def goaway_received(self, last_stream_id: int, error_code: int, reason: bytes) -> bool:
        return False

    def send_headers(self, stream_id: int, headers: list[tuple[str, str]], ends: bool) -> None:
        stream = self.h2.streams[stream_id]
        sent = bytes(self.h2.data_to_send())
        try:
            sent += send_headers(self.h2, stream, headers, ends=ends)
        finally:
            self.h2._data_to_send[:0] = sent

    def late_data_received(self, stream_id: int, size: int) -> None:
        if increment := self.h2._inbound_flow_control_window_manager.process_bytes(size):
            self.h2._data_to_send.extend(window_update(0, increment))

    def opened(self, stream_id: int) -> None:
        self.calls[stream_id] = Call(Buffer(self.delivered[stream_id]))

    def feed(self, data: bytes, max_work: int = sys.maxsize) -> None:
        try:
            while not self.reader.feed(data, max_work):
                data = b""
        except ProtocolError as error:
            self.error = type(error)


def without_answers_to_late_data(sent: bytes) -> list[tuple[int, bytes]]:
    """h2 resets a stream again for all that comes after it was reset, which is of no use."""
    again = (RST_STREAM, ErrorCodes.STREAM_CLOSED.to_bytes(4, "big"))
    return [each for each in frames_in(sent) if each != again]


def padded(content: bytes, padding: int) -> bytes:
    return bytes([padding]) + content + bytes(padding)


ACTS = [
    "inform",
    "answer",
    "answer",
    "answer and end",
    "end",
    "end",
    "trailers without an end",
    "end of data",
    "reset",
]
ids = st.sampled_from([1, 1, 1, 3, 3, 5, 7, 2, 0, 101])
sizes = st.sampled_from([0, 1, 5, 100, 5000, 16384, 16385])
increments = st.sampled_from([0, 1, 1000, 2**16, 2**31 - 1, 2**31 + 5])
flags = st.sampled_from([0, 0, 0, 0, END_STREAM, PADDED, END_STREAM | PADDED, 0x40])

steps = st.one_of(
    st.tuples(st.just("data"), ids, sizes, flags, st.integers(0, 9)),
    st.tuples(st.just("update"), ids, increments),
    st.tuples(st.just("headers"), ids, st.booleans(), st.sampled_from([None, None, 5, 20000])),
    st.tuples(st.just("split headers"), ids, st.booleans()),
    st.tuples(st.just("reset"), ids),
    st.tuples(st.just("settings"), st.sampled_from([0, 100, 65535, 2**31 - 1])),
    st.tuples(st.just("other"), st.sampled_from([PRIORITY, PING, GOAWAY, 0x10, 0xBE]), ids),
    st.tuples(st.just("act"), st.sampled_from(ACTS), ids),
)
common = st.one_of(
    st.tuples(st.just("data"), st.sampled_from([1, 3]), st.sampled_from([1, 5, 100, 16384]),
              st.just(0), st.just(0)),
    st.tuples(st.just("update"), st.sampled_from([0, 1, 3]), st.just(1000)),
)  # fmt: skip
runs = st.lists(st.one_of(steps, common, common), max_size=30)


def bytes_of(step: tuple[Any, ...], encoder: Encoder) -> bytes:
    match step:
        case ("data", stream_id, size, bits, padding):
            content = bytes([stream_id]) * size
            body = padded(content, padding) if bits & PADDED else content
            return frame(DATA, bits, stream_id, body)
        case ("update", stream_id, increment):
            return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))
        case ("headers", stream_id, ends, length):
            changes = {} if length is None else {"content_length": str(length)}
            block = encoder.encode(request_headers(**changes))
            return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream_id, block)
        case ("split headers", stream_id, interrupted):
            block = encoder.encode(request_headers())
            start = frame(HEADERS, 0, stream_id, block[:7])
            between = frame(DATA, 0, 1, b"in between") if interrupted else b""
            return start + between + frame(CONTINUATION, END_HEADERS, stream_id, block[7:])
        case ("reset", stream_id):
            return frame(RST_STREAM, 0, stream_id, bytes(4))
        case ("settings", size):
            return frame(
                SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + size.to_bytes(4, "big")
            )
        case ("other", kind, stream_id):
            sizes_of = {PRIORITY: 5, PING: 8, GOAWAY: 8}
            return frame(
                kind, 0, 0 if kind in (PING, GOAWAY) else stream_id, bytes(sizes_of.get(kind, 3))
            )
    raise AssertionError(step)


@given(runs, st.data())
@settings(max_examples=1000, deadline=None)
def test_it_does_what_h2_does(run: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Any frames, in any pieces, have the same effect with and without the fast path."""
    plain, fast = Plain(), Fast()
    encoder = Encoder()
    opening = [("headers", 1, False, None), ("headers", 3, False, None)]
    frames = [PREFACE + frame(SETTINGS, 0, 0, b"")]
    for step in [*opening, *run, ("act", "none", 1)]:
        if step[0] != "act":
            frames.append(bytes_of(step, encoder))
            continue
        for each in frames:
            if plain.error is None:
                plain.h2.open_inbound_streams  # noqa: B018 - which forgets those that are closed
                plain.feed(each)
        received = b"".join(frames)
        cuts = data.draw(st.lists(st.integers(0, len(received)), max_size=4).map(sorted))
        max_work = data.draw(st.sampled_from([sys.maxsize, 1, 5, 100]))
        for start, end in zip([0, *cuts], [*cuts, len(received)], strict=True):
            if fast.error is None:
                fast.feed(received[start:end], max_work)
        if fast.error is not None and plain.error is not None:
            # Of a frame with two faults, its size is noticed first: before its body has come.
            assert fast.error in (plain.error, FrameTooLargeError)
            # h2 forgets what came in one call with an error, so there may be less, never other.
            for stream_id, delivered in fast.delivered.items():
                assert plain.delivered[stream_id].startswith(delivered)
            return
        assert fast.state() == plain.state()
        frames = []
        plain.act(step[1], step[2])
        fast.act(step[1], step[2])
        assert fast.state() == plain.state()


def test_the_fast_path_is_taken() -> None:
    """Plain DATA and WINDOW_UPDATE of open streams do not reach h2."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    fast.feed(frame(HEADERS, END_HEADERS, 1, Encoder().encode(request_headers())))
    before = fast.by_h2
    fast.feed(frame(DATA, 0, 1, b"hello") + frame(WINDOW_UPDATE, 0, 0, (9).to_bytes(4, "big")))
    fast.feed(frame(WINDOW_UPDATE, 0, 1, (9).to_bytes(4, "big")) + frame(DATA, 0, 1, b""))
    assert fast.by_h2 == before
    assert fast.delivered[1] == b"hello"


def test_turns() -> None:
    """After so much work others have their turn, and then the frame's other messages come."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    fast.feed(frame(HEADERS, END_HEADERS, 1, Encoder().encode(request_headers())))
    few, many = frame(DATA, 0, 1, b"a"), frame(DATA, 0, 1, bytes(35))
    turns = []
    data = 8 * few + many + few
    while not fast.reader.feed(data, max_work=10):
        turns.append(len(fast.delivered[1]))
        data = b""
    # A frame counts, and each message in it.
    assert turns == [5, 11, 21, 31, 41]
    assert len(fast.delivered[1]) == 44
    assert fast.reader.feed(few, max_work=10)


def test_the_end_comes_behind_all_messages() -> None:
    """A frame that ends its stream does so when the turns have had all of it."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    fast.feed(frame(HEADERS, END_HEADERS, 1, Encoder().encode(request_headers())))
    assert not fast.reader.feed(frame(DATA, END_STREAM, 1, bytes(25)), max_work=10)
    assert not fast.reader.feed(b"", max_work=10)
    assert (len(fast.delivered[1]), fast.ended) == (19, [])
    assert fast.reader.feed(b"", max_work=10)
    assert (len(fast.delivered[1]), fast.ended) == (25, [1])
    assert fast.error is None


@pytest.mark.parametrize("act", ["reset", "leave"])
def test_a_stream_is_over_before_all_its_messages(act: str) -> None:
    """Those that come behind its frame are read all the same."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    encoder = Encoder()
    for number in (1, 3):
        fast.feed(frame(HEADERS, END_HEADERS, number, encoder.encode(request_headers())))
    data = frame(DATA, END_STREAM, 1, bytes(25)) + frame(DATA, END_STREAM, 3, b"x")
    assert not fast.reader.feed(data, max_work=10)
    if act == "reset":
        fast.act("reset", 1)
        fast.h2.open_inbound_streams  # noqa: B018 - which forgets it
    else:
        del fast.calls[1]
    fast.feed(b"", 10)
    assert fast.error is None
    assert (fast.delivered[3], 3 in fast.ended) == (b"x", True)
    assert (1 in fast.ended) == (act == "leave")


def test_turns_of_calls() -> None:
    """A call that is opened counts for many frames, whoever reads its headers."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    encoder = Encoder()

    def call(number: int) -> bytes:
        return frame(HEADERS, END_HEADERS, number, encoder.encode(request_headers()))

    assert not fast.reader.feed(call(1) + call(3), max_work=CALL_WORK)
    assert list(fast.calls) == [1]
    fast.feed(b"")
    assert list(fast.calls) == [1, 3]
    assert not fast.reader.feed(frame(PRIORITY, 0, 1, bytes(5)) * 9, max_work=H2_WORK)
    fast.feed(b"")
    assert fast.error is None


def test_what_comes_too_late() -> None:
    """What comes for a stream that was reset goes no further, and takes nothing of the window."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    block = Encoder().encode(request_headers())
    fast.feed(frame(HEADERS, END_HEADERS, 1, block))
    fast.act("reset", 1)
    late = [
        frame(DATA, 0, 1, bytes(16384)),
        frame(WINDOW_UPDATE, 0, 1, (9).to_bytes(4, "big")),
        frame(RST_STREAM, 0, 1, bytes(4)),
        frame(DATA, END_STREAM, 1, b""),
    ]
    fast.h2.data_to_send()
    before = fast.by_h2
    for _ in range(10):
        fast.feed(b"".join(late))
        fast.h2.open_outbound_streams  # noqa: B018 - which forgets the stream
    assert fast.by_h2 == before
    assert fast.error is None
    assert {kind for kind, _ in frames_in(bytes(fast.h2._data_to_send))} == {WINDOW_UPDATE}
    assert fast.h2.inbound_flow_control_window > 16384


@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS, 0xBE])
def test_a_frame_too_large_is_refused_by_its_header(kind: int) -> None:
    """Nobody waits for the body of a frame that is too large."""
    fast = Fast()
    fast.feed(PREFACE + frame(SETTINGS, 0, 0, b""))
    fast.feed(frame(kind, 0, 1, bytes(16385))[:9])
    assert fast.error is not None
    assert fast.error.error_code == ErrorCodes.FRAME_SIZE_ERROR


def test_window_update_frames() -> None:
    """The frames that give a window back are what hyperframe would write."""
    from hyperframe.frame import WindowUpdateFrame

    assert window_update(5, 1000) == WindowUpdateFrame(5, window_increment=1000).serialize()
