"""Addresses, of servers and of gRPC methods, as people write them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

__all__ = ["DEFAULT_PORT", "Address", "check_method_path", "parse_address"]

DEFAULT_PORT = 9000


@dataclass(frozen=True)
class Address:
    """A host, by name or by number, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Reads `HOST:PORT`, `HOST`, `[IPV6]:PORT` or `IPV6`.

    Raises `ValueError`, which says what was wrong and what would be right.
    """

    def wrong(reason: str) -> ValueError:
        return ValueError(
            f"{text!r} is not an address: {reason}; write HOST:PORT, as in localhost:9000"
        )

    if "://" in text or "/" in text:
        raise wrong("it is a URL or a path")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise wrong("an IPv6 address stands in brackets before its port, as in [::1]:9000")
        port = rest[1:] if rest else None
    elif _is_ipv6(text):
        host, port = text, None
    else:
        host, colon, digits = text.partition(":")
        port = digits if colon else None
    if not host or host != host.strip() or any(character.isspace() for character in host):
        raise wrong("the host is missing" if not host.strip() else "the host has a space in it")
    if text.startswith("[") and not _is_ipv6(host):
        raise wrong(f"{host!r} is not an IPv6 address")
    if port is None:
        return Address(host, default_port)
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= 65535:
        raise wrong(f"the port {port!r} is not a number from 1 to 65535")
    return Address(host, int(port))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def check_method_path(path: str) -> None:
    """Raises `ValueError` unless `path` is `/Service/Method`."""
    start, *parts = path.split("/")
    if start or len(parts) != 2 or not all(parts) or not path.isascii() or " " in path:
        raise ValueError(
            f"{path!r} is not the path of a gRPC method; write /Service/Method, as in "
            "/service.v1.Service/Chat"
        )
