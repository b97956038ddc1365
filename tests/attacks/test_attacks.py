"""The short form of the attacks; `tox -e attacks` is the long one.

The server has its default settings, but where an attack is about a time that the server waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .run import Scene, scene
from .sites import DEFAULT, SITES, Site
from .table import ATTACKS, Attack, Form

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not Path("/proc/self/smaps_rollup").exists(),
        reason="a process is looked at as Linux has it",
    ),
]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "attacks.md"

SHORT = Form(scale=0.1, drip=0.2)

TIMES = {
    "handshake_timeout": 3,
    "first_call_timeout": 6,
    "keepalive_time": 1,
    "keepalive_timeout": 4,
    "write_timeout": 1,
}


ENV = {f"CHATIFY_STREAM_LIMITS_{name.upper()}": str(time) for name, time in TIMES.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Scene]:
    async with scene(time_to_settle=0.1) as prepared:
        yield prepared


AT_ONCE = [name for name, each in ATTACKS.items() if each.site is DEFAULT and not each.takes_time]


BY_A_THOUSAND = {
    "ping flood",
    "pushed promises",
    "a window of all too large",
    "another protocol",
    "tls to a port without it",
    "continuation flood",
    "a number of 16000 bytes",
    "a reference to nothing",
    "a message of four gigabytes",
    "stream numbers used up",
}
"""They cost the server little, and end the same way however busy it is."""


def connections(attack: Attack) -> int:
    """A fiftieth of those of the long form, or all."""
    return attack.together if attack.name in BY_A_THOUSAND else max(1, attack.together // 50)


@pytest.mark.parametrize("name", AT_ONCE)
async def test_an_attack(here: Scene, name: str) -> None:
    """It is cut off or held, as documented; nobody else notices, and nothing is left of it."""
    outcome = await here.make([ATTACKS[name]], SHORT, connections(ATTACKS[name]))
    assert not outcome.faults, outcome


async def test_attacks_that_take_time() -> None:
    """A peer that is slow, silent, or does not read is disconnected when the limits say so."""
    slow = [each for each in ATTACKS.values() if each.site is DEFAULT and each.takes_time]
    async with scene(time_to_settle=0.1, env=ENV) as here:
        outcome = await here.make(slow, SHORT, 3)
        assert not outcome.faults, outcome


@pytest.mark.parametrize("site", SITES[1:], ids=lambda site: site.name)
async def test_attacks_on_what_is_off_by_default(site: Site) -> None:
    """Tokens, TLS, proxies and limits of use hold whoever means harm, all of them at once."""
    attacks = [attack for attack in ATTACKS.values() if attack.site is site]
    async with scene(site, time_to_settle=0.1, env=ENV) as here:
        outcome = await here.make(attacks, SHORT, 2)
        assert not outcome.faults, outcome


async def test_the_documentation_has_each_attack() -> None:
    """And what its attacker sees."""
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line[:2] == "| "]
    told = {row[0][2:]: row[-1][:-2].strip("`") for row in rows}
    assert {name: told.get(name) for name in ATTACKS} == {
        name: attack.sees for name, attack in ATTACKS.items()
    }
