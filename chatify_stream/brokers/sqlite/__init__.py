"""`sqlite:///PATH`: durable logs in a file, for a single server."""

from .broker import SQLiteBroker

__all__ = ["SQLiteBroker"]
