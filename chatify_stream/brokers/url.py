"""Create brokers from URLs."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.broker_url import check_broker_url
from ..errors import UsageError
from ..rooms import Retention, RetentionRule
from .base import Broker
from .memory import MemoryBroker


def make_broker(
    url: str, retention: Retention | None = None, rules: Sequence[RetentionRule] = ()
) -> Broker:
    """Return the closed broker of a URL.

    `memory://` keeps logs in memory. `sqlite:///chat.db` is a file in the current folder,
    `sqlite:////var/lib/chat.db` an absolute path. `parse_redis_url` describes the Redis URLs, which
    require the extra `redis`. `retention` applies to rooms that match none of `rules`. Raises
    `UsageError` for an invalid URL or a missing extra.
    """
    try:
        check_broker_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if url.startswith("memory:"):
        return MemoryBroker(retention, rules)
    if url.startswith("sqlite:"):
        from .sqlite import SQLiteBroker  # not every Python has sqlite3

        return SQLiteBroker(url.removeprefix("sqlite:///"), retention, rules)
    from .redis import RedisBroker  # an optional dependency

    return RedisBroker(url, retention, rules)
