"""Tests of wire/http2/first_bytes.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire.http2.first_bytes import describe_first_bytes, plaintext_reply

from ..raw import GREETING, frames_in


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (GREETING, "HTTP/2 without TLS"),
        (b"GET / HTTP/1.1\r\n", "HTTP/1"),
        (b"PROXY TCP4 1.1.1.1 ", "a PROXY protocol header"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "a PROXY protocol header"),
        (b"\x16nothing", repr(b"\x16not")),
        (b"SSH-2.0-" + b"x" * 100, repr(b"SSH-")),
    ],
)
def test_describe_first_bytes(data: bytes, text: str) -> None:
    """Known protocols are named. Of an unknown protocol the first four bytes are shown."""
    assert describe_first_bytes(data) == text


def test_plaintext_reply() -> None:
    """A client without TLS gets an error in its own protocol; an unknown protocol gets none."""
    (kind, _), (goaway, reason) = frames_in(plaintext_reply(GREETING))
    assert (kind, goaway) == (4, 7)
    assert reason[4:] == b"\0\0\0\x0cthis port requires TLS"
    assert plaintext_reply(b"GET / HTTP/1.1\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert plaintext_reply(b"\0\1\2") == b""
