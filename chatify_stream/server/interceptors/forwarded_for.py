"""From which IP address a client comes, also behind proxies that say so in a header.

Rules: a header is believed only where it comes from a trusted proxy, and of what it lists only what
trusted proxies have written: from its end up to the first address that is none of theirs. A list
that has anything but IP addresses up to there is not believed at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ...address import check_header_name
from ...errors import UsageError
from ...wire import ServerStream
from ..session import peer_of
from .chain import CallHandler

__all__ = ["AddressHeader", "client_address"]

FORWARDED = "forwarded"
"""Of RFC 7239; all other headers are lists of addresses, as `x-forwarded-for` is."""

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - of HTTP
_PAIR = rf'({_TOKEN})=({_TOKEN}|"[^"\\]*")'
_ELEMENT = re.compile(rf"\s*{_PAIR}(?:\s*;\s*{_PAIR})*\s*", re.ASCII)


def client_address(stream: ServerStream) -> str:
    """The IP address of whoever has made a call; empty for a Unix socket.

    That is of who has connected, as a proxy has said by the PROXY protocol, or whom a trusted
    header names, once the interceptors run.
    """
    return stream.client_address or peer_of(stream).host


class AddressHeader:
    """The header that proxies name their clients in: an interceptor, the outermost one.

        AddressHeader("x-forwarded-for", trusted=["10.0.0.0/8"])

    `trusted` are the addresses and networks of the proxies. Raises `UsageError`.
    """

    def __init__(self, name: str, trusted: Collection[str]) -> None:
        try:
            check_header_name(name)
            self._trusted = [ip_network(each) for each in trusted]
        except ValueError as error:
            raise UsageError(f"the header of addresses: {error}") from None
        self._name = name

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        async def located(stream: ServerStream) -> None:
            values = stream.metadata.getall(self._name, ()) if stream.metadata else ()
            if values:
                stream.client_address = self.client(peer_of(stream).host, list(values))
            await handler(stream)

        return located

    def client(self, peer: str, values: Sequence[object]) -> str:
        """Who stands behind a peer that has sent the header with these values."""
        address = _address(peer)
        if address is None or not self._is_trusted(address):
            return peer
        parts = _hops if self._name == FORWARDED else _addresses
        for text in parts([str(value) for value in values]):
            address = _address(text)
            if address is None:
                return peer
            if not self._is_trusted(address):
                break
        return str(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _addresses(values: Sequence[str]) -> Iterator[str]:
    """The addresses of a list, the last one first."""
    for value in reversed(values):
        for part in reversed(value.split(",")):
            yield part.strip()


def _hops(values: Sequence[str]) -> Iterator[str]:
    """What RFC 7239 has behind `for=`, the last one first; empty for what is not well formed."""
    for value in reversed(values):
        for element in reversed(value.split(",")):  # no address has a comma in it
            pairs = re.findall(_PAIR, element) if _ELEMENT.fullmatch(element) else []
            named = [node for name, node in pairs if name.lower() == "for"]
            yield named[0].strip('"') if len(named) == 1 else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is not None:
        text = with_port[1] or with_port[2]
    if "%" in text:  # an interface, of which only this machine knows
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
