"""The short form of the attacks; `tox -e attacks` is the long one, with a thousand connections.

The server has its default settings, but for the times that it waits for somebody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .run import Scene, scene
from .table import ATTACKS, Attack, Form

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not Path("/proc/self/smaps_rollup").exists(),
        reason="a process is looked at as Linux has it",
    ),
]

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"

SHORT = Form(scale=0.1, drip=0.05)

TIMES = {
    "handshake_timeout": 1,
    "first_call_timeout": 3,
    "keepalive_time": 1,
    "keepalive_timeout": 4,
    "write_timeout": 1,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Scene]:
    env = {f"CHATIFY_STREAM_LIMITS_{name.upper()}": str(time) for name, time in TIMES.items()}
    async with scene(time_to_settle=0.1, env=env) as prepared:
        yield prepared


AT_ONCE = [name for name, each in ATTACKS.items() if not (each.takes_time or each.with_tokens)]


def connections(attack: Attack) -> int:
    """A fiftieth of those of the long form."""
    return max(1, attack.together // 50)


@pytest.mark.parametrize("name", AT_ONCE)
async def test_an_attack(here: Scene, name: str) -> None:
    """It is cut off or held, as documented; nobody else notices, and nothing is left of it."""
    outcome = await here.make([ATTACKS[name]], SHORT, connections(ATTACKS[name]))
    assert not outcome.faults, outcome


async def test_attacks_that_take_time(here: Scene) -> None:
    """Who is slow, silent, or does not read is waited for so long as the limits say."""
    slow = [attack for attack in ATTACKS.values() if attack.takes_time]
    outcome = await here.make(slow, SHORT, 3)
    assert not outcome.faults, outcome


async def test_attacks_by_tokens() -> None:
    """No token that is wrong in any way is let in."""
    by_tokens = [attack for attack in ATTACKS.values() if attack.with_tokens]
    async with scene(time_to_settle=0.1, with_tokens=True) as here:
        outcome = await here.make(by_tokens, SHORT, 2)
        assert not outcome.faults, outcome


async def test_the_documentation_has_each_attack() -> None:
    """And what its attacker sees."""
    rows = [line.split(" | ") for line in SECURITY.read_text().splitlines() if line[:2] == "| "]
    told = {row[0][2:]: row[-1][:-2].strip("`") for row in rows}
    assert {name: told.get(name) for name in ATTACKS} == {
        name: attack.sees for name, attack in ATTACKS.items()
    }
