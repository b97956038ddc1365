"""Tests of brokers/sqlite/lock.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chatify_stream.brokers.sqlite.commit_marker import try_lock

from ...e2e.processes import Process

SCRIPT = """
import os, sys, time
from chatify_stream.brokers.sqlite.commit_marker import try_lock
print(try_lock(os.open(sys.argv[1], os.O_RDWR)), flush=True)
time.sleep(60)
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    """Of two who open a file one has the lock, until it closes the file."""
    path = tmp_path / "file"
    with path.open("w") as first, path.open("w") as second:
        assert try_lock(first.fileno())
        assert not try_lock(second.fileno())
        first.close()
        assert try_lock(second.fileno())


@pytest.mark.process
def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """The lock of a process ends with it, even if it is killed."""
    path = tmp_path / "file"
    with path.open("w") as ours:
        with Process(sys.executable, "-c", SCRIPT, path) as process:
            assert process.read_line() == "True"
            assert not try_lock(ours.fileno())
            process.kill()
            assert try_lock(ours.fileno())
