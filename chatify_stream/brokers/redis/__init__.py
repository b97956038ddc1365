"""`redis://`: the rooms in Redis, for any number of servers."""

from __future__ import annotations

try:
    import redis  # noqa: F401 - an extra
except ModuleNotFoundError:
    from ...errors import UsageError

    raise UsageError(
        "a broker in Redis needs redis-py: pip install 'chatify-stream[redis]'"
    ) from None

from .broker import RedisBroker

__all__ = ["RedisBroker"]
