"""Addresses of servers and paths of methods."""

import ipaddress
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatify_stream.address import (
    DEFAULT_PORT,
    Address,
    check_host,
    check_method_path,
    parse_address,
    parse_target,
)

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z][a-z0-9]{0,9})*", fullmatch=True)
hosts = names | st.ip_addresses().map(str)
ports = st.integers(1, 65535)

IPV6_FORM = "an IPv6 address stands in brackets before its port, as in [::1]:9000"


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
    """An address is a host, by name or number, with or without a port."""
    assert parse_address(text) == Address(host, port)


def test_default_port() -> None:
    """The port that an address does without is the caller's to say."""
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
        (" localhost:9000", "the host has a space in it"),
        ("my host", "the host has a space in it"),
        ("my\u3000host:1", "the host has a space in it"),
        ("http://localhost:9000", "it is a URL or a path"),
        ("grpc://localhost", "it is a URL or a path"),
        ("localhost:9000/chat", "it is a URL or a path"),
        ("dns:/chat:9000", "it is a URL or a path"),
        ("dns:///chat/9000", "it is a URL or a path"),
        ("dns:///", "the host is missing"),
        (
            "dns://8.8.8.8/chat:9000",
            "a name server cannot be chosen, so three slashes follow dns:",
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
        ("localhost]:9000", "'localhost]' is not a host name"),
        ("a..b:9000", "'a..b' is not a host name"),
        ("a" * 64, f"'{'a' * 64}' is not a host name"),
        ("a\0b", "'a\\x00b' is not a host name"),
        ("a\udcff", "'a\\udcff' is not a host name"),
    ],
)
def test_wrong(text: str, reason: str) -> None:
    """What is not an address is refused, with what is wrong and what would be right."""
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
    """A target is one address or several, in a list or with commas between, each once."""
    assert parse_target(target) == tuple(Address(host, port) for host, port in addresses)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", "'' is not an address: the host is missing"),
        ("a:1,", "'' is not an address: the host is missing"),
        ("a:1,b:0", "'b:0' is not an address: the port '0' is not a number from 1 to 65535"),
        (["a:1", "b c"], "'b c' is not an address: the host has a space in it"),
        (["a:1,b:2"], "'a:1,b:2' is not an address: the port '1,b:2' is not a number from 1 to"),
        ([], "the list of addresses is empty; write HOST:PORT, as in localhost:9000"),
        (["a:1", 2], "['a:1', 2] is not an address, nor a list of them; write HOST:PORT"),
        (9000, "9000 is not an address, nor a list of them; write HOST:PORT"),
        (b"a:1", "b'a:1' is not an address, nor a list of them; write HOST:PORT"),
    ],
)
def test_wrong_target(target: object, reason: str) -> None:
    """What is not a target is refused, with the part that is wrong."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        parse_target(target)


@settings(deadline=None)
@given(host=hosts, port=ports)
@example(host="::1", port=9000)
def test_written_and_read(host: str, port: int) -> None:
    """An address that was written is read as it was, IPv6 in brackets."""
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
    """Any text is refused with a reason, or is an address that can be written and read."""
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
    """Names and numbers of hosts pass."""
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
        ("a b", "the host has a space in it"),
        ("localhost\n", "the host has a space in it"),
        (".", "'.' is not a host name"),
        ("a..b", "'a..b' is not a host name"),
        ("a" * 64, f"'{'a' * 64}' is not a host name"),
        ("a\x7f", "'a\\x7f' is not a host name"),
        ("[::1]", "'[::1]' is not a host name"),
    ],
)
def test_wrong_host(host: str, reason: str) -> None:
    """What no look-up would take is refused."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        check_host(host)
    assert str(caught.value) == reason


@pytest.mark.parametrize("path", ["/service.v1.Service/Chat", "/Service/Chat", "/a/b"])
def test_method_path(path: str) -> None:
    """The path of a method is a service and a method, each after a slash."""
    check_method_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "Chat", "/Chat", "/a/", "//b", "/a/b/", "/a/b/c", "a/b", "a/b/c"),
        *("/a b/c", "/a/b ", "/a/b\n", "/a/\tb", "/a/b\x7f", "/服务/聊", "/a/\udcff"),
    ],
)
def test_wrong_method_path(path: str) -> None:
    """Any other path is refused, with what would be right."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        check_method_path(path)
    assert str(caught.value) == (
        f"{path!r} is not the path of a gRPC method; write /Service/Method, as in "
        "/service.v1.Service/Chat"
    )
