"""Compute how many servers a number of users needs: the table of docs/explanation/capacity.md.

    python examples/capacity.py

`python -m tests.bench.nodes` and `tox -e bench` have measured the costs. The behaviour of users is
assumed. Replace both by your own figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Costs:
    """Costs of one server process and of Redis, in µs of CPU; memory in bytes."""

    message: float = 110
    """A message that a server publishes, or is notified of by Redis, which costs less."""
    delivery: float = 2.65
    ping: float = 117
    look: float = 102
    """A check of an idle room."""
    member_memory: float = 22_600
    """A member with a connection of its own."""
    redis_message: float = 32
    redis_listener: float = 7.7
    """For each server that Redis notifies of a message."""
    redis_look: float = 23.1
    redis_message_memory: float = 323
    redis_room_memory: float = 660


@dataclass(frozen=True)
class Use:
    """The behaviour of users, all connected, each in one room."""

    name: str
    members: int
    """Members of a room."""
    messages: float
    """Messages that each user sends in an hour."""


@dataclass(frozen=True)
class Margins:
    """The load of the machines, and the intervals of checks."""

    busy: float = 0.5
    """Load of a server's core and of Redis' core."""
    members: int = 10_000
    """Members of one server process, the measured number; limits.max_connections is 20,000."""
    ping_every: float = 30
    look_every: float = 20
    kept: float = 100
    """Messages of a room that Redis keeps."""


USES = (
    Use("quiet: rooms of 10, 6 messages an hour", 10, 6),
    Use("chat: rooms of 20, a message a minute", 20, 60),
    Use("lively: rooms of 100, a message a minute", 100, 60),
)
USERS = (1_000_000, 100_000_000)


@dataclass(frozen=True)
class Machines:
    servers: int
    """Server processes, one core each."""
    masters: int
    """Redis masters, one core each."""
    are_full: bool
    """Whether the members, and not the work, determine the number of servers."""


def machines(
    users: int, use: Use, costs: Costs, margins: Margins, *, are_gathered: bool = False
) -> Machines:
    """Compute the machines for members distributed at random, or gathered on one server."""
    published = users * use.messages / 3600
    rooms = users / use.members
    least = servers = ceil(users / margins.members)
    while True:
        # Servers on which a room has members: Redis notifies each of them of every message.
        told = 1 if are_gathered else servers * (1 - (1 - 1 / servers) ** use.members)
        looks = rooms * told / margins.look_every
        work = (
            published * (costs.message * told + costs.delivery * use.members)
            + users * costs.ping / margins.ping_every
            + looks * costs.look
        )
        needed = ceil(work / 1e6 / margins.busy)
        if needed <= servers:
            break
        servers = needed
    of_redis = (
        published * (costs.redis_message + costs.redis_listener * (told - 1))
        + looks * costs.redis_look
    )
    return Machines(servers, ceil(of_redis / 1e6 / margins.busy), servers == least)


def table() -> str:
    """Return the table of all uses and numbers of users, in Markdown."""
    costs, margins = Costs(), Margins()
    lines = [
        "| users | use | published/s | delivered/s | servers | Redis masters "
        "| servers, gathered | Redis masters, gathered | memory of servers, GB | of Redis, GB |",
        f"|{' --- |' * 10}",
    ]
    for users in USERS:
        for use in USES:
            published = users * use.messages / 3600
            kept = costs.redis_room_memory + margins.kept * costs.redis_message_memory
            found = [
                machines(users, use, costs, margins, are_gathered=are_gathered)
                for are_gathered in (False, True)
            ]
            cells = [
                f"{users // 1_000_000} M",
                use.name,
                f"{published:,.0f}",
                f"{published * use.members:,.0f}",
                *(
                    cell
                    for each in found
                    for cell in (
                        f"{each.servers:,}{' (full)' if each.are_full else ''}",
                        f"{each.masters:,}",
                    )
                ),
                f"{users * costs.member_memory / 1e9:,.0f}",
                f"{users / use.members * kept / 1e9:,.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
