"""A server that is killed at any moment has lost nothing that it acknowledged."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.rooms import Draft, Outcome, Retention
from chatify_stream.testing import Recorder

from ...e2e.processes import Process
from .publisher import text_of

ROOMS = 7


def kill_at_random(
    path: Path, name: str, kept: int, chance: random.Random
) -> list[tuple[str, str, int]]:
    """Publishes for a moment; returns room, id and offset of what was acknowledged."""
    program = [sys.executable, "-m", "tests.brokers.sqlite.publisher", path]
    argv = [*program, name, str(ROOMS), "20", str(kept)]
    enough = chance.choice([1, 2, 10, 100, 1000, 5000])
    with Process(*argv) as process:
        assert process.read_line() == "open"
        for _ in range(enough):
            process.read_line()
        process.kill()
        written = process.stdout()
    lines = written[: written.rfind("\n")].splitlines()[1:]
    return [(room, message_id, int(offset)) for room, message_id, offset in map(str.split, lines)]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kept"), [(1, 1_000_000), (2, 1_000_000), (3, 30)])
async def test_killed_again_and_again(tmp_path: Path, seed: int, kept: int) -> None:
    """What was acknowledged is there, offsets have no hole, and no id is published twice."""
    path, chance = tmp_path / "chat.db", random.Random(seed)
    acknowledged: dict[tuple[str, int], str] = {}
    for round_number in range(6):
        for room, message_id, offset in kill_at_random(path, f"run-{round_number}", kept, chance):
            assert (room, offset) not in acknowledged
            acknowledged[room, offset] = message_id
    broker = SQLiteBroker(path, Retention(count=kept))
    await broker.open(Recorder())
    found: dict[tuple[str, int], str] = {}
    oldest: dict[str, int] = {}
    for room in (f"room-{n}" for n in range(ROOMS)):
        page = await broker.read(room, limit=1_000_000)
        oldest[room] = max(1, page.newest.offset + 1 - kept)
        expected = list(range(oldest[room], page.newest.offset + 1))
        assert [p.offset for p in page.publications] == expected
        for publication in page.publications:
            assert publication.text == text_of(publication.id)
            found[room, publication.offset] = publication.id
        assert len({p.id for p in page.publications}) == len(page.publications)
    for (room, offset), message_id in acknowledged.items():
        if offset >= oldest[room]:
            assert found[room, offset] == message_id
    now_ms = int(time.time() * 1000)
    for (room, offset), message_id in chance.sample(sorted(acknowledged.items()), 100):
        [receipt] = await broker.publish(
            room, [Draft("ada", text_of(message_id), message_id, now_ms)]
        )
        assert (receipt.outcome, receipt.position.offset) == (Outcome.DUPLICATE, offset)
    await broker.close()
