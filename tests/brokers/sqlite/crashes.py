"""The files of a broker as a crash leaves them, and whether what it had acknowledged is there."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.rooms import Draft, Outcome, Publication, Retention
from chatify_stream.rooms.position import Position
from chatify_stream.testing import FakeClock, Recorder

SUFFIXES = ("", "-wal", "-mark")


@dataclass
class Acknowledged:
    """What a broker has acknowledged, by room."""

    publications: defaultdict[str, list[Publication]] = field(
        default_factory=lambda: defaultdict(list)
    )
    newest: dict[str, Position] = field(default_factory=dict)

    async def publish(self, broker: SQLiteBroker, room: str, drafts: list[Draft]) -> None:
        receipts = await broker.publish(room, drafts)
        for draft, receipt in zip(drafts, receipts, strict=True):
            assert receipt.outcome is Outcome.PUBLISHED
            self.publications[room].append(Publication(receipt.position.offset, *draft))
            self.newest[room] = receipt.position


def copy(path: Path, folder: Path) -> Path:
    """Copies the files of a database that nobody writes to just now; returns where it is."""
    for suffix in SUFFIXES:
        file = path.with_name(path.name + suffix)
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    return folder / path.name


async def crashed(
    folder: Path, clock: FakeClock, chance: random.Random, calls: int, count: int = 10_000
) -> tuple[Path, Acknowledged]:
    """The files of a broker that has published in a few rooms, and was killed then."""
    live = folder / "live"
    live.mkdir()
    acknowledged = Acknowledged()
    broker = SQLiteBroker(live / "chat.db", Retention(count=count), clock=clock)
    await broker.open(Recorder())
    for call in range(calls):
        room = f"room {chance.randrange(5)}"
        drafts = [
            Draft(
                f"user {n % 3}",
                "text " * chance.choice([0, 1, 9, 400]),
                f"{call}-{n}",
                clock.now_ms,
            )
            for n in range(chance.choice([1, 1, 2, 30]))
        ]
        await acknowledged.publish(broker, room, drafts)
        clock.advance(chance.choice([0, 0.3]))
    for _ in range(5):  # after each it deletes a little; then nothing is under way
        await broker.unsubscribe("nothing")
    path = copy(live / "chat.db", folder)
    await broker.close()
    return path, acknowledged


async def check(
    path: Path, acknowledged: Acknowledged, clock: FakeClock, count: int = 10_000
) -> None:
    """Everything acknowledged is there. Raises `BrokerError` or `AssertionError` otherwise."""
    broker = SQLiteBroker(path, Retention(count=count), clock=clock)
    try:
        await broker.open(Recorder())
        for room, publications in acknowledged.publications.items():
            page = await broker.read(room, limit=1_000_000)
            assert page.publications == publications[-count:]
            assert page.newest == acknowledged.newest[room]
        for room, publications in acknowledged.publications.items():
            again = await broker.publish(room, [Draft(*each[1:]) for each in publications])
            assert {receipt.outcome for receipt in again} == {Outcome.DUPLICATE}
            assert [r.position.offset for r in again] == [each.offset for each in publications]
    finally:
        await broker.close()
