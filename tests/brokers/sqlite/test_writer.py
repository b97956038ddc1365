"""Tests of brokers/sqlite/writer.py: what the contract does not see."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.brokers.sqlite.commit_marker import CommitMarker
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft, Outcome
from chatify_stream.testing import FakeClock, Recorder

from .opened import NOW_MS, drafts, opened


async def test_a_mark_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message whose mark fails is not acknowledged, and told of, since it is in the log."""
    recorder = Recorder()
    broker = SQLiteBroker(tmp_path / "chat.db", clock=FakeClock())
    await broker.open(recorder)
    await broker.subscribe("lobby")
    draft = Draft("ada", "a", "1", NOW_MS)

    def fail(mark: CommitMarker, sequence: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(CommitMarker, "write", fail)
        with pytest.raises(BrokerError, match="the disk reports an error: Input/output error"):
            await broker.publish("lobby", [draft])
    assert recorder.offsets("lobby") == [1]
    [again] = await broker.publish("lobby", [draft])
    [other] = await broker.publish("lobby", drafts("b"))
    assert (again.outcome, again.position.offset) == (Outcome.DUPLICATE, 1)
    assert other.position.offset == 2
    await broker.close()
    async with opened(tmp_path / "chat.db") as broker:
        assert (await broker.read("lobby", limit=10)).newest.offset == 2


async def test_a_fault_of_the_caller(tmp_path: Path) -> None:
    """What nobody has checked fails its batch, and leaves nothing of it behind."""
    async with opened(tmp_path / "chat.db") as broker:
        good, bad = (Draft("ada", "a", i, NOW_MS) for i in "12")
        for wrong in (bad._replace(text=None), bad._replace(sent_at_ms=2**70)):  # type: ignore[arg-type]
            with pytest.raises(BrokerError, match="internal error: "):
                await broker.publish("lobby", [good, wrong])
        receipts = await broker.publish("lobby", [good, bad])
        assert [(r.outcome, r.position.offset) for r in receipts] == [
            (Outcome.PUBLISHED, 1),
            (Outcome.PUBLISHED, 2),
        ]


async def test_what_is_no_text(tmp_path: Path) -> None:
    """What cannot be written is refused before it is among what others publish."""
    async with opened(tmp_path / "chat.db") as broker:
        with pytest.raises(UnicodeEncodeError):
            await broker.publish("lobby", drafts(["a", "\ud800"]))
        [receipt] = await broker.publish("lobby", drafts("b"))
        assert receipt.position.offset == 1
