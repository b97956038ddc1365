"""Parse PROXY protocol headers, with which a proxy reports the address of its client. No I/O.

Supports versions 1 (a line of text) and 2 (binary) for connections over TCP and Unix sockets:
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

Parsing is strict. A malformed header is rejected as soon as the received bytes prove it. Extensions
(TLV) are skipped, except a checksum, which must be correct.
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ..http2.first_bytes import PROXY_LINE_START as LINE_START
from ..http2.first_bytes import PROXY_SIGNATURE as SIGNATURE

MAX_SIZE = 4096
"""Bytes of a version 2 header. Addresses take at most 216 bytes; the rest is extensions."""
FIXED = struct.Struct("!BBH")
FIXED_SIZE = len(SIGNATURE) + FIXED.size
MAX_LINE_SIZE = 107
LINE_FAMILIES = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}

LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6, UNIX = 0x00, 0x11, 0x21, 0x31
LAYOUTS = {
    TCP4: struct.Struct("!4s4sHH"),
    TCP6: struct.Struct("!16s16sHH"),
    UNIX: struct.Struct("!108s108s"),
}
EXTENSION = struct.Struct("!BH")
CHECKSUM = 0x03

PORT = re.compile("0|[1-9][0-9]{0,4}")

Place = tuple[str, int] | str
"""An IP address and port, or the path of a Unix socket."""


class ProxyHeaderError(ValueError):
    """The data is not a valid PROXY protocol header."""


@dataclass(frozen=True)
class ProxyHeader:
    size: int
    peer: Place | None = None
    """Address of the client. None for LOCAL and UNKNOWN headers."""
    local: Place | None = None
    """The address that the client connected to."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header at the start of `data`; None if incomplete. Raises `ProxyHeaderError`."""
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _binary(data) if len(data) >= FIXED_SIZE else None
    if LINE_START.startswith(data[: len(LINE_START)]):
        return _line(data)
    raise ProxyHeaderError(f"starts with {data[:4]!r}")


def _line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_LINE_SIZE)
    if end < 0:
        if len(data) >= MAX_LINE_SIZE:
            raise ProxyHeaderError(f"the line is longer than {MAX_LINE_SIZE} bytes")
        return None
    try:
        _, family, *places = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyHeaderError("the line is not ASCII") from None
    size = end + 2
    if family == "UNKNOWN":
        return ProxyHeader(size)
    if family not in LINE_FAMILIES or len(places) != 4:
        raise ProxyHeaderError(f"the line {data[:end]!r} is malformed")
    kind = LINE_FAMILIES[family]
    source, destination, *ports = places
    from_port, to_port = map(_port, ports)
    return ProxyHeader(
        size, (_address(kind, source), from_port), (_address(kind, destination), to_port)
    )


def _address(kind: Callable[[str], object], text: str) -> str:
    try:
        if "%" not in text:  # a scope is a network interface of the proxy
            return str(kind(text))
    except ValueError:
        pass
    raise ProxyHeaderError(f"{text!r} is not an address")


def _port(text: str) -> int:
    if not PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyHeaderError(f"{text!r} is not a port")
    return int(text)


def _binary(data: bytes) -> ProxyHeader | None:
    command, family, length = FIXED.unpack_from(data, len(SIGNATURE))
    if command not in (LOCAL, PROXY):
        raise ProxyHeaderError(f"unknown version or command {command:#04x}")
    if command == PROXY and family not in (UNSPECIFIED, *LAYOUTS):
        raise ProxyHeaderError(f"unknown or non-stream address family {family:#04x}")
    size = FIXED_SIZE + length
    if size > MAX_SIZE:
        raise ProxyHeaderError(f"{size} bytes long; at most {MAX_SIZE} are allowed")
    if len(data) < size:
        return None
    if command == LOCAL or family == UNSPECIFIED:
        return ProxyHeader(size)
    layout = LAYOUTS[family]
    _check_extensions(data[:size], layout.size)
    source, destination, *ports = layout.unpack_from(data, FIXED_SIZE)
    if family == UNIX:
        return ProxyHeader(size, _path(source), _path(destination))
    peer, local = (str(ipaddress.ip_address(packed)) for packed in (source, destination))
    return ProxyHeader(size, (peer, ports[0]), (local, ports[1]))


def _path(field: bytes) -> str:
    # The name of an abstract socket starts with a zero byte.
    end = field.find(b"\0", 1)
    return os.fsdecode((field if end < 0 else field[:end]).rstrip(b"\0"))


def _check_extensions(header: bytes, addresses_size: int) -> None:
    position = FIXED_SIZE + addresses_size
    is_checked = False
    if position > len(header):
        raise ProxyHeaderError("too short for its addresses")
    while position < len(header):
        value = position + EXTENSION.size
        if value > len(header):
            raise ProxyHeaderError("an extension is truncated")
        kind, length = EXTENSION.unpack_from(header, position)
        position = value + length
        if position > len(header):
            raise ProxyHeaderError("an extension is longer than the header")
        if kind == CHECKSUM:
            if is_checked:  # each check reads the whole header, which has space for 500
                raise ProxyHeaderError("two checksums")
            without = header[:value] + bytes(length) + header[position:]
            if header[value:position] != _crc32c(without).to_bytes(4, "big"):
                raise ProxyHeaderError("wrong checksum")
            is_checked = True


def _crc32c(data: bytes) -> int:
    """Return the CRC32c (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
