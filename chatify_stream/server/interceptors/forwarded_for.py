"""The IP address of a client, also behind trusted proxies that send it in a header.

The header is used only if the connection comes from a trusted proxy. Its list is read from the end,
because each proxy appends the address of its peer: the client is the first address that is not of a
trusted proxy. If the list contains anything else than IP addresses up to there, it is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ...address import check_header_name
from ...errors import UsageError
from ...wire import ServerStream
from ..session import CallHandler, peer_of

FORWARDED = "forwarded"
"""The header of RFC 7239. Other headers are lists of addresses, as `x-forwarded-for` is."""

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of HTTP
_PAIR = rf'({_TOKEN})=({_TOKEN}|"[^"\\]*")'
_ELEMENT = re.compile(rf"\s*{_PAIR}(?:\s*;\s*{_PAIR})*\s*", re.ASCII)


def client_address(stream: ServerStream) -> str:
    """Return the IP address of the client of a call; empty for a Unix socket.

    The address comes from a trusted header if there is one, else from the PROXY protocol, else it
    is that of the peer. Headers count only after `AddressHeader` has run.
    """
    return stream.client_address or peer_of(stream).host


class AddressHeader:
    """The header in which trusted proxies send the IP address of their client.

        AddressHeader("x-forwarded-for", trusted=["10.0.0.0/8"])

    `name` is `forwarded`, which is read as RFC 7239 defines it, or the name of a header with a
    list of addresses, such as `x-forwarded-for`. `trusted` are the IP addresses and networks of
    the proxies; the header is ignored on connections from other addresses.

    It is the outermost interceptor of a server. Raises `UsageError` for a name that no header can
    have, and for a wrong address or network.
    """

    def __init__(self, name: str, trusted: Collection[str]) -> None:
        try:
            check_header_name(name)
            self._trusted = [ip_network(each) for each in trusted]
        except ValueError as error:
            raise UsageError(f"address header: {error}") from None
        self._name = name

    def __call__(self, path: str, handler: CallHandler) -> CallHandler:
        async def with_client_address(stream: ServerStream) -> None:
            values = stream.metadata.getall(self._name, ()) if stream.metadata else ()
            if values:
                stream.client_address = self.client(peer_of(stream).host, list(values))
            await handler(stream)

        return with_client_address

    def client(self, peer: str, values: Sequence[object]) -> str:
        """Return the address of the client behind a peer that sent these values of the header."""
        address = _address(peer)
        if address is None or not self._is_trusted(address):
            return peer
        for part in reversed(",".join(map(str, values)).split(",")):  # an address has no comma
            address = _address(_node(part) if self._name == FORWARDED else part.strip())
            if address is None:
                return peer
            if not self._is_trusted(address):
                break
        return str(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _node(element: str) -> str:
    """Return the `for` node of an element of RFC 7239; empty if the element is malformed."""
    pairs = re.findall(_PAIR, element) if _ELEMENT.fullmatch(element) else []
    nodes = [node for name, node in pairs if name.lower() == "for"]
    return nodes[0].strip('"') if len(nodes) == 1 else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is not None:
        text = with_port[1] or with_port[2]
    if "%" in text:  # an interface of this machine, not of the client's
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
