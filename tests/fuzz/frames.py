"""HTTP/2 frames in their order, and what may happen to them on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from chatify_stream.wire.http2.frame_types import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE_SIZE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

__all__ = [
    "PREFACE",
    "Frame",
    "ReceivedFrame",
    "any_frame",
    "control_frame",
    "cut_short",
    "damaged",
    "data_frames",
    "header_frames",
    "interleaved",
    "is_between_frames",
    "mutated",
    "pieces",
    "received_frames",
    "settings",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PRIORITY = 2
LARGEST_FRAME = 16384
PRIORITY_FLAG = 0x20

LENGTHS = {PING: 8, RST_STREAM: 4, WINDOW_UPDATE: 4, PRIORITY: 5, GOAWAY: 8}
IDS = (0, 1, 1, 2, 3, 3, 4, 5, 7, 101, 2**31 - 1, 2**31 + 1)
NUMBERS = (0, 1, 100, 16384, 16385, 65535, 2**16, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
SETTINGS_IDS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 0x1234)


@dataclass(frozen=True)
class Frame:
    """A frame; its header may lie about its length."""

    kind: int
    flags: int
    stream_id: int
    body: bytes = b""
    length: int | None = None

    def __bytes__(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        header = length << 16 | self.kind << 8 | self.flags
        return header.to_bytes(5, "big") + self.stream_id.to_bytes(4, "big") + self.body


def header_frames(stream_id: int, block: bytes, chance: Random, *, end: bool) -> list[Frame]:
    """A header block, in one frame or in several."""
    flags = END_STREAM if end else 0
    start = b""
    padding = 0
    cuts = _cuts(len(block), chance) if chance.random() < 0.15 else []
    parts = [block[a:b] for a, b in zip([0, *cuts], [*cuts, len(block)], strict=True)]
    if parts[0] and chance.random() < 0.1:  # hyperframe refuses padding around nothing
        padding = chance.randrange(20)
        flags |= PADDED
        start += bytes([padding])
    if chance.random() < 0.1:
        flags |= PRIORITY_FLAG
        start += bytes(5)
    last = len(parts) - 1
    frames = [Frame(CONTINUATION, 0, stream_id, part) for part in parts]
    frames[0] = Frame(HEADERS, flags, stream_id, start + parts[0] + bytes(padding))
    frames[last] = replace(frames[last], flags=frames[last].flags | END_HEADERS)
    return frames


def data_frames(stream_id: int, data: bytes, chance: Random, *, end: bool) -> list[Frame]:
    """Data, in one frame or in several, some of them padded or empty."""
    cuts = list(range(LARGEST_FRAME - 20, len(data), LARGEST_FRAME - 20))
    if chance.random() < 0.4:
        cuts = sorted([*cuts, *_cuts(len(data), chance)])
    frames = []
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        part = data[start:stop]
        if chance.random() < 0.05:
            padding = chance.randrange(20)
            part = bytes([padding]) + part + bytes(padding)
            frames.append(Frame(DATA, PADDED, stream_id, part))
        else:
            frames.append(Frame(DATA, 0, stream_id, part))
    if end and chance.random() < 0.5:
        frames[-1] = replace(frames[-1], flags=frames[-1].flags | END_STREAM)
    elif end:
        frames.append(Frame(DATA, END_STREAM, stream_id))
    return frames


def control_frame(chance: Random) -> Frame:
    """One that a peer may send at any time, and that does no harm."""
    match chance.randrange(6):
        case 0:
            return Frame(PING, 0, 0, chance.randbytes(8))
        case 1:
            return Frame(WINDOW_UPDATE, 0, 0, (1000).to_bytes(4, "big"))
        case 2:
            return settings({chance.choice((1, 3, 6, 0x1234)): 4096})
        case 3:
            return Frame(PRIORITY, 0, chance.choice((1, 3, 9)), bytes(5))
        case 4:
            return Frame(chance.choice((0x10, 0xBE)), chance.randrange(256), 0, b"unknown")
        case _:
            return Frame(PING, 1, 0, bytes(8))


def settings(values: dict[int, int]) -> Frame:
    """SETTINGS, of these values by their ids."""
    body = b"".join([(i << 32 | value).to_bytes(6, "big") for i, value in values.items()])
    return Frame(SETTINGS, 0, 0, body)


def any_frame(chance: Random) -> Frame:
    """Any frame at all."""
    kind = chance.choice((*range(11), 0xBE))
    stream_id = chance.choice(IDS)
    flags = chance.choice((0, 0, 1, 4, 5, 8, 0x20, chance.randrange(256)))
    if kind == SETTINGS:
        values = {chance.choice(SETTINGS_IDS): chance.choice(NUMBERS) for _ in range(3)}
        return replace(settings(values), flags=flags, stream_id=stream_id & chance.choice((0, 1)))
    if kind in (RST_STREAM, WINDOW_UPDATE):
        return Frame(kind, flags, stream_id, chance.choice(NUMBERS).to_bytes(4, "big"))
    if kind == GOAWAY:
        body = chance.choice(IDS).to_bytes(4, "big") + chance.choice(NUMBERS).to_bytes(4, "big")
        return Frame(kind, flags, stream_id & chance.choice((0, 0, 1)), body)
    length = LENGTHS.get(kind, chance.choice((0, 1, 5, 30)))
    return Frame(kind, flags, stream_id, chance.randbytes(length))


def mutated(frames: list[Frame], chance: Random) -> list[Frame]:
    """The same frames, with one to five things done to them."""
    frames = list(frames)
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        place = chance.randrange(len(frames))
        frame = frames[place]
        match chance.randrange(12):
            case 0 if len(frames) > 1:
                del frames[place]
            case 1:
                times = chance.choice((1, 1, 2, 20))
                frames[place:place] = [frame] * times
            case 2:
                other = chance.randrange(len(frames))
                frames[place], frames[other] = frames[other], frame
            case 3:
                frames[place] = replace(frame, kind=chance.choice((*range(11), 0xBE)))
            case 4:
                frames[place] = replace(frame, flags=frame.flags ^ 1 << chance.randrange(8))
            case 5:
                frames[place] = replace(frame, stream_id=chance.choice(IDS))
            case 6:
                length = chance.choice((0, 1, len(frame.body) + 1, 16384, 16385, 2**24 - 1))
                frames[place] = replace(frame, length=length)
            case 7:
                body = frame.body[: chance.randrange(len(frame.body) + 1)]
                frames[place] = replace(frame, body=body)
            case 8:
                frames[place] = replace(frame, body=frame.body + chance.randbytes(3))
            case 9 if frame.body:
                body_at = chance.randrange(len(frame.body))
                body = bytearray(frame.body)
                body[body_at] ^= 1 << chance.randrange(8)
                frames[place] = replace(frame, body=bytes(body))
            case _:
                frames.insert(place, any_frame(chance))
    return frames


def damaged(data: bytes, chance: Random) -> bytes:
    """The bytes with a bit turned, a part gone or twice, or cut short; mostly as they were."""
    wild = chance.random()
    if wild < 0.08:
        place = chance.randrange(len(data))
        changed = bytes([data[place] ^ 1 << chance.randrange(8)])
        data = data[:place] + changed + data[place + 1 :]
    elif wild < 0.11:
        start, stop = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
        data = data[:start] + data[start:stop] * chance.choice((0, 2)) + data[stop:]
    elif wild < 0.16:
        data = data[: chance.randrange(len(data) + 1)]
    return data


def pieces(data: bytes, chance: Random) -> list[bytes]:
    """The bytes as they may come: whole, or in pieces."""
    if chance.random() < 0.01:
        return [data[i : i + 1] for i in range(len(data))]
    cuts = _cuts(len(data), chance) if chance.random() < 0.6 else []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def cut_short(frames: list[Frame], chance: Random) -> list[Frame]:
    """The first of them; header blocks stay whole."""
    stop = chance.randrange(len(frames) + 1)
    while stop and _is_unfinished(frames[stop - 1].kind, frames[stop - 1].flags):
        stop -= 1
    return frames[:stop]


def _is_unfinished(kind: int, flags: int) -> bool:
    return kind in (HEADERS, PUSH_PROMISE, CONTINUATION) and not flags & END_HEADERS


def interleaved(runs: list[list[Frame]], chance: Random) -> list[Frame]:
    """Frames of several streams, those of each in their order; header blocks stay together.

    The streams are opened in their order.
    """
    fresh = [list(run) for run in runs if run]
    begun: list[list[Frame]] = []
    frames: list[Frame] = []
    while fresh or begun:
        if fresh and (not begun or chance.random() < 0.3):
            begun.append(fresh.pop(0))
            run = begun[-1]
        else:
            run = chance.choice(begun)
        frames.append(run.pop(0))
        while run and run[0].kind == CONTINUATION:
            frames.append(run.pop(0))
        if not run:
            begun = [each for each in begun if each is not run]
    return frames


def is_between_frames(data: bytes, *, preface: bool) -> bool:
    """Whether the next byte, after all of these, begins a frame that may be of any kind."""
    position = PREFACE_SIZE if preface else 0
    is_unfinished = False
    while len(data) - position >= 9:
        length = int.from_bytes(data[position : position + 3], "big")
        is_unfinished = _is_unfinished(data[position + 3], data[position + 4])
        position += 9 + length
    return position == len(data) and not is_unfinished


ReceivedFrame = tuple[int, int, int, bytes]


def received_frames(data: bytes) -> Iterator[ReceivedFrame]:
    """Kind, flags, stream and body of each frame. Raises `ValueError` for a part of one."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 3], "big")
        stop = position + 9 + length
        if stop > len(data):
            raise ValueError(f"a frame is cut off: {data[position:].hex()}")
        stream_id = int.from_bytes(data[position + 5 : position + 9], "big")
        yield data[position + 3], data[position + 4], stream_id, data[position + 9 : stop]
        position = stop


def _cuts(size: int, chance: Random) -> list[int]:
    return sorted(chance.randrange(size + 1) for _ in range(chance.choice((1, 1, 2, 5))))
