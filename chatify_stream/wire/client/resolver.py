"""What a channel was told to connect to, and the endpoints that this stands for."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...address import Address
from .backoff import Attempts
from .state import ChannelState, Failure

__all__ = ["Endpoint", "ResolvedTarget"]


@dataclass(frozen=True)
class Endpoint:
    """One place that a connection can be made to."""

    location: Address | str
    """The number of a host and a port, or the path of a Unix socket."""
    authority: str
    """What its calls name as the server that they mean."""
    host: str | None = None
    """The host as it was written; its certificate is wanted. A Unix socket has none."""

    def __str__(self) -> str:
        return str(self.location)

    @property
    def name(self) -> str:
        """The address as it was written."""
        return self.location if isinstance(self.location, str) else self.authority


class ResolvedTarget:
    """What was written, and the endpoints that it stands for.

    `host` is looked up, and the endpoints are those of the last look-up that found any; without
    it, they are those given.
    """

    def __init__(
        self,
        text: str,
        attempts: Attempts,
        *,
        host: Address | None = None,
        endpoints: Sequence[Endpoint] = (),
    ) -> None:
        self._text = text
        self._host = host
        self.attempts = attempts
        self.endpoints = tuple(endpoints)
        self.is_under_way = False
        """It is being looked up; whoever has it done says so."""

    @classmethod
    def of_address(cls, address: Address, attempts: Attempts) -> ResolvedTarget:
        """A host, by its name, which is looked up, or by its number."""
        if not _is_number(address.host):
            return cls(str(address), attempts, host=address)
        return cls(str(address), attempts, endpoints=[_endpoint(address, address)])

    @classmethod
    def of_socket(cls, path: str, authority: str, attempts: Attempts) -> ResolvedTarget:
        """A Unix socket."""
        return cls(path, attempts, endpoints=[Endpoint(path, authority)])

    def __str__(self) -> str:
        return self._text

    @property
    def is_looked_up(self) -> bool:
        return self._host is not None

    @property
    def state(self) -> ChannelState:
        """Of a name that stands for nothing yet."""
        if self.is_under_way:
            return ChannelState.CONNECTING
        if self.attempts.failure is not None:
            return ChannelState.TRANSIENT_FAILURE
        return ChannelState.IDLE

    async def look_up(self, timeout: float) -> None:
        """Looks the host up anew, within so many seconds; a failure stands in `attempts` then."""
        host = self._host
        if host is None:
            return
        self.attempts.begin()
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host.host, host.port, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            reason = f"the look-up of the host had no answer within {timeout:g} s"
            self.attempts.fail(Failure(reason))
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            self.attempts.fail(Failure(f"unknown host ({why})"))
        else:
            self.attempts.succeed()
            locations = dict.fromkeys(_location(sockaddr) for *_, sockaddr in found)
            self.endpoints = tuple(_endpoint(host, location) for location in locations)


def _endpoint(written: Address, location: Address) -> Endpoint:
    return Endpoint(location, str(written), written.host)


def _location(sockaddr: tuple[Any, ...]) -> Address:
    host, port, *more = sockaddr
    scope = more[1] if more else 0  # of an IPv6 address that is only of one link
    return Address(f"{host}%{scope}" if scope else host, port)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
