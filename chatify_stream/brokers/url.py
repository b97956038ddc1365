"""Brokers by URL."""

from __future__ import annotations

from collections.abc import Sequence

from ..chat import Retention, RetentionRule
from ..errors import UsageError
from .base import Broker
from .memory import MemoryBroker

__all__ = ["check_broker_url", "make_broker"]

KINDS = '"memory://" or "sqlite:///PATH"'


def check_broker_url(url: str) -> None:
    """Raises `ValueError` for what is no URL of a broker; whether it works is not looked at."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("memory", "sqlite"):
        raise ValueError(f"there is no broker {url!r}; there are {KINDS}")
    if scheme == "memory" and rest:
        raise ValueError(f'it is "memory://", without {rest!r}')
    if scheme == "sqlite":
        if not rest.startswith("/"):
            raise ValueError(
                "a path follows three slashes: sqlite:///chat.db is in the current folder, "
                "sqlite:////var/lib/chat.db is not"
            )
        if not rest[1:] or "\0" in rest:
            raise ValueError("the path of the file is missing, as in sqlite:///chat.db")


def make_broker(
    url: str, retention: Retention | None = None, rules: Sequence[RetentionRule] = ()
) -> Broker:
    """The broker of a URL, not opened yet. Raises `UsageError` for what is no such URL.

    `sqlite:///chat.db` is a file in the current folder, `sqlite:////var/lib/chat.db` has its whole
    path. `rules` are retentions for rooms of certain names.
    """
    try:
        check_broker_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if url.startswith("memory:"):
        return MemoryBroker(retention, rules)
    from .sqlite import SQLiteBroker  # which not every Python has

    return SQLiteBroker(url.removeprefix("sqlite:///"), retention, rules)
