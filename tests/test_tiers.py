"""Every test file has a tier, and a test that leaves its tier fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from .tiers import GUARD, TESTS, TIERS, Tier, default_expression, tier_of

ALLOWED = nullcontext()


def test_every_file_has_a_tier() -> None:
    """The table covers each test file, and names no file or folder that does not exist."""
    for file in TESTS.rglob("test_*.py"):
        assert tier_of(file) in Tier
    assert [path for path in TIERS if not (TESTS / path).exists()] == []


def test_a_file_without_tier() -> None:
    """A file that the table does not cover is an error that says where to add it."""
    with pytest.raises(KeyError, match=r"test_new\.py: no tier; add .* to TIERS"):
        tier_of(TESTS / "test_new.py")


def test_default_tiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first environment of a tox run has the process tier, again and again; others do not."""
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))
    quick, all_three = "unit or integration", "unit or integration or (process and not slow)"
    selected = []
    for run, name in [(1, "a"), (1, "b"), (1, "a"), (2, "b"), (2, "a")]:
        monkeypatch.setattr(os, "getppid", lambda run=run: run)
        monkeypatch.setenv("TOX_ENV_NAME", name)
        selected.append(default_expression())
    assert selected == [all_three, quick, all_three, all_three, quick]
    monkeypatch.delenv("TOX_WORK_DIR")
    assert default_expression() == all_three


@pytest.mark.process
@pytest.mark.parametrize("tier", Tier)
def test_a_process(tier: Tier) -> None:
    """Only the two slower tiers may start processes."""
    refused = tier in (Tier.UNIT, Tier.INTEGRATION)
    with pytest.raises(AssertionError, match=r"started .*python") if refused else ALLOWED:
        with GUARD.watch(tier):
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)


@pytest.mark.process
@pytest.mark.parametrize("tier", Tier)
def test_a_socket(tier: Tier) -> None:
    """All tiers but the first may bind sockets."""
    with pytest.raises(AssertionError, match=r"127\.0\.0\.1") if tier is Tier.UNIT else ALLOWED:
        with GUARD.watch(tier), socket.create_server(("127.0.0.1", 0)):
            pass
