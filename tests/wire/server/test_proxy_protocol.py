"""Tests of wire/server/proxy_protocol.py, without sockets."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.wire.server.proxy_protocol import (
    MAX_SIZE,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    _crc32c,
    read_proxy_header,
)

PORTS = st.integers(0, 65535)
IPV4 = struct.pack("!4s4sHH", bytes([192, 0, 2, 7]), bytes([10, 0, 0, 1]), 51000, 9000)


def binary(family: int, body: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


@given(st.ip_addresses(), st.data(), st.binary(max_size=40))
def test_any_addresses(peer: ipaddress.IPv4Address, data: st.DataObject, rest: bytes) -> None:
    """Both versions yield addresses and ports, and leave the data after the header."""
    local = data.draw(st.ip_addresses(v=peer.version))
    ports = data.draw(st.tuples(PORTS, PORTS))
    line = f"PROXY TCP{peer.version} {peer} {local} {ports[0]} {ports[1]}\r\n".encode()
    body = peer.packed + local.packed + struct.pack("!HH", *ports)
    for header in (line, binary(0x11 if peer.version == 4 else 0x21, body)):
        found = read_proxy_header(header + rest)
        assert found == ProxyHeader(len(header), (str(peer), ports[0]), (str(local), ports[1]))


@given(st.binary(max_size=120))
@example(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")
@example(binary(0x11, IPV4 + extension(3, b"crc?")))
def test_any_bytes(data: bytes) -> None:
    """Any data is a header, an incomplete header, or rejected."""
    for start in (b"", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        try:
            header = read_proxy_header(start + data)
        except ProxyHeaderError:
            continue
        assert header is None or header.size <= len(start + data)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
        binary(0x11, IPV4 + extension(4, b"")),
    ],
)
def test_pieces(header: bytes) -> None:
    """An incomplete header yields None."""
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is None
    assert read_proxy_header(header) is not None


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 whatever 1\r\n",
        binary(0x00, b""),
        binary(0x00, b"whatever"),
        binary(0x11, b"too short", command=0x20),
        binary(0x77, b"", command=0x20),
    ],
)
def test_without_client_address(header: bytes) -> None:
    """LOCAL and UNKNOWN headers have no client address."""
    assert read_proxy_header(header) == ProxyHeader(len(header))


def test_unix_sockets() -> None:
    """Unix sockets have paths; the names of abstract sockets start with a zero byte."""
    body = struct.pack("!108s108s", b"/run/a.sock", b"\0abstract")
    found = read_proxy_header(binary(0x31, body))
    assert found is not None
    assert (found.peer, found.local) == ("/run/a.sock", "\0abstract")


def test_extensions() -> None:
    """Extensions are skipped. The checksum covers the header with the checksum zeroed."""
    body = IPV4 + extension(1, b"h2") + extension(0xEA, b"\x01vpce-1") + extension(3, bytes(4))
    header = binary(0x11, body)
    summed = header[:-4] + _crc32c(header).to_bytes(4, "big")
    found = read_proxy_header(summed)
    assert found is not None
    assert found.peer == ("192.0.2.7", 51000)
    with pytest.raises(ProxyHeaderError, match="wrong checksum"):
        read_proxy_header(header)


def test_repeated_checksum() -> None:
    """A second checksum is rejected, since each costs CPU time."""
    header = binary(0x11, IPV4 + extension(3, bytes(4)) * 2)
    first = header[:-11] + _crc32c(header).to_bytes(4, "big") + header[-7:]
    with pytest.raises(ProxyHeaderError, match="two checksums"):
        read_proxy_header(first)


def test_crc32c() -> None:
    """The checksum is CRC32c (RFC 3720, B.4)."""
    assert _crc32c(bytes(32)) == 0x8A9136AA
    assert _crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"GET / HTTP/1.1", "starts with"),
        (b"PRI * HTTP/2.0", "starts with"),
        (b"PROXY TCP4 " + b"1" * 100, "longer than 107 bytes"),
        (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "is malformed"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "is malformed"),
        (b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", "is malformed"),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n", "'::1' is not an address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "'fe80::1%eth0' is not an address"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "'01' is not a port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", "'65536' is not a port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 \xff\r\n", "not ASCII"),
        (binary(0x11, IPV4, command=0x11), "unknown version or command 0x11"),
        (binary(0x11, IPV4, command=0x22), "unknown version or command 0x22"),
        (binary(0x12, IPV4), "address family 0x12"),
        (binary(0x21, IPV4), "too short for its addresses"),
        (binary(0x11, IPV4 + b"\x01"), "an extension is truncated"),
        (binary(0x11, IPV4 + b"\x01\x00\x09abc"), "longer than the header"),
        (binary(0x11, bytes(MAX_SIZE)), "at most 4096 are allowed"),
    ],
)
def test_malformed(header: bytes, reason: str) -> None:
    """A malformed header is rejected with the reason."""
    with pytest.raises(ProxyHeaderError, match=reason):
        read_proxy_header(header)


def test_oversize_is_rejected_early() -> None:
    """The length is checked before the rest arrives."""
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(binary(0x11, bytes(MAX_SIZE))[:16])
