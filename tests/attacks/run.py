"""Makes attacks on a server, with a bystander, and looks at what each of them did.

One connection attacks, then many at once. Each time the attackers have to see what the table says.
The server's memory may grow only up to a limit, at the worst moment and when the attack is over. It
has to close what it had opened, log no traceback and little else, and answer a new client. And the
bystander has to have got every answer, in a time that bears comparison with a control: how long its
answers took in the same run before any attack.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..bench.measure import raise_file_limit
from ..e2e.processes import Process
from . import (  # noqa: F401
    floods,
    flow,
    handshakes,
    headers,
    messages,
    proxied,
    refusals,
    resets,
    rooms,
    tls,
    tokens,
    usage,
)
from .attacker import attacker, call, message
from .server import AttackedServer, Seen
from .sites import DEFAULT, Prepared, Site, prepared
from .table import ATTACKS, Attack, Form

__all__ = ["Outcome", "Scene", "scene"]

MEGABYTE = 1024 * 1024

MOST_EACH, MOST_TOGETHER = 8.0, 320.0
"""Megabytes by which the server may grow by an attacker, and by however many at once."""

BYSTANDERS = 0.1
"""Megabytes a second by which their room grows, while it has less than it keeps."""

MOST_LINES, LINES_A_SECOND = 300, 50
"""Of the log, for one attack; the setting `log.rate` has how many of one kind it takes."""

MAX_LOG_BYTES, LOG_BYTES_A_SECOND = 100_000, 15_000
"""Of the log, for one attack: a line has about 150 bytes."""

MAX_SLOWDOWN, MORE_ATTACKERS = 50, 100
"""The median of the bystander may be at most `MAX_SLOWDOWN` times the 99th percentile of the
control, and as much again for each `MORE_ATTACKERS`: on an idle machine 50 ms for few attackers."""

CONTROL = 50
"""Answers of each of the bystander's sessions that the control has."""

PATIENCE = 60.0

WARMING = Form(scale=0.05, drip=0.1)


@dataclass(frozen=True)
class Outcome:
    """What one attack, by one connection or by many, did."""

    attack: str
    connections: int
    seconds: float
    peak: float
    """Megabytes that the server grew by, at the most."""
    grown: float
    """Megabytes that it still has, when the attack is over."""
    lines: int
    """That it logged."""
    log_bytes: int
    control: float
    """The bystander's p99 before all attacks, in milliseconds."""
    median: float
    during: float
    """Its median and its p99 during the attack."""
    worst: float
    faults: list[str]

    def __str__(self) -> str:
        return (
            f"{self.attack[:50]:50} {self.connections:5} {self.seconds:6.1f} s"
            f" {self.peak:7.1f} {self.grown:7.1f} MiB {self.lines:4} lines"
            f" {self.log_bytes:7} B {self.control:6.1f} {self.median:6.1f}"
            f" {self.during:7.1f} {self.worst:8.1f} ms"
        )


class Scene:
    """A server and its bystander."""

    def __init__(
        self, server: AttackedServer, bystander: Process, site: Prepared, time_to_settle: float
    ) -> None:
        self.server = server
        self._site = site
        self._context = site.context()
        self._time_to_settle = time_to_settle
        self._bystander = bystander

    async def make(self, attacks: Sequence[Attack], form: Form, connections: int) -> Outcome:
        """These attacks at once, each by so many connections."""
        server = self.server
        await self.ask_bystander()
        logged = len(server.stderr())
        server.forget_peak()
        at_first = server.seen()
        loop = asyncio.get_running_loop()
        started = loop.time()
        results = await asyncio.gather(
            *(self._attack(attack, form) for attack in attacks for _ in range(connections)),
            return_exceptions=True,
        )
        seconds = loop.time() - started
        during = await self.ask_bystander()
        peak = server.peak() - at_first.resident
        await self._talk()
        attackers = len(attacks) * connections
        allowed = min(attackers * MOST_EACH, MOST_TOGETHER) + BYSTANDERS * seconds
        left = await self._settled(at_first)
        log = server.stderr()[logged:]
        faults = _surprises([attack for attack in attacks for _ in range(connections)], results)
        if peak > allowed * MEGABYTE:
            faults.append(f"grew by {peak / MEGABYTE:.1f} MiB at the most")
        grown = left.resident - at_first.resident
        if grown > allowed * MEGABYTE:
            faults.append(f"has grown by {grown / MEGABYTE:.1f} MiB")
        if "Traceback" in log:
            faults.append(f"a traceback: {log[-2000:]}")
        if any(not line.isprintable() for line in log.split("\n")):
            faults.append("what moves a cursor was logged")
        lines = log.count("\n")
        if lines > MOST_LINES + LINES_A_SECOND * seconds:
            faults.append(f"{lines} lines were logged, such as {log[:300]!r}")
        log_bytes = len(log.encode())
        if log_bytes > MAX_LOG_BYTES + LOG_BYTES_A_SECOND * seconds:
            faults.append(f"{log_bytes} bytes were logged, such as {log[:300]!r}")
        slowdown = MAX_SLOWDOWN * (1 + attackers / MORE_ATTACKERS)
        if during["p50"] > slowdown * self._control["p99"]:
            faults.append(
                f"the bystander waited {during['p50'] * 1000:.1f} ms for half of its answers; "
                f"without attacks {self._control['p99'] * 1000:.1f} ms for nearly all"
            )
        return Outcome(
            ", ".join(attack.name for attack in attacks),
            connections,
            seconds,
            peak / MEGABYTE,
            grown / MEGABYTE,
            lines,
            log_bytes,
            self._control["p99"] * 1000,
            during["p50"] * 1000,
            during["p99"] * 1000,
            during["worst"] * 1000,
            faults,
        )

    async def _attack(self, attack: Attack, form: Form) -> str:
        async with attacker(
            self.server.port,
            attack.greeting,
            address=attack.address,
            context=None if attack.in_the_clear else self._context,
        ) as connected:
            return await attack.run(connected, form)

    async def ask_bystander(self, new_answers: int = 3) -> dict[str, Any]:
        """How it went since the last time, once each of its sessions has had these answers."""
        with suppress(BrokenPipeError):  # it has ended, as the next line finds out
            self._bystander.write_line(f"{new_answers}")
        line = await asyncio.to_thread(self._bystander.read_line, PATIENCE)
        assert line is not None, f"the bystander was dropped: {self._bystander.stderr()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _talk(self) -> None:
        """A new client is answered."""
        token = self._site.token
        fields = [("authorization", f"Bearer {token}")] if token else []
        async with attacker(self.server.port, context=self._context) as client:
            await client.send(call(1, *fields), message(1, ends=True))
            assert await client.answer(1) == "OK"

    async def _settled(self, at_first: Seen) -> Seen:
        """What the server holds once it holds no more than at first, or has had time to."""
        async with asyncio.timeout(PATIENCE):
            while self.server.seen().descriptors > at_first.descriptors:
                await asyncio.sleep(0.02)
        deadline = asyncio.get_running_loop().time() + self._time_to_settle
        while (seen := self.server.seen()).resident > at_first.resident:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        return seen

    async def warm_up(self) -> None:
        """What the server does for the first time takes memory, too."""
        await self._talk()
        if not (self._site.options or self._site.env):
            for name in ("ping flood", "a thousand idle calls", "coming and going"):
                await self._attack(ATTACKS[name], WARMING)
        await self.ask_bystander()
        self._control = await self.ask_bystander(CONTROL)


def _surprises(attacks: Sequence[Attack], results: Sequence[str | BaseException]) -> list[str]:
    """What was not seen as it had to be; the first of each kind."""
    wrong = (
        f"{attack.name}: saw {result!r}, not {attack.sees!r}"
        for attack, result in zip(attacks, results, strict=True)
        if result != attack.sees
    )
    return list(dict.fromkeys(wrong))[:5]


@asynccontextmanager
async def scene(
    site: Site = DEFAULT, *, time_to_settle: float, env: dict[str, str] | None = None
) -> AsyncIterator[Scene]:
    """A server that runs, and its bystander, who is here all the time.

    `time_to_settle`: seconds that the server has to give back its memory.
    """
    raise_file_limit()
    with ExitStack() as stack:
        ready = stack.enter_context(prepared(site))
        server = stack.enter_context(
            AttackedServer("serve", *ready.options, env={**ready.env, **(env or {})})
        )
        speaking = [sys.executable, "-m", f"{__package__}.bystander", str(server.port)]
        speaking += [ready.token, ready.authority]
        bystander = stack.enter_context(Process(*speaking, interactive=True))
        here = Scene(server, bystander, ready, time_to_settle)
        await here.warm_up()
        yield here
        await here.ask_bystander()
        assert "Traceback" not in server.stderr()
