"""The short form of the torture of nodes; `tox -e torture -- nodes` is the long one."""

from __future__ import annotations

from pathlib import Path

from .nodes import torture_nodes


async def test_nothing_is_lost(tmp_path: Path) -> None:
    """Through the ends of nodes and of Redis, and while a node does not reach it, nothing
    acknowledged is lost, doubled or out of order."""
    report = await torture_nodes(
        tmp_path,
        nodes=3,
        rooms=6,
        clients=24,
        messages=1200,
        kills=2,
        restarts=1,
        partitions=1,
        longest=2.0,
        seed=7,
        say=print,
    )
    assert report.faults == []
    assert report.figures["messages acknowledged"] == 1200
