"""The short form of the torture by losses; `tox -e torture -- losses` is the long one."""

from __future__ import annotations

from pathlib import Path

from .losses import torture_by_losses


async def test_everybody_is_told(tmp_path: Path) -> None:
    """When Redis was flushed or is an older copy, each client is told of the new epoch first."""
    report = await torture_by_losses(
        tmp_path, nodes=2, rooms=4, clients=12, losses=2, rate=150, apart=0.0, seed=7
    )
    assert report.faults == []
    assert report.figures["new epochs told"] == 2 * 12
