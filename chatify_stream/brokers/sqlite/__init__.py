"""`sqlite:///PATH`: durable logs in a file, for a single server."""

from __future__ import annotations

from .broker import SQLiteBroker

__all__ = ["SQLiteBroker"]
