"""One case: the load, the figure that counts, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass

from ..peers import Who

__all__ = ["BESIDE", "Case", "Target"]

BESIDE = "beside"
"""Our own figure in the case that a case stands beside."""


@dataclass(frozen=True)
class Target:
    """A bound for our figure: so many times `against`'s, or an absolute one.

    A lower bound, but where less is better an upper one.
    """

    bound: float
    against: str | None = None
    """The name of a peer, or `BESIDE`."""


@dataclass(frozen=True)
class Case:
    key: str
    title: str
    unit: str
    load: tuple[str, ...]
    """Mode and flags of the load client."""
    figure: str = "per_second"
    """Which of the figures that the load client prints."""
    targets: tuple[Target, ...] = ()
    less_is_better: bool = False
    who: Who = "servers"
    tls: bool = False
    server: tuple[str, ...] = ()
    """Flags of our server.

    `{folder}` in them is an empty folder of the measurement's own; `{metrics}` is a port, whose
    metrics are then asked for once a second.
    """
    beside: str | None = None
    """The key of a case of ours that this one is compared with."""
    longer: float = 1.0
    """How many times as long as others it is measured."""

    @property
    def needs_proc(self) -> bool:
        """The process of the server is watched, for which the load client has to have /proc."""
        return self.figure.startswith("server_")

    @property
    def connections(self) -> int:
        """How many a server has at once."""
        flag = "--connections"
        return int(self.load[self.load.index(flag) + 1]) if flag in self.load else 1
