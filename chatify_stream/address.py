"""Addresses, of servers and of gRPC methods, as people write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["DEFAULT_PORT", "Address", "check_host", "check_method_path", "parse_address"]

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
    try:
        check_host(host)
    except ValueError as error:
        raise wrong(str(error)) from None
    if text.startswith("[") and not _is_ipv6(host):
        raise wrong(f"{host!r} is not an IPv6 address")
    if port is None:
        return Address(host, default_port)
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise wrong(f"the port {port!r} is not a number from 1 to 65535")
    return Address(host, int(port))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def check_host(host: str) -> None:
    """Raises `ValueError` unless `host` can be the name or the number of a host."""
    if not host.strip():
        raise ValueError("the host is missing")
    if any(character.isspace() for character in host):
        raise ValueError("the host has a space in it")
    try:
        host.encode("idna")  # as every look-up of a host does first
    except UnicodeError:
        raise ValueError(f"{host!r} is not a host name") from None
    if not host.isprintable() or "[" in host or "]" in host:
        raise ValueError(f"{host!r} is not a host name")


def check_method_path(path: str) -> None:
    """Raises `ValueError` unless `path` is `/Service/Method`."""
    start, *parts = path.split("/")
    if start or len(parts) != 2 or not all(parts) or not re.fullmatch("[!-~]+", path):
        raise ValueError(
            f"{path!r} is not the path of a gRPC method; write /Service/Method, as in "
            "/service.v1.Service/Chat"
        )
