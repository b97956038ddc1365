"""Tests of wire/names.py."""

from __future__ import annotations

import asyncio
import socket

import pytest

from chatify_stream.address import Address
from chatify_stream.wire.client.backoff import Attempts, Backoff
from chatify_stream.wire.client.resolver import Endpoint, ResolvedTarget
from chatify_stream.wire.client.state import ChannelState

from ..clock import Clock
from ..lookups import LookUps

CHAT = Address("chat", 9000)


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(Backoff(), clock, lambda: 0.5)


def locations(name: ResolvedTarget) -> list[str]:
    return [str(endpoint) for endpoint in name.endpoints]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_a_number(attempts: Attempts, host: str) -> None:
    """The number of a host stands for itself, and needs no look-up."""
    address = Address(host, 9000)
    name = ResolvedTarget.of_address(address, attempts)
    assert not name.needs_lookup
    assert name.endpoints == (Endpoint(address, str(address), host),)
    assert str(name) == name.endpoints[0].name == str(address)


def test_a_socket(attempts: Attempts) -> None:
    """A Unix socket is named by its path, but not to its server."""
    name = ResolvedTarget.of_socket("/run/chat.sock", "localhost", attempts)
    assert not name.needs_lookup
    (endpoint,) = name.endpoints
    assert (endpoint.name, endpoint.authority, endpoint.host) == (
        "/run/chat.sock",
        "localhost",
        None,
    )
    assert str(name) == str(endpoint) == "/run/chat.sock"


async def test_a_name(attempts: Attempts, look_ups: LookUps) -> None:
    """A host's name stands for all that a look-up finds, each once, in that order."""
    look_ups.found["chat"] = ["::1", "127.0.0.1", "::1"]
    name = ResolvedTarget.of_address(CHAT, attempts)
    assert name.needs_lookup
    assert name.endpoints == ()
    await name.resolve(10)
    assert locations(name) == ["[::1]:9000", "127.0.0.1:9000"]
    assert {each.name for each in name.endpoints} == {"chat:9000"}
    assert {each.host for each in name.endpoints} == {"chat"}


async def test_the_scope_of_an_address(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that counts on one link alone keeps the number of that link."""

    async def getaddrinfo(*args: object, **kwargs: object) -> list[object]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 9000, 0, 2))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    name = ResolvedTarget.of_address(CHAT, attempts)
    await name.resolve(10)
    assert locations(name) == ["[fe80::1%2]:9000"]


async def test_looked_up_anew(attempts: Attempts, look_ups: LookUps) -> None:
    """What a later look-up finds takes the place of what was found before."""
    name = ResolvedTarget.of_address(CHAT, attempts)
    for host in ("10.0.0.1", "10.0.0.2"):
        look_ups.found["chat"] = [host]
        await name.resolve(10)
        assert locations(name) == [f"{host}:9000"]


async def test_a_failed_look_up(attempts: Attempts, look_ups: LookUps) -> None:
    """A look-up that fails keeps what was found before, and is remembered as a failure."""
    name = ResolvedTarget.of_address(CHAT, attempts)
    assert name.state is ChannelState.IDLE
    await name.resolve(10)
    assert name.state is ChannelState.TRANSIENT_FAILURE
    assert attempts.failure is not None
    assert attempts.failure.reason == "unknown host (Name or service not known)"
    look_ups.found["chat"] = ["10.0.0.1"]
    await name.resolve(10)
    assert attempts.failure is None
    del look_ups.found["chat"]
    await name.resolve(10)
    assert attempts.failure is not None
    assert locations(name) == ["10.0.0.1:9000"]


async def test_a_look_up_without_answer(attempts: Attempts, look_ups: LookUps) -> None:
    """A look-up has so much time and no more."""
    look_ups.is_silent = True
    name = ResolvedTarget.of_address(CHAT, attempts)
    await name.resolve(0.01)
    assert attempts.failure is not None
    assert attempts.failure.reason == "no answer from DNS within 0.01 s"


async def test_localhost(attempts: Attempts) -> None:
    """The look-up is the system's own."""
    name = ResolvedTarget.of_address(Address("localhost", 9000), attempts)
    await name.resolve(10)
    assert set(locations(name)) & {"127.0.0.1:9000", "[::1]:9000"}
