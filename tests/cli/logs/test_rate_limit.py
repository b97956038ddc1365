"""The rate limit of similar log records."""

import logging

from chatify_stream import Rate
from chatify_stream.cli.logs.background_handler import MAX_KINDS, LogRate


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("chat.x", level, "x.py", 1, message, args, None)


def test_a_burst_and_then_a_rate() -> None:
    """A burst of similar records is allowed, and then a rate, whatever their values."""
    rate = LogRate(Rate(2, 1.0))
    assert [rate.allows(record("from %s", n), 0.0) for n in range(4)] == [True, True, False, False]
    assert [rate.allows(record("from %s", n), 1.0) for n in range(2)] == [True, False]


def test_kinds_are_apart() -> None:
    """A flood of one message does not suppress another message or level."""
    rate = LogRate(Rate(1, 1.0))
    assert rate.allows(record("a"), 0.0)
    assert not rate.allows(record("a"), 0.0)
    assert rate.allows(record("b"), 0.0)
    assert rate.allows(record("a", level=logging.ERROR), 0.0)


def test_what_was_left_out_is_told_once() -> None:
    """A record reports the number of suppressed records with their template."""
    rate = LogRate(Rate(1, 0.001))
    for number in range(5):
        rate.allows(record("from %s", number), 0.0)
    (told,) = rate.summaries(1.0)
    assert told.getMessage() == "suppressed 4 similar records: from %s"
    assert (told.name, told.levelno) == ("chat.x", logging.INFO)
    assert list(rate.summaries(1.0)) == []


def test_kinds_without_number() -> None:
    """Messages that are all different do not fill the memory, nor the disk."""
    rate = LogRate(Rate(1, 0.001))
    taken = sum(rate.allows(record(f"number {number}"), 0.0) for number in range(3 * MAX_KINDS))
    assert taken == MAX_KINDS + 1
    assert len(rate._buckets) == MAX_KINDS + 1


def test_kinds_are_forgotten() -> None:
    """A kind without recent records uses no memory."""
    rate = LogRate(Rate(2, 1.0))
    rate.allows(record("a"), 0.0)
    list(rate.summaries(0.5))
    assert rate._buckets
    list(rate.summaries(9.0))
    assert not rate._buckets


def test_another_rate() -> None:
    """It counts from the change on."""
    rate = LogRate(Rate(1, 0.001))
    assert rate.allows(record("a"), 0.0)
    rate.change(Rate(2, 0.001))
    assert [rate.allows(record("a"), 0.0) for _ in range(3)] == [True, True, False]
