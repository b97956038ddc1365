"""What an authenticator is: it finds out who makes a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import Status, StatusError
from .identity import Identity

__all__ = ["Authenticator", "Credentials", "unauthenticated"]


@dataclass(frozen=True)
class Credentials:
    """What a call brings with it."""

    path: str
    """Of its method: `/package.Service/Method`."""
    metadata: Mapping[str, str | bytes] = field(repr=False)
    """Not in the `repr`, which may get into a log: it has the token."""
    host: str = ""
    """The IP address of the client; empty on a Unix socket."""
    certificate: Mapping[str, Any] | None = None
    """The client's, as `ssl.SSLSocket.getpeercert` gives it; None without one that was verified."""


class Authenticator(Protocol):
    """Whoever it lets in is who it says. It is asked once a call, before anything else."""

    async def authenticate(self, call: Credentials) -> Identity:
        """Raises `StatusError`: UNAUTHENTICATED for who is not known, with what would be right.

        The trailer `chat-reconnect: yes` in the error's `metadata` says that a new token helps. Any
        other exception is logged, and the client gets UNAVAILABLE.
        """


def unauthenticated(why: str, *, come_back: bool = False) -> StatusError:
    """The error for a caller that is not known. `come_back`: with a new token it would be."""
    return StatusError(
        Status.UNAUTHENTICATED, why, metadata={"chat-reconnect": "yes" if come_back else "no"}
    )
