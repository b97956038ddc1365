"""Parse and check addresses of servers, networks and gRPC methods.

`address_block` groups client addresses for limits: an IPv4 address counts alone, IPv6 addresses by
their first 64 bits, because an IPv6 subscriber has at least that many addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_PORT = 9000

DNS = "dns:///"
"""A prefix of gRPC targets. Host names are looked up with and without it."""


@dataclass(frozen=True)
class Address:
    """A host name or IP address, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Parse `HOST:PORT`, `HOST`, `[IPV6]:PORT` or `IPV6`, optionally prefixed with `dns:///`.

    Raises `ValueError` with the problem and an example of a correct address.
    """

    def wrong(reason: str) -> ValueError:
        return ValueError(
            f"{text!r} is not an address: {reason}; write HOST:PORT, as in localhost:9000"
        )

    written = text.removeprefix(DNS)
    if written.startswith("dns://"):
        raise wrong("choosing a DNS server is not supported, so dns: needs three slashes")
    if "/" in written:
        raise wrong("it is a URL or a path")
    if written.startswith("["):
        host, bracket, rest = written[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise wrong("an IPv6 address with a port needs brackets, as in [::1]:9000")
        port = rest[1:] if rest else None
    elif _is_ipv6(written):
        host, port = written, None
    else:
        host, colon, digits = written.partition(":")
        port = digits if colon else None
    try:
        check_host(host)
    except ValueError as error:
        raise wrong(str(error)) from None
    if written.startswith("[") and not _is_ipv6(host):
        raise wrong(f"{host!r} is not an IPv6 address")
    if port is None:
        return Address(host, default_port)
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise wrong(f"the port {port!r} is not a number from 1 to 65535")
    return Address(host, int(port))


def parse_target(target: str | Sequence[str]) -> tuple[Address, ...]:
    """Parse one or more server addresses: a list, or one text separated by commas.

    `parse_address` parses each. Duplicates are removed. Raises `ValueError` with the problem and
    an example of a correct address.
    """
    texts: Any = target
    if isinstance(target, str):
        texts = [text.strip() for text in target.split(",")] if "," in target else [target]
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"{target!r} is not an address or a list of addresses; write HOST:PORT, as in "
            "localhost:9000"
        )
    if not texts:
        raise ValueError("the list of addresses is empty; write HOST:PORT, as in localhost:9000")
    return tuple(dict.fromkeys(map(parse_address, texts)))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def check_host(host: str) -> None:
    """Raise `ValueError` unless `host` is a valid host name or IP address."""
    if not host.strip():
        raise ValueError("the host is missing")
    if any(character.isspace() for character in host):
        raise ValueError("the host contains a space")
    try:
        host.encode("idna")  # every lookup of a host does this first
    except UnicodeError:
        raise ValueError(f"{host!r} is not a valid host name") from None
    if not host.isprintable() or "[" in host or "]" in host:
        raise ValueError(f"{host!r} is not a valid host name")


def check_header_name(name: str) -> None:
    """Raise `ValueError` unless `name` is a valid key of text metadata."""
    if not re.fullmatch("[a-z0-9][a-z0-9_.-]*", name) or name.endswith("-bin"):
        raise ValueError(
            f"{name!r} is not a valid header name; use lowercase letters, digits and hyphens"
        )


def check_method_path(path: str) -> None:
    """Raise `ValueError` unless `path` has the form `/Service/Method`."""
    start, *parts = path.split("/")
    if start or len(parts) != 2 or not all(parts) or not re.fullmatch("[!-~]+", path):
        raise ValueError(
            f"{path!r} is not the path of a gRPC method; write /Service/Method, as in "
            "/service.v1.Service/Chat"
        )


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach the host name or IP address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_network(text: str) -> None:
    """Raise `ValueError` unless `text` is an IP address or network such as `10.0.0.0/8`."""
    ipaddress.ip_network(text)


def address_block(address: str) -> str:
    """Return the block of an address: `192.0.2.7`, or `2001:db8:1:2::/64` for IPv6.

    Text that is not an IP address is returned unchanged.
    """
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])  # the scope names a network interface
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), 64), strict=False))
