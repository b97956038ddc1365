"""The PROXY protocol: what a proxy says first, about whose connection it passes on. No I/O.

Versions 1 (a line of text) and 2 (binary), of connections over TCP and Unix sockets:
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

Rules: a header is read strictly, or refused as soon as that is certain; nothing behind it is
touched. Additions (TLV) are skipped, but for a checksum, which has to be right.
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

__all__ = ["MOST", "Place", "ProxyHeader", "ProxyHeaderError", "read_proxy_header"]

MOST = 4096
"""Bytes of a header of version 2; its addresses take 216 at the most, the rest is additions."""

FIXED = struct.Struct("!BBH")
FIXED_SIZE = len(SIGNATURE) + FIXED.size
LONGEST_LINE = 107

LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6, UNIX = 0x00, 0x11, 0x21, 0x31
ADDRESSES = {TCP4: struct.Struct("!4s4sHH"), TCP6: struct.Struct("!16s16sHH")}
PATHS = struct.Struct("!108s108s")

ADDITION = struct.Struct("!BH")
CHECKSUM = 0x03

PORT = re.compile("0|[1-9][0-9]{0,4}")

Place = tuple[str, int] | str
"""IP address and port, or the path of a Unix socket."""


class ProxyHeaderError(ValueError):
    """It is no such header."""


@dataclass(frozen=True)
class ProxyHeader:
    """A header, and whose connection it is."""

    size: int
    """Of the header itself, in bytes."""

    peer: Place | None = None
    """None when the proxy speaks for itself, or does not know."""

    local: Place | None = None
    """Where the peer has connected to."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while it is not whole.

    Raises `ProxyHeaderError`.
    """
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _binary(data) if len(data) >= FIXED_SIZE else None
    if LINE_START.startswith(data[: len(LINE_START)]):
        return _line(data)
    raise ProxyHeaderError(f"it began with {data[:4]!r}")


def _line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(data) >= LONGEST_LINE:
            raise ProxyHeaderError(f"the line is longer than {LONGEST_LINE} bytes")
        return None
    try:
        _, family, *places = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyHeaderError("the line is not ASCII") from None
    size = end + 2
    if family == "UNKNOWN":
        return ProxyHeader(size)
    parse = {"TCP4": _ipv4, "TCP6": _ipv6}.get(family)
    if parse is None or len(places) != 4:
        raise ProxyHeaderError(f"the line is {data[:end]!r}")
    source, destination, *ports = places
    from_port, to_port = map(_port, ports)
    return ProxyHeader(size, (parse(source), from_port), (parse(destination), to_port))


def _ipv4(text: str) -> str:
    return _address(ipaddress.IPv4Address, text)


def _ipv6(text: str) -> str:
    if "%" in text:  # a network interface of the proxy
        raise ProxyHeaderError(f"{text!r} is no address")
    return _address(ipaddress.IPv6Address, text)


def _address(kind: Callable[[str], object], text: str) -> str:
    try:
        return str(kind(text))
    except ValueError:
        raise ProxyHeaderError(f"{text!r} is no address") from None


def _port(text: str) -> int:
    if not PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyHeaderError(f"{text!r} is no port")
    return int(text)


def _binary(data: bytes) -> ProxyHeader | None:
    command, family, length = FIXED.unpack_from(data, len(SIGNATURE))
    if command not in (LOCAL, PROXY):
        raise ProxyHeaderError(f"version and command are {command:#04x}")
    if family not in (UNSPECIFIED, TCP4, TCP6, UNIX) and command == PROXY:
        raise ProxyHeaderError(f"the family is {family:#04x}, which is no stream")
    size = FIXED_SIZE + length
    if size > MOST:
        raise ProxyHeaderError(f"it has {size} bytes")
    if len(data) < size:
        return None
    if command == LOCAL:
        return ProxyHeader(size)
    header = data[:size]
    if family == UNSPECIFIED:
        return ProxyHeader(size)
    if family == UNIX:
        _check_additions(header, PATHS.size)
        source, destination = PATHS.unpack_from(header, FIXED_SIZE)
        return ProxyHeader(size, _path(source), _path(destination))
    addresses = ADDRESSES[family]
    _check_additions(header, addresses.size)
    source, destination, from_port, to_port = addresses.unpack_from(header, FIXED_SIZE)
    return ProxyHeader(size, (_number(source), from_port), (_number(destination), to_port))


def _number(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _path(field: bytes) -> str:
    # The name of an abstract socket begins with a zero.
    end = field.find(b"\0", 1)
    return os.fsdecode((field if end < 0 else field[:end]).rstrip(b"\0"))


def _check_additions(header: bytes, addresses_size: int) -> None:
    position = FIXED_SIZE + addresses_size
    is_checked = False
    if position > len(header):
        raise ProxyHeaderError("it is too short for its addresses")
    while position < len(header):
        value = position + ADDITION.size
        if value > len(header):
            raise ProxyHeaderError("an addition is cut short")
        kind, length = ADDITION.unpack_from(header, position)
        position = value + length
        if position > len(header):
            raise ProxyHeaderError("an addition is longer than the header")
        if kind == CHECKSUM:
            if is_checked:  # each costs as much as the whole header, and there is room for 500
                raise ProxyHeaderError("it has two checksums")
            _check_sum(header, value, position)
            is_checked = True


def _check_sum(header: bytes, start: int, stop: int) -> None:
    given = header[start:stop]
    without = header[:start] + bytes(len(given)) + header[stop:]
    if given != _crc32c(without).to_bytes(4, "big"):
        raise ProxyHeaderError("its checksum is wrong")


def _crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
