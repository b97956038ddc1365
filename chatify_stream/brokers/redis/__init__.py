"""`redis://`: rooms in Redis, shared by any number of servers."""

try:
    import redis  # noqa: F401 - an optional dependency
except ModuleNotFoundError:
    from ...errors import UsageError

    raise UsageError("redis:// requires redis-py; pip install 'chatify-stream[redis]'") from None

from .broker import RedisBroker

__all__ = ["RedisBroker"]
