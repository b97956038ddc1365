"""The short form of the rolling restart; `tox -e torture -- rolling` is the long one."""

from __future__ import annotations

from pathlib import Path

from .rolling import roll


async def test_nobody_minds(tmp_path: Path) -> None:
    """No message fails or is lost while all nodes are restarted one after the other."""
    report = await roll(tmp_path, nodes=3, rooms=10, clients=50, rate=100, grace=2.0, seed=7)
    assert report.faults == []
    assert report.figures["failed sends"] == 0
