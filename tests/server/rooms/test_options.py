"""Tests of server/rooms/options.py."""

from __future__ import annotations

import math

import pytest

from chatify_stream import RoomOptions, UsageError
from chatify_stream.brokers import MemoryBroker
from chatify_stream.rooms import Retention, RetentionRule


def test_by_default() -> None:
    """By default rooms are in memory, with messages of 64 KiB and outboxes of 1 MiB."""
    options = RoomOptions()
    assert (options.broker, options.max_message_size, options.max_outbox) == (
        "memory://",
        64 * 1024,
        1024 * 1024,
    )
    assert isinstance(options.make_broker(), MemoryBroker)
    assert (options.on_join, options.on_message, options.on_leave) == (None, None, None)
    assert not options.service


def test_a_broker_of_ones_own() -> None:
    """A broker object is used unchanged."""
    broker = MemoryBroker()
    assert RoomOptions(broker=broker).make_broker() is broker


async def test_retention() -> None:
    """A broker that is made from a URL has the retention of the options, for each room."""
    rules = [RetentionRule("big-*", Retention(count=3))]
    options = RoomOptions(retention=Retention(count=1), retention_rules=rules)
    broker = options.make_broker()
    assert isinstance(broker, MemoryBroker)
    assert broker._log("lobby")._retention.count == 1
    assert broker._log("big-1")._retention.count == 3


@pytest.mark.parametrize("name", ["max_message_size", "max_outbox"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None, True, 2**31])
def test_sizes_that_cannot_be(name: str, value: object) -> None:
    """Invalid sizes raise UsageError."""
    with pytest.raises(UsageError) as caught:
        RoomOptions(**{name: value})
    assert str(caught.value) == (
        f"{name}: {value!r} is not a size; pass a number of bytes from 1 to 2147483647"
    )


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "5", None])
def test_a_timeout_that_cannot_be(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        RoomOptions(hook_timeout=value)
    assert str(caught.value) == (
        f"hook_timeout: {value!r} is not a time; pass a positive number of seconds"
    )


@pytest.mark.parametrize("name", ["on_join", "on_message", "on_leave"])
def test_hooks_that_cannot_be_called(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: 'x' is not callable; pass an async function"):
        RoomOptions(**{name: "x"})


@pytest.mark.parametrize("url", ["", "memory", "redis-x://", "sqlite://", "http://localhost"])
def test_a_url_that_is_none(url: str) -> None:
    """An invalid URL raises UsageError when the broker is made."""
    with pytest.raises(UsageError):
        RoomOptions(broker=url).make_broker()
