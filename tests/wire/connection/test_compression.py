"""Tests of wire/connection/compression.py."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.errors import StatusError, UsageError
from chatify_stream.wire import Status
from chatify_stream.wire.connection.compression import (
    ENCODINGS,
    check_encoding,
    compress_frames,
    frame,
    inflate,
    is_accepted,
)

from ..compressed import ALGORITHMS, LIMIT, NAMES, messages_in
from ..raw import framed


def refusal(data: bytes, encoding: str, limit: int = LIMIT) -> StatusError:
    with pytest.raises(StatusError) as caught:
        inflate(data, encoding, limit)
    return caught.value


class TestCompression:
    def test_the_frame_of_a_message(self) -> None:
        """A frame is the prefix and the message."""
        assert frame(b"abc") == framed(b"abc")

    @pytest.mark.parametrize("name", NAMES)
    @given(data=st.binary(max_size=LIMIT))
    def test_inflating(self, name: str, data: bytes) -> None:
        """Data compressed by Python's libraries is inflated to the original."""
        compress, _ = ALGORITHMS[name]
        assert inflate(compress(data), name, LIMIT) == data

    @pytest.mark.parametrize("name", NAMES)
    @given(messages=st.lists(st.binary(max_size=300) | st.integers(0, LIMIT).map(bytes)))
    def test_compressing(self, name: str, messages: list[bytes]) -> None:
        """Each message is compressed separately, and only if that makes it smaller."""
        _, decompress = ALGORITHMS[name]
        sent = messages_in(compress_frames(b"".join(map(frame, messages)), name))
        assert [decompress(data) if flag else data for flag, data in sent] == messages
        for (flag, data), message in zip(sent, messages, strict=True):
            assert len(data) < len(message) if flag else data == message
            assert flag in (0, 1)
            if len(message) >= 50 and len(set(message)) == 1:
                assert flag == 1

    @pytest.mark.parametrize("name", NAMES)
    def test_the_largest_size(self, name: str) -> None:
        """A message of the maximum size is accepted, one more byte is an error."""
        compress, _ = ALGORITHMS[name]
        assert inflate(compress(bytes(LIMIT)), name, LIMIT) == bytes(LIMIT)
        error = refusal(compress(bytes(LIMIT + 1)), name)
        assert error.status is Status.RESOURCE_EXHAUSTED
        assert error.message == (
            f"the decompressed message has more than {LIMIT} bytes; at most {LIMIT} are allowed"
        )
        assert inflate(compress(b""), name, 0) == b""
        assert refusal(compress(b"x"), name, 0).status is Status.RESOURCE_EXHAUSTED

    @pytest.mark.parametrize("name", NAMES)
    def test_a_bomb(self, name: str) -> None:
        """Inflating a bomb takes no more memory than the maximum message size."""
        compress, _ = ALGORITHMS[name]
        bomb = compress(bytes(200_000_000))
        tracemalloc.start()
        try:
            error = refusal(bomb, name, 1_000_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert error.status is Status.RESOURCE_EXHAUSTED
        assert peak < 3_000_000

    @pytest.mark.parametrize("name", NAMES)
    def test_every_cut(self, name: str) -> None:
        """A truncated compressed message is INTERNAL."""
        data = ALGORITHMS[name][0](b"Hello Ada, hello Grace")
        for end in range(len(data)):
            error = refusal(data[:end], name)
            assert error.status is Status.INTERNAL
            assert error.message == f"the message is not valid {name}: it is truncated"

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("rest", [b"x", gzip.compress(b"a second one", mtime=0)])
    def test_more_after_the_end(self, name: str, rest: bytes) -> None:
        """Data after the end of a compressed message is INTERNAL."""
        error = refusal(ALGORITHMS[name][0](b"Ada") + rest, name)
        assert error.status is Status.INTERNAL
        assert error.message == (
            f"the message is not valid {name}: {len(rest)} bytes follow its end"
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_damage(self, name: str) -> None:
        """A message with changed content or checksum is INTERNAL with the reason."""
        data = bytearray(ALGORITHMS[name][0](b"Hello Ada"))
        for position in (0, len(data) // 2, len(data) - 5):
            data[position] ^= 0xFF
            error = refusal(bytes(data), name)
            assert error.status is Status.INTERNAL
            assert (error.message or "").startswith(f"the message is not valid {name}: ")
            data[position] ^= 0xFF

    @pytest.mark.parametrize("name", NAMES)
    @given(data=st.binary(max_size=200))
    def test_any_bytes(self, name: str, data: bytes) -> None:
        """Any bytes are inflated as by Python's libraries, or rejected with a status."""
        try:
            message = inflate(data, name, LIMIT)
        except StatusError:
            return
        assert ALGORITHMS[name][1](data) == message

    def test_the_two_formats_are_not_mixed(self) -> None:
        """`deflate` is the zlib format, neither gzip nor raw deflate."""
        raw = zlib.compress(b"Ada", wbits=-15)
        for data, name in [(gzip.compress(b"Ada"), "deflate"), (zlib.compress(b"Ada"), "gzip"),
                           (raw, "deflate")]:  # fmt: skip
            assert refusal(data, name).status is Status.INTERNAL

    def test_encodings_that_inflate_nothing(self) -> None:
        """A compressed message is INTERNAL if the call has no or an unknown encoding."""
        error = refusal(b"", "identity")
        assert error.status is Status.INTERNAL
        assert "has no grpc-encoding" in (error.message or "")
        error = refusal(b"", "br")
        assert error.status is Status.INTERNAL
        assert error.message == "the message is compressed with 'br'; supported are " + ENCODINGS

    def test_names(self) -> None:
        """An unknown name is a UsageError that lists the supported names."""
        for name in ("identity", *NAMES):
            assert check_encoding(name) == name
            assert is_accepted(name, ENCODINGS)
        for wrong in ("", "GZIP", "br", "gzip,deflate", None, []):
            with pytest.raises(UsageError, match="use one of identity, deflate, gzip"):
                check_encoding(wrong)  # type: ignore[arg-type]

    def test_what_a_peer_accepts(self) -> None:
        """The list of a peer is separated by commas and optional spaces."""
        assert is_accepted("gzip", "gzip")
        assert is_accepted("gzip", "identity , gzip,br")
        assert not is_accepted("gzip", "")
        assert not is_accepted("gzip", "x-gzip")
