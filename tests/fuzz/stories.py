"""The inputs: what a peer sends on one connection, made of a seed.

Each target damages one layer, and leaves those above and below it mostly whole, so that what is
wrong gets as deep as it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from google.protobuf.message import DecodeError
from hpack import Encoder

from chatify_stream.wire.http2.frame_types import RST_STREAM, WINDOW_UPDATE

from ..test_codec import REQUEST
from ..wire.raw import framed
from .blocks import (
    CHAT_PATHS,
    OTHER_PATHS,
    Fields,
    block,
    plain_block,
    request_fields,
    response_fields,
    trailers_fields,
    wild_block,
    wild_fields,
)
from .bodies import TEXTS, chat_message, packed, wild_compressed, wild_message, wild_prefixes
from .frames import (
    PREFACE,
    Frame,
    control_frame,
    cut_short,
    damaged,
    data_frames,
    header_frames,
    interleaved,
    mutated,
    pieces,
    settings,
)

__all__ = ["CLIENT_TARGETS", "SERVER_TARGETS", "Expected", "Story"]

Expected = tuple[list[str], int]
"""The texts of a call's messages, and its status."""

OK, INTERNAL = 0, 13

OTHER_PROTOCOLS = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"SSH-2.0-OpenSSH_9.6\r\n",
)

HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4


@dataclass
class Story:
    """The bytes that a peer sends, and what must come of its calls, where that is known."""

    chunks: list[bytes]
    expected: dict[int, Expected]

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class Body:
    """What a call's DATA carries."""

    data: bytes
    encoding: bytes = b""
    expected: Expected | None = None


def plain_body(chance: Random) -> Body:
    texts = [chance.choice(TEXTS) for _ in range(chance.choice((0, 1, 1, 2, 5)))]
    encoding = chance.choice((b"", b"", b"gzip", b"deflate"))
    pack = partial(packed, encoding=encoding) if encoding else framed
    return Body(b"".join([pack(chat_message(text)) for text in texts]), encoding, (texts, OK))


def prefixes_body(chance: Random) -> Body:
    return Body(wild_prefixes(chance), chance.choice((b"", b"identity", b"gzip", b"deflate")))


def compressed_body(chance: Random) -> Body:
    encoding = chance.choice((b"gzip", b"deflate"))
    return Body(wild_compressed(encoding, chance), encoding)


def messages_body(chance: Random) -> Body:
    messages = [wild_message(chance) for _ in range(chance.choice((1, 1, 2, 4)))]
    texts: list[str] = []
    status = OK
    for message in messages:
        try:
            texts.append(REQUEST.FromString(message).name)
        except DecodeError:
            status = INTERNAL
            break
    return Body(b"".join(map(framed, messages)), b"", (texts, status))


BODIES: dict[str, Callable[[Random], Body]] = {
    "prefixes": prefixes_body,
    "compression": compressed_body,
    "messages": messages_body,
}


def client_story(target: str, chance: Random) -> Story:
    """What a client sends to our server."""
    runs: list[list[Frame]] = [_greeting(chance)]
    encoded = _blocks(target, chance)
    expected: dict[int, Expected] = {}
    for stream_id in (1, 3, 5)[: chance.choice((1, 1, 2, 3))]:
        body = BODIES.get(target, plain_body)(chance)
        path = chance.choice(CHAT_PATHS)
        if target in ("frames", "fields") and chance.random() < 0.3:
            path, body.expected = chance.choice(OTHER_PATHS), None
        fields = request_fields(path, body.encoding)
        if chance.random() < 0.1:
            timeout = chance.choice((b"1n", b"5S", b"99999999H"))
            fields.append((b"grpc-timeout", timeout))
            if timeout == b"1n":
                body.expected = None
        run = header_frames(stream_id, encoded(fields), chance, end=False)
        ends = chance.random() < 0.8
        run += data_frames(stream_id, body.data, chance, end=ends)
        if not ends and chance.random() < 0.3:
            run.append(Frame(RST_STREAM, 0, stream_id, chance.randrange(15).to_bytes(4, "big")))
        if ends and body.expected is not None and target not in ("hpack", "fields"):
            texts, status = body.expected
            expected[stream_id] = ([f"Hello {text}" for text in texts], status)
        runs.append(run)
    return _story(target, _in_turn(runs, chance), expected, chance, PREFACE)


def server_story(target: str, chance: Random) -> Story:
    """What a server sends to our client, whose calls are the streams 1, 3 and 5."""
    runs: list[list[Frame]] = [_greeting(chance)]
    encoded = _blocks(target, chance)
    expected: dict[int, Expected] = {}
    has_hints = chance.random() < 0.1
    for stream_id in (1, 3, 5):
        body = BODIES.get(target, plain_body)(chance)
        status = chance.choice((0, 0, 0, 1, 5, 14))
        run: list[Frame] = []
        if has_hints:
            run += header_frames(stream_id, plain_block([(b":status", b"103")]), chance, end=False)
        is_short = chance.random() < 0.1
        fields = response_fields(body.encoding) + (trailers_fields(status) if is_short else [])
        run += header_frames(stream_id, encoded(fields), chance, end=is_short)
        if not is_short:
            run += data_frames(stream_id, body.data, chance, end=False)
            trailers = encoded(trailers_fields(status))
            run += header_frames(stream_id, trailers, chance, end=True)
        if chance.random() < 0.1:
            run = cut_short(run, chance)
            run.append(Frame(RST_STREAM, 0, stream_id, chance.randrange(15).to_bytes(4, "big")))
        elif body.expected is not None and target not in ("hpack", "fields"):
            texts, failure = body.expected
            expected[stream_id] = ([], status) if is_short else (texts, failure or status)
        runs.append(run)
    return _story(target, _in_turn(runs, chance), expected, chance, b"")


def _greeting(chance: Random) -> list[Frame]:
    values = {}
    if chance.random() < 0.15:
        values[INITIAL_WINDOW_SIZE] = chance.choice((0, 1, 7, 100))
    if chance.random() < 0.05:
        values[HEADER_TABLE_SIZE] = chance.choice((0, 100, 2**32 - 1))
    if chance.random() < 0.05:
        values[MAX_CONCURRENT_STREAMS] = chance.choice((0, 3))
    more = Frame(WINDOW_UPDATE, 0, 0, (2**20).to_bytes(4, "big"))
    return [settings(values), more, *[control_frame(chance) for _ in range(2)]]


def _blocks(target: str, chance: Random) -> Callable[[Fields], bytes]:
    """Makes the header blocks of one connection."""
    if target == "hpack":
        return partial(wild_block, encoder=Encoder(), chance=chance)
    if target == "fields":
        return lambda fields: block(wild_fields(fields, chance), chance)
    return partial(block, chance=chance)


def _in_turn(runs: list[list[Frame]], chance: Random) -> list[Frame]:
    """The greeting, and then the calls, in turn or one after the other."""
    (greeting, *rest), calls = runs[0], runs[1:]
    if chance.random() < 0.5:
        return [greeting, *interleaved([rest, *calls], chance)]
    return [greeting, *rest, *[frame for run in calls for frame in run]]


def _story(
    target: str,
    frames: list[Frame],
    expected: dict[int, Expected],
    chance: Random,
    preface: bytes,
) -> Story:
    is_wild = target == "frames" and chance.random() < 0.9
    if is_wild and chance.random() < 0.85:
        frames = mutated(frames, chance)
    data = preface + b"".join(map(bytes, frames))
    if is_wild:
        data = damaged(data, chance) if chance.random() < 0.98 else chance.choice(OTHER_PROTOCOLS)
    return Story(pieces(data, chance), {} if is_wild else expected)


LAYERS = ("frames", "hpack", "fields", "prefixes", "compression", "messages")
SERVER_TARGETS = {f"server {layer}": partial(client_story, layer) for layer in LAYERS}
CLIENT_TARGETS = {f"client {layer}": partial(server_story, layer) for layer in LAYERS}
