"""The table of attacks; each is one coroutine function, made by one connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..wire.raw import GREETING
from .attacker import Attacker
from .sites import DEFAULT, Site

__all__ = ["ATTACKS", "HERE", "Attack", "Form", "attack"]

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Form:
    """How hard an attack is made, in the short form and in the long one."""

    scale: float
    """Of the numbers of frames: 1 is all of them."""
    drip: float
    """Seconds between two bytes of those who are slow."""

    def times(self, number: int) -> int:
        return max(1, round(number * self.scale))


Run = Callable[[Attacker, Form], Awaitable[str]]
"""Makes the attack; returns what its connection saw."""


@dataclass(frozen=True)
class Attack:
    name: str
    run: Run
    sees: str
    """What the attacker is to see."""
    together: int
    """How many of them attack at once in the long form."""
    takes_time: bool
    """It is about something that the server waits for."""
    greeting: bytes
    site: Site
    """The server that it is made on."""
    in_the_clear: bool
    """Its connection does not speak TLS by itself, where the server does."""
    address: str
    """Where it comes from."""


ATTACKS: dict[str, Attack] = {}
"""By name."""


def attack(
    sees: str,
    *,
    together: int = 1000,
    takes_time: bool = False,
    greeting: bytes = GREETING,
    site: Site = DEFAULT,
    in_the_clear: bool = False,
    address: str = HERE,
) -> Callable[[Run], Run]:
    """Adds a function to the table, under its name."""

    def add(run: Run) -> Run:
        name = run.__name__.replace("_", " ")
        ATTACKS[name] = Attack(
            name, run, sees, together, takes_time, greeting, site, in_the_clear, address
        )
        return run

    return add
