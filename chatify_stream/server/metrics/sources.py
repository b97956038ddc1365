"""What the metrics of a server are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...wire import ServerStatistics
from ..rooms import Node

__all__ = ["Sources"]


@dataclass(frozen=True)
class Sources:
    """Asked anew each time, in the event loop; `status` in any thread."""

    servers: Callable[[], Sequence[ServerStatistics]]
    """Of each port."""

    node: Node | None
    """None where there are no rooms."""

    uses_refused: Callable[[], Mapping[str, int]]
    """By the limits of use."""

    certificate_end: Callable[[], float | None]
    """When the certificate ends, in seconds since 1970; None without TLS."""

    status: Callable[[], str]
    """That of the server's health: SERVING where all is well."""
