"""Brokers by URL."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.broker_url import check_broker_url
from ..errors import UsageError
from ..rooms import Retention, RetentionRule
from .base import Broker
from .memory import MemoryBroker

__all__ = ["make_broker"]


def make_broker(
    url: str, retention: Retention | None = None, rules: Sequence[RetentionRule] = ()
) -> Broker:
    """The broker of a URL, not opened yet. Raises `UsageError` for what is no such URL.

    `sqlite:///chat.db` is a file in the current folder, `sqlite:////var/lib/chat.db` has its whole
    path. `redis://HOST` and its kin are those of `parse_redis_url`; they need the extra `redis`,
    which is said when it is missing. `rules` are retentions for rooms of certain names.
    """
    try:
        check_broker_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if url.startswith("memory:"):
        return MemoryBroker(retention, rules)
    if url.startswith("sqlite:"):
        from .sqlite import SQLiteBroker  # which not every Python has

        return SQLiteBroker(url.removeprefix("sqlite:///"), retention, rules)
    from .redis import RedisBroker  # which is an extra

    return RedisBroker(url, retention, rules)
