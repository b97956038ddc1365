"""Tests of wire/client/resolver.py."""

from __future__ import annotations

import asyncio
import socket

import pytest

from chatify_stream.address import Address
from chatify_stream.wire.client.backoff import Attempts, Backoff
from chatify_stream.wire.client.resolver import Endpoint, ResolvedTarget
from chatify_stream.wire.client.state import ChannelState

from ..clock import Clock
from ..lookups import Lookups

CHAT = Address("chat", 9000)


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(Backoff(), clock, lambda: 0.5)


def locations(target: ResolvedTarget) -> list[str]:
    return [str(endpoint) for endpoint in target.endpoints]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_ip_address(attempts: Attempts, host: str) -> None:
    """An IP address is its own endpoint and needs no lookup."""
    address = Address(host, 9000)
    target = ResolvedTarget.of_address(address, attempts)
    assert not target.needs_lookup
    assert target.endpoints == (Endpoint(address, str(address), host),)
    assert str(target) == target.endpoints[0].name == str(address)


def test_unix_socket(attempts: Attempts) -> None:
    """A Unix socket is named by its path, and its calls have another authority."""
    target = ResolvedTarget.of_socket("/run/chat.sock", "localhost", attempts)
    assert not target.needs_lookup
    (endpoint,) = target.endpoints
    assert (endpoint.name, endpoint.authority, endpoint.host) == (
        "/run/chat.sock",
        "localhost",
        None,
    )
    assert str(target) == str(endpoint) == "/run/chat.sock"


async def test_host_name(attempts: Attempts, lookups: Lookups) -> None:
    """A host name resolves to all addresses found, in order, without duplicates."""
    lookups.found["chat"] = ["::1", "127.0.0.1", "::1"]
    target = ResolvedTarget.of_address(CHAT, attempts)
    assert target.needs_lookup
    assert target.endpoints == ()
    await target.resolve(10)
    assert locations(target) == ["[::1]:9000", "127.0.0.1:9000"]
    assert {each.name for each in target.endpoints} == {"chat:9000"}
    assert {each.host for each in target.endpoints} == {"chat"}


async def test_scope_of_an_address(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address keeps its scope id."""

    async def getaddrinfo(*args: object, **kwargs: object) -> list[object]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 9000, 0, 2))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    target = ResolvedTarget.of_address(CHAT, attempts)
    await target.resolve(10)
    assert locations(target) == ["[fe80::1%2]:9000"]


async def test_repeated_lookup(attempts: Attempts, lookups: Lookups) -> None:
    """A later lookup replaces the endpoints."""
    target = ResolvedTarget.of_address(CHAT, attempts)
    for host in ("10.0.0.1", "10.0.0.2"):
        lookups.found["chat"] = [host]
        await target.resolve(10)
        assert locations(target) == [f"{host}:9000"]


async def test_failed_lookup(attempts: Attempts, lookups: Lookups) -> None:
    """A failed lookup keeps the endpoints and is recorded as a failure."""
    target = ResolvedTarget.of_address(CHAT, attempts)
    assert target.state is ChannelState.IDLE
    await target.resolve(10)
    assert target.state is ChannelState.TRANSIENT_FAILURE
    assert attempts.failure is not None
    assert attempts.failure.reason == "unknown host (Name or service not known)"
    lookups.found["chat"] = ["10.0.0.1"]
    await target.resolve(10)
    assert attempts.failure is None
    del lookups.found["chat"]
    await target.resolve(10)
    assert attempts.failure is not None
    assert locations(target) == ["10.0.0.1:9000"]


async def test_lookup_without_answer(attempts: Attempts, lookups: Lookups) -> None:
    """A lookup without an answer fails after its timeout."""
    lookups.is_silent = True
    target = ResolvedTarget.of_address(CHAT, attempts)
    await target.resolve(0.01)
    assert attempts.failure is not None
    assert attempts.failure.reason == "no answer from DNS within 0.01 s"


async def test_localhost(attempts: Attempts) -> None:
    """Lookups use the resolver of the system."""
    target = ResolvedTarget.of_address(Address("localhost", 9000), attempts)
    await target.resolve(10)
    assert set(locations(target)) & {"127.0.0.1:9000", "[::1]:9000"}
