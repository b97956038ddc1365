"""The short form of the torture; `tox -e torture` is the long one."""

from __future__ import annotations

from pathlib import Path

from .run import torture


async def test_nothing_is_lost(tmp_path: Path) -> None:
    """Through kills of the server nothing acknowledged is lost, doubled or out of order."""
    report = await torture(tmp_path, rooms=3, clients=12, messages=3000, kills=3, seed=7)
    assert report.faults == []
    assert report.figures["messages acknowledged"] == 3000
    assert report.figures["messages delivered"] > 3000
