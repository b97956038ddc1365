"""How many machines so many connected users take: the table of docs/scaling.md.

    python examples/capacity.py

The costs are measured, by `python -m tests.bench.nodes` and `tox -e bench`; what users do is
assumed. Put in your own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Costs:
    """Of one server process, in µs of its core, and of Redis, in µs of its own; memory in bytes."""

    message: float = 110
    """That a server takes in, or is told of by Redis; the latter is less."""
    delivery: float = 2.65
    ping: float = 117
    look: float = 102
    """Into a room in which nothing is said."""
    member_memory: float = 22_600
    """With a connection of its own."""
    redis_message: float = 32
    redis_listener: float = 7.7
    """For each server that is told of it."""
    redis_look: float = 23.1
    redis_message_memory: float = 323
    redis_room_memory: float = 660


@dataclass(frozen=True)
class Use:
    """What users do, who are all connected, each in one room."""

    name: str
    members: int
    """Of a room."""
    messages: float
    """That each user sends in an hour."""


@dataclass(frozen=True)
class Margins:
    """How far machines are filled, and how often what is idle is looked at."""

    busy: float = 0.5
    """Of a server's core, and of that of Redis."""
    members: int = 10_000
    """Of one server process, which were measured with as many; limits.max_connections is 20,000."""
    ping_every: float = 30
    look_every: float = 20
    kept: float = 100
    """Messages of a room that are kept, of those that Redis has room for."""


USES = (
    Use("quiet: rooms of 10, 6 messages an hour", 10, 6),
    Use("chat: rooms of 20, a message a minute", 20, 60),
    Use("lively: rooms of 100, a message a minute", 100, 60),
)
USERS = (1_000_000, 100_000_000)


@dataclass(frozen=True)
class Machines:
    servers: int
    """Processes, a core each."""
    masters: int
    """Of Redis, a core each."""
    are_full: bool
    """There are so many servers for the members that one may have, not for the work."""


def machines(
    users: int, use: Use, costs: Costs, margins: Margins, *, are_gathered: bool = False
) -> Machines:
    """Members of a room are on whichever servers chance has it, or gathered on one."""
    published = users * use.messages / 3600
    rooms = users / use.members
    least = servers = ceil(users / margins.members)
    while True:
        # Servers on which a room has members: each is told of all that is said in it.
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
    """Of all uses, by the number of users; in Markdown."""
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
