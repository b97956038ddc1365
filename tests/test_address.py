"""Addresses of servers and paths of methods."""

import ipaddress
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatify_stream.address import (
    DEFAULT_PORT,
    Address,
    address_block,
    check_host,
    check_method_path,
    parse_address,
    parse_target,
)

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z][a-z0-9]{0,9})*", fullmatch=True)
hosts = names | st.ip_addresses().map(str)
ports = st.integers(1, 65535)

IPV6_FORM = "an IPv6 address with a port needs brackets, as in [::1]:9000"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:8123", "localhost", 8123),
        ("localhost", "localhost", DEFAULT_PORT),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("chat.example.com:65535", "chat.example.com", 65535),
        ("例え.jp:80", "例え.jp", 80),
        ("localhost:00080", "localhost", 80),
        ("::1", "::1", DEFAULT_PORT),
        ("::", "::", DEFAULT_PORT),
        ("2001:db8::9000", "2001:db8::9000", DEFAULT_PORT),
        ("[::1]", "::1", DEFAULT_PORT),
        ("[::1]:8123", "::1", 8123),
        ("[fe80::1%eth0]:8123", "fe80::1%eth0", 8123),
        ("dns:///chat:8123", "chat", 8123),
        ("dns:///chat", "chat", DEFAULT_PORT),
        ("dns:///[::1]:8123", "::1", 8123),
        ("dns:9001", "dns", 9001),
    ],
)
def test_parse(text: str, host: str, port: int) -> None:
    """An address is a host name or IP address, with or without a port."""
    assert parse_address(text) == Address(host, port)


def test_default_port() -> None:
    """The caller chooses the default port."""
    assert DEFAULT_PORT == 9000
    assert parse_address("localhost", 8010) == Address("localhost", 8010)
    assert parse_address("localhost:1", 8010) == Address("localhost", 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the host is missing"),
        (" ", "the host is missing"),
        (":9000", "the host is missing"),
        ("[]:9000", "the host is missing"),
        (" localhost:9000", "the host contains a space"),
        ("my host", "the host contains a space"),
        ("my\u3000host:1", "the host contains a space"),
        ("http://localhost:9000", "it is a URL or a path"),
        ("grpc://localhost", "it is a URL or a path"),
        ("localhost:9000/chat", "it is a URL or a path"),
        ("dns:/chat:9000", "it is a URL or a path"),
        ("dns:///chat/9000", "it is a URL or a path"),
        ("dns:///", "the host is missing"),
        (
            "dns://8.8.8.8/chat:9000",
            "choosing a DNS server is not supported, so dns: needs three slashes",
        ),
        ("localhost:", "the port '' is not a number from 1 to 65535"),
        ("localhost:0", "the port '0' is not a number from 1 to 65535"),
        ("localhost:65536", "the port '65536' is not a number from 1 to 65535"),
        ("localhost:0650001", "the port '0650001' is not a number from 1 to 65535"),
        ("localhost:999999999", "the port '999999999' is not a number from 1 to 65535"),
        ("localhost:-1", "the port '-1' is not a number from 1 to 65535"),
        ("localhost:+1", "the port '+1' is not a number from 1 to 65535"),
        ("localhost: 1", "the port ' 1' is not a number from 1 to 65535"),
        ("localhost:1 ", "the port '1 ' is not a number from 1 to 65535"),
        ("localhost:1\n", "the port '1\\n' is not a number from 1 to 65535"),
        ("localhost:1_0", "the port '1_0' is not a number from 1 to 65535"),
        ("localhost:٣", "the port '٣' is not a number from 1 to 65535"),
        ("localhost:http", "the port 'http' is not a number from 1 to 65535"),
        ("a:b:1", "the port 'b:1' is not a number from 1 to 65535"),
        ("[::1", IPV6_FORM),
        ("[::1]9000", IPV6_FORM),
        ("[::1]:", "the port '' is not a number from 1 to 65535"),
        ("[localhost]:9000", "'localhost' is not an IPv6 address"),
        ("[127.0.0.1]:9000", "'127.0.0.1' is not an IPv6 address"),
        ("localhost]:9000", "'localhost]' is not a valid host name"),
        ("a..b:9000", "'a..b' is not a valid host name"),
        ("a" * 64, f"'{'a' * 64}' is not a valid host name"),
        ("a\0b", "'a\\x00b' is not a valid host name"),
        ("a\udcff", "'a\\udcff' is not a valid host name"),
    ],
)
def test_wrong(text: str, reason: str) -> None:
    """An invalid address is an error with the problem and a correct example."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        parse_address(text)
    assert str(caught.value) == (
        f"{text!r} is not an address: {reason}; write HOST:PORT, as in localhost:9000"
    )


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("a:1", [("a", 1)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a:1, dns:///b, [::1]:3", [("a", 1), ("b", DEFAULT_PORT), ("::1", 3)]),
        (["a:1", "b:2"], [("a", 1), ("b", 2)]),
        (("dns:///a:1",), [("a", 1)]),
        (["b:2", "a:1", "b:2"], [("b", 2), ("a", 1)]),
    ],
)
def test_target(target: str | list[str], addresses: list[tuple[str, int]]) -> None:
    """A target is one or more addresses, in a list or separated by commas, without duplicates."""
    assert parse_target(target) == tuple(Address(host, port) for host, port in addresses)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", "'' is not an address: the host is missing"),
        ("a:1,", "'' is not an address: the host is missing"),
        ("a:1,b:0", "'b:0' is not an address: the port '0' is not a number from 1 to 65535"),
        (["a:1", "b c"], "'b c' is not an address: the host contains a space"),
        (["a:1,b:2"], "'a:1,b:2' is not an address: the port '1,b:2' is not a number from 1 to"),
        ([], "the list of addresses is empty; write HOST:PORT, as in localhost:9000"),
        (["a:1", 2], "['a:1', 2] is not an address or a list of addresses; write HOST:PORT"),
        (9000, "9000 is not an address or a list of addresses; write HOST:PORT"),
        (b"a:1", "b'a:1' is not an address or a list of addresses; write HOST:PORT"),
    ],
)
def test_wrong_target(target: object, reason: str) -> None:
    """An invalid target is an error that names the invalid part."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        parse_target(target)


@settings(deadline=None)
@given(host=hosts, port=ports)
@example(host="::1", port=9000)
def test_written_and_read(host: str, port: int) -> None:
    """The text of an address parses to the same address. IPv6 is in brackets."""
    text = str(Address(host, port))
    assert text == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    assert parse_address(text) == Address(host, port)


@settings(deadline=None)
@given(host=hosts, port=ports)
def test_without_port(host: str, port: int) -> None:
    """A host alone, IPv6 with or without brackets, gets the default port."""
    assert parse_address(host, port) == Address(host, port)
    if ":" in host:
        assert parse_address(f"[{host}]", port) == Address(host, port)


@settings(deadline=None)
@given(st.text() | st.text(alphabet="a.:[]%0159 /é\0"))
@example("::%]")
def test_any_text(text: str) -> None:
    """Any text is rejected with a reason, or its address survives a round trip."""
    address, refusal = None, ""
    try:
        address = parse_address(text)
    except ValueError as error:
        refusal = str(error)
    if address is None:
        assert refusal.startswith(f"{text!r} is not an address: ")
    else:
        assert address.host
        assert 1 <= address.port <= 65535
        assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "host", ["localhost", "0.0.0.0", "::", "fe80::1%eth0", "chat.example.com.", "例え.jp", "a" * 63]
)
def test_host(host: str) -> None:
    """Host names and IP addresses are accepted."""
    check_host(host)


@settings(deadline=None)
@given(st.ip_addresses())
def test_host_number(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Every IP address is a host."""
    check_host(str(number))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "the host is missing"),
        ("\t", "the host is missing"),
        ("a b", "the host contains a space"),
        ("localhost\n", "the host contains a space"),
        (".", "'.' is not a valid host name"),
        ("a..b", "'a..b' is not a valid host name"),
        ("a" * 64, f"'{'a' * 64}' is not a valid host name"),
        ("a\x7f", "'a\\x7f' is not a valid host name"),
        ("[::1]", "'[::1]' is not a valid host name"),
    ],
)
def test_wrong_host(host: str, reason: str) -> None:
    """A host that no lookup would accept is rejected."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        check_host(host)
    assert str(caught.value) == reason


@pytest.mark.parametrize("path", ["/service.v1.Service/Chat", "/Service/Chat", "/a/b"])
def test_method_path(path: str) -> None:
    """A method path has the form /Service/Method."""
    check_method_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "Chat", "/Chat", "/a/", "//b", "/a/b/", "/a/b/c", "a/b", "a/b/c"),
        *("/a b/c", "/a/b ", "/a/b\n", "/a/\tb", "/a/b\x7f", "/服务/聊", "/a/\udcff"),
    ],
)
def test_wrong_method_path(path: str) -> None:
    """Any other path is rejected with a correct example."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        check_method_path(path)
    assert str(caught.value) == (
        f"{path!r} is not the path of a gRPC method; write /Service/Method, as in "
        "/service.v1.Service/Chat"
    )


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_address_block(address: str, block: str) -> None:
    """An IPv4 address is its own block, an IPv6 block has 64 bits, other text is unchanged."""
    assert address_block(address) == block
