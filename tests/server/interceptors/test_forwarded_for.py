"""Tests of server/interceptors/forwarded_for.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import AddressHeader, ChatServer, UsageError
from chatify_stream.server import CallHandler, client_address
from chatify_stream.wire import ServerStream

from ..talking import answers, client

PROXY = "10.0.0.1"
TRUSTED = ["10.0.0.0/8", "2001:db8:ffff::/48"]
LIST = AddressHeader("x-forwarded-for", TRUSTED)
FORWARDED = AddressHeader("forwarded", TRUSTED)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.1.2.3,10.0.0.2"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (["192.0.2.1", "10.0.0.2", "2001:db8:ffff::1"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["2001:0DB8:0::1"], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["<script>, 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.1, "], PROXY),
        ([""], PROXY),
        ([",,,"], PROXY),
        (["192.0.2.1, unknown"], PROXY),
        (["192.0.2.1, unknown, 10.0.0.2"], PROXY),
        (["192.0.2.1 10.0.0.2"], PROXY),
        (["192.0.2.256"], PROXY),
        (["192.0.2.01"], PROXY),
        (["192.0.2"], PROXY),
        (["192.0.2.0/24"], PROXY),
        (["3221225985"], PROXY),
        (["192.0.2.1:"], PROXY),
        (["192.0.2.1:123456"], PROXY),
        (["fe80::1%eth0"], PROXY),
        (["٣.0.2.1"], PROXY),
        (['"192.0.2.1"'], PROXY),
    ],
)
def test_a_list(values: list[str], address: str) -> None:
    """The last address that is not a proxy counts; garbage up to there makes the header ignored."""
    assert LIST.client(PROXY, values) == address


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["for=192.0.2.1"], "192.0.2.1"),
        (["for=198.51.100.1, for=192.0.2.1;proto=https;by=203.0.113.4"], "192.0.2.1"),
        (["proto=http; For=192.0.2.1 , for=10.0.0.2"], "192.0.2.1"),
        (['for="[2001:db8::1]:4711"'], "2001:db8::1"),
        (['for="192.0.2.1:80";host="a.example"'], "192.0.2.1"),
        (["for=192.0.2.1", 'for="10.0.0.2"'], "192.0.2.1"),
        (["for=unknown"], PROXY),
        (["for=_hidden, for=10.0.0.2"], PROXY),
        (["for=192.0.2.1;for=192.0.2.2"], PROXY),
        (["proto=https"], PROXY),
        (["192.0.2.1"], PROXY),
        (["for=[2001:db8::1]"], PROXY),
        (['for="192.0.2.1'], PROXY),
        (["for=192.0.2.1;"], PROXY),
        (['by="for=192.0.2.1"'], PROXY),
        (['by=";for=192.0.2.1"'], PROXY),
    ],
)
def test_forwarded(values: list[str], address: str) -> None:
    """The header of RFC 7239 is parsed strictly."""
    assert FORWARDED.client(PROXY, values) == address


@pytest.mark.parametrize("peer", ["192.0.2.9", "2001:db8::9", "", "11.0.0.1"])
@pytest.mark.parametrize("header", [LIST, FORWARDED])
def test_who_is_no_proxy(header: AddressHeader, peer: str) -> None:
    """The header of an untrusted peer is ignored."""
    assert header.client(peer, ["192.0.2.1", "for=192.0.2.1"]) == peer


def test_a_proxy_of_both_families() -> None:
    """IPv4 addresses that are mapped to IPv6 are recognized."""
    assert LIST.client("::ffff:10.0.0.1", ["192.0.2.1"]) == "192.0.2.1"


@given(st.lists(st.text(st.sampled_from('0123456789.:,;=" []for-%\x7fé')), max_size=4))
def test_anything(values: list[str]) -> None:
    """Any header gives an address, of the header or of the peer."""
    for header in (LIST, FORWARDED):
        assert header.client(PROXY, values)


@pytest.mark.parametrize(
    ("name", "trusted", "text"),
    [
        ("X-Forwarded-For", [], "'X-Forwarded-For' is not a valid header name"),
        ("", [], "'' is not a valid header name"),
        ("x-bin", [], "'x-bin' is not a valid header name"),
        ("x-real-ip", ["10.0.0.1/8"], "10.0.0.1/8 has host bits set"),
        ("x-real-ip", ["proxy"], "'proxy' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_wrong_use(name: str, trusted: list[str], text: str) -> None:
    """A wrong header name or network is rejected."""
    with pytest.raises(UsageError, match=text):
        AddressHeader(name, trusted)


async def test_who_calls() -> None:
    """Handlers and interceptors see the address from the header."""
    seen = []

    def note(path: str, handler: CallHandler) -> CallHandler:
        async def noting(stream: ServerStream) -> None:
            seen.append(client_address(stream))
            await handler(stream)

        return noting

    header = AddressHeader("x-real-ip", ["127.0.0.0/8"])
    async with ChatServer(address_header=header, interceptors=[note]) as server:
        await server.start("127.0.0.1", 0)
        assert await answers(server, "Ada") == ["Hello Ada"]
        async with client(server, metadata={"x-real-ip": "192.0.2.1"}) as chat:
            await chat.close_and_recv()
    assert seen == ["127.0.0.1", "192.0.2.1"]
