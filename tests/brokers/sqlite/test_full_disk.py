"""A disk that is full, or fails: nothing acknowledged is lost, and it goes on when it is better."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.brokers.sqlite.errors import FULL
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft, Retention
from chatify_stream.testing import FakeClock, Recorder

from .crashes import Acknowledged, check, copy
from .mounts import fill, small_disk
from .opened import opened

numbers = count()


def batch(size: int, clock: FakeClock) -> list[Draft]:
    return [Draft("ada", "x" * 1500, f"id {next(numbers)}", clock.now_ms) for _ in range(size)]


async def publish_until_full(broker: SQLiteBroker, room: str, acknowledged: Acknowledged) -> None:
    clock = FakeClock()
    with pytest.raises(BrokerError) as caught:
        while True:
            await acknowledged.publish(broker, room, batch(20, clock))
    assert caught.value.reason == FULL


@pytest.mark.parametrize("space", [300_000, 7_000_000])  # the log does not begin anew, or does
async def test_full(tmp_path: Path, space: int) -> None:
    """A full disk refuses messages, and nothing else; once there is space, it takes them again."""
    clock, acknowledged = FakeClock(), Acknowledged()
    with small_disk(tmp_path / "disk", "64m") as disk:
        path = disk / "chat.db"
        async with opened(path, Retention(count=100_000)) as broker:
            for round_number in range(3):
                ballast = fill(disk)
                os.truncate(ballast, ballast.stat().st_size - space)
                await publish_until_full(broker, "lobby", acknowledged)
                for _ in range(3):
                    with pytest.raises(BrokerError):
                        await broker.publish("lobby", batch(50, clock))
                page = await broker.read("lobby", limit=100_000)
                assert page.publications == acknowledged.publications["lobby"]
                await broker.subscribe("lobby")
                await broker.unsubscribe("lobby")
                ballast.unlink()
                await acknowledged.publish(broker, "lobby", batch(20, clock))
                await acknowledged.publish(broker, f"room {round_number}", batch(1, clock))
            folder = tmp_path / "copy"
            folder.mkdir()
            await check(copy(path, folder), acknowledged, clock, 100_000)  # had it crashed here
        await check(path, acknowledged, clock, 100_000)


async def test_others_of_the_batch(tmp_path: Path) -> None:
    """What needs no writing is done, though it came together with what cannot be written."""
    clock, recorder = FakeClock(), Recorder()
    with small_disk(tmp_path / "disk", "8m") as disk:
        broker = SQLiteBroker(disk / "chat.db", clock=clock)
        await broker.open(recorder)
        [first] = batch(1, clock)
        await broker.publish("lobby", [first])
        ballast = fill(disk)
        results = await asyncio.gather(
            broker.publish("lobby", batch(500, clock)),
            broker.subscribe("lobby"),
            broker.publish("lobby", batch(500, clock)),
            broker.subscribe("attic"),
            broker.publish("lobby", [first]),
            broker.unsubscribe("lobby"),
            broker.read("lobby", limit=10),
            broker.read("cellar", limit=10),
            return_exceptions=True,
        )
        refused = [isinstance(result, BrokerError) for result in results]
        assert refused == [True, False, True, True, False, False, False, True]
        assert [each.offset for each in recorder.begun["lobby"]] == [1]
        ballast.unlink()
        await broker.subscribe("attic")
        [receipt] = await broker.publish("lobby", batch(1, clock))
        assert receipt.position.offset == 2
        await broker.close()
        assert recorder.delivered == {}


async def test_ids_of_what_was_refused(tmp_path: Path) -> None:
    """What was refused can be published again, with its id, and is not taken for a repetition."""
    clock = FakeClock()
    with small_disk(tmp_path / "disk", "8m") as disk:
        async with opened(disk / "chat.db") as broker:
            await broker.publish("lobby", batch(1, clock))
            ballast = fill(disk)
            drafts = batch(500, clock)
            with pytest.raises(BrokerError):
                await broker.publish("lobby", drafts)
            ballast.unlink()
            receipts = await broker.publish("lobby", drafts)
            assert [receipt.position.offset for receipt in receipts] == list(range(2, 502))


SCRIPT = """
import asyncio, resource, sys
from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.rooms import Draft
from chatify_stream.errors import BrokerError
from chatify_stream.testing import FakeClock, Recorder

def draft(n):
    return Draft("ada", "x" * 500, f"id {n}", FakeClock().now_ms)

async def main(path):
    broker = SQLiteBroker(path, clock=FakeClock())
    await broker.open(Recorder())
    acknowledged = 0
    for limit in (300_000, 600_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            while True:
                [receipt] = await broker.publish("lobby", [draft(acknowledged)])
                acknowledged += 1
                assert receipt.position.offset == acknowledged
        except BrokerError as error:
            print(error.reason)
        assert len((await broker.read("lobby", limit=10_000)).publications) == acknowledged
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    await broker.publish("lobby", [draft(acknowledged)])
    await broker.close()
    broker = SQLiteBroker(path, clock=FakeClock())
    await broker.open(Recorder())
    assert len((await broker.read("lobby", limit=10_000)).publications) == acknowledged + 1
    await broker.close()
    print("done")

asyncio.run(main(sys.argv[1]))
"""


def test_error_of_the_disk(tmp_path: Path) -> None:
    """A write that fails refuses its messages, says why, and costs nothing acknowledged."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "chat.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stderr == ""
    first, second, done = run.stdout.splitlines()
    assert done == "done"
    assert first.startswith("the disk reports an error: disk I/O error (SQLITE_IOERR")
    assert second.startswith("the disk reports an error: disk I/O error (SQLITE_IOERR")
