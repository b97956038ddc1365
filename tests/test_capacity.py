"""The tables of docs/explanation/capacity.md agree: the machines follow from the costs."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXPLANATION = ROOT / "docs" / "explanation"
TEXT = (EXPLANATION / "capacity.md").read_text(encoding="utf-8")
ROWS = {
    "message": "a message, µs of a server",
    "delivery": "a delivery, µs of a server",
    "ping": "a PING and its answer, µs of a server",
    "look": "a look into an idle room, µs of a server",
    "redis_message": "a message, µs of Redis",
    "redis_look": "a look into an idle room, µs of Redis",
    "redis_message_memory": "a message that is kept, bytes in Redis",
    "redis_room_memory": "a room with a member, bytes in Redis",
}


@pytest.fixture(scope="module")
def capacity() -> dict[str, Any]:
    """What examples/capacity.py has."""
    return runpy.run_path(str(ROOT / "examples" / "capacity.py"))


def measured(name: str) -> float:
    """What the table of costs has for Redis."""
    [cell] = re.findall(rf"^\| {re.escape(name)} \|.*\| (\S+) \|$", TEXT, re.MULTILINE)
    return float(cell.replace(",", ""))


def test_the_table(capacity: dict[str, Any]) -> None:
    """The documentation has what the program prints."""
    table: Callable[[], str] = capacity["table"]
    assert f"\n\n{table()}\n\n" in TEXT


def test_the_costs(capacity: dict[str, Any]) -> None:
    """The program counts with what was measured."""
    costs = asdict(capacity["Costs"]())
    assert {name: costs[name] for name in ROWS} == {name: measured(it) for name, it in ROWS.items()}
    listening = measured("with a second server that listens") - measured(ROWS["redis_message"])
    assert costs["redis_listener"] == pytest.approx(listening)
    kilobytes = f"{costs['member_memory'] / 1000:g} kB"
    for text in (TEXT, (EXPLANATION / "benchmark.md").read_text(encoding="utf-8")):
        assert kilobytes in text


def test_more_work_takes_more_machines(capacity: dict[str, Any]) -> None:
    """Twice the messages take more servers; gathered rooms never take more than scattered ones."""
    machines, costs, margins = capacity["machines"], capacity["Costs"](), capacity["Margins"]()
    for use in capacity["USES"]:
        scattered = machines(1_000_000, use, costs, margins)
        gathered = machines(1_000_000, use, costs, margins, are_gathered=True)
        assert gathered.servers <= scattered.servers
        assert gathered.masters <= scattered.masters
    busy = capacity["Use"]("busy", 100, 120)
    assert machines(1_000_000, busy, costs, margins).servers > scattered.servers
