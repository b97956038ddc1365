"""Resolve the targets of a channel to endpoints."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from ...address import Address
from .backoff import Attempts
from .state import ChannelState, Failure


@dataclass(frozen=True)
class Endpoint:
    location: Address | str
    """An IP address and port, or the path of a Unix socket."""
    authority: str
    """The `:authority` of its calls."""
    host: str | None = None
    """The host as configured, whose name the certificate must have. None for a Unix socket."""

    def __str__(self) -> str:
        return str(self.location)

    @property
    def name(self) -> str:
        """The address as configured."""
        return self.location if isinstance(self.location, str) else self.authority


@dataclass(eq=False)
class ResolvedTarget:
    text: str
    """The target as configured."""
    attempts: Attempts
    host: Address | None = None
    """A host, whose last successful lookup gave the endpoints. None: the endpoints are fixed."""
    endpoints: tuple[Endpoint, ...] = ()
    is_in_progress: bool = False
    """A lookup is in progress. The caller of `resolve` sets this."""

    @classmethod
    def of_address(cls, address: Address, attempts: Attempts) -> ResolvedTarget:
        """Return the target for a host name, which needs a lookup, or an IP address."""
        try:
            ipaddress.ip_address(address.host)
        except ValueError:
            return cls(str(address), attempts, host=address)
        endpoint = Endpoint(address, str(address), address.host)
        return cls(str(address), attempts, endpoints=(endpoint,))

    @classmethod
    def of_socket(cls, path: str, authority: str, attempts: Attempts) -> ResolvedTarget:
        return cls(path, attempts, endpoints=(Endpoint(path, authority),))

    def __str__(self) -> str:
        return self.text

    @property
    def needs_lookup(self) -> bool:
        return self.host is not None

    @property
    def state(self) -> ChannelState:
        """The state of a target without endpoints."""
        return self.attempts.state(is_in_progress=self.is_in_progress)

    async def resolve(self, timeout: float) -> None:
        """Look the host up, within `timeout` seconds. A failure is stored in `attempts`."""
        host = self.host
        if host is None:
            return
        self.attempts.begin()
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host.host, host.port, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            self.attempts.fail(Failure(f"no answer from DNS within {timeout:g} s"))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            self.attempts.fail(Failure(f"unknown host ({reason})"))
        else:
            self.attempts.succeed()
            locations = dict.fromkeys(_location(sockaddr) for *_, sockaddr in found)
            self.endpoints = tuple(Endpoint(each, str(host), host.host) for each in locations)


def _location(sockaddr: tuple[Any, ...]) -> Address:
    host, port, *more = sockaddr
    scope = more[1] if more else 0  # the interface of a link-local IPv6 address
    return Address(f"{host}%{scope}" if scope else host, port)
