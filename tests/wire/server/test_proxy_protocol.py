"""Tests of wire/proxy_protocol.py: bytes alone."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatify_stream.wire.server.proxy_protocol import (
    MOST,
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


def addition(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


@given(st.ip_addresses(), st.data(), st.binary(max_size=40))
def test_any_addresses(peer: ipaddress.IPv4Address, data: st.DataObject, rest: bytes) -> None:
    """Addresses and ports are read in both versions, and nothing of what follows."""
    local = data.draw(st.ip_addresses(v=peer.version))
    ports = data.draw(st.tuples(PORTS, PORTS))
    line = f"PROXY TCP{peer.version} {peer} {local} {ports[0]} {ports[1]}\r\n".encode()
    body = peer.packed + local.packed + struct.pack("!HH", *ports)
    for header in (line, binary(0x11 if peer.version == 4 else 0x21, body)):
        found = read_proxy_header(header + rest)
        assert found == ProxyHeader(len(header), (str(peer), ports[0]), (str(local), ports[1]))


@given(st.binary(max_size=120))
@example(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")
@example(binary(0x11, IPV4 + addition(3, b"crc?")))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes is a header, the beginning of one, or refused."""
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
        binary(0x11, IPV4 + addition(4, b"")),
    ],
)
def test_pieces(header: bytes) -> None:
    """A header that is not whole yet is waited for, byte by byte."""
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
def test_nobody(header: bytes) -> None:
    """A proxy that speaks for itself, or does not know, says nothing about the peer."""
    assert read_proxy_header(header) == ProxyHeader(len(header))


def test_unix_sockets() -> None:
    """Unix sockets have paths, and abstract ones a zero before their names."""
    body = struct.pack("!108s108s", b"/run/a.sock", b"\0abstract")
    found = read_proxy_header(binary(0x31, body))
    assert found is not None
    assert (found.peer, found.local) == ("/run/a.sock", "\0abstract")


def test_additions() -> None:
    """Additions are skipped; a checksum is one of the whole header, itself left out."""
    body = IPV4 + addition(1, b"h2") + addition(0xEA, b"\x01vpce-1") + addition(3, bytes(4))
    header = binary(0x11, body)
    summed = header[:-4] + _crc32c(header).to_bytes(4, "big")
    found = read_proxy_header(summed)
    assert found is not None
    assert found.peer == ("192.0.2.7", 51000)
    with pytest.raises(ProxyHeaderError, match="its checksum is wrong"):
        read_proxy_header(header)


def test_a_checksum_is_there_once() -> None:
    """Who has them computed again and again is refused."""
    header = binary(0x11, IPV4 + addition(3, bytes(4)) * 2)
    first = header[:-11] + _crc32c(header).to_bytes(4, "big") + header[-7:]
    with pytest.raises(ProxyHeaderError, match="it has two checksums"):
        read_proxy_header(first)


def test_the_checksum() -> None:
    """It is CRC32c (RFC 3720, B.4)."""
    assert _crc32c(bytes(32)) == 0x8A9136AA
    assert _crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"GET / HTTP/1.1", "it began with"),
        (b"PRI * HTTP/2.0", "it began with"),
        (b"PROXY TCP4 " + b"1" * 100, "longer than 107 bytes"),
        (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "the line is"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "the line is"),
        (b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", "the line is"),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n", "'::1' is no address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "'fe80::1%eth0' is no address"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "'01' is no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n", "'65536' is no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 \xff\r\n", "not ASCII"),
        (binary(0x11, IPV4, command=0x11), "version and command are 0x11"),
        (binary(0x11, IPV4, command=0x22), "version and command are 0x22"),
        (binary(0x12, IPV4), "the family is 0x12"),
        (binary(0x21, IPV4), "too short for its addresses"),
        (binary(0x11, IPV4 + b"\x01"), "an addition is cut short"),
        (binary(0x11, IPV4 + b"\x01\x00\x09abc"), "longer than the header"),
        (binary(0x11, bytes(MOST)), "bytes"),
    ],
)
def test_refused(header: bytes, reason: str) -> None:
    """What is no header is refused, with the reason."""
    with pytest.raises(ProxyHeaderError, match=reason):
        read_proxy_header(header)


def test_oversize_is_refused_early() -> None:
    """The length is looked at before the rest is waited for."""
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(binary(0x11, bytes(MOST))[:16])
