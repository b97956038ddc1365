"""Every test file has a tier, and a test that leaves its tier fails."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import nullcontext

import pytest

from .tiers import GUARD, TESTS, TIERS, Tier, tier_of

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
