"""Programs that tests need, and the answer when one is missing.

On a developer's machine the test is skipped. On CI, where the variable `CI` is set, it fails.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["find_tool", "missing"]


def find_tool(name: str) -> str:
    """Return the path of a program; skip the test, or fail it on CI, if it is not installed."""
    return shutil.which(name) or missing(f"{name} is not installed")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it on CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
