"""`sqlite:///PATH`: the logs in a file of one server, durable."""

from __future__ import annotations

from .broker import SQLiteBroker

__all__ = ["SQLiteBroker"]
