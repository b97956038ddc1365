"""The thread that writes the log."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chatify_stream import Rate
from chatify_stream.cli.logs.background_handler import BackgroundHandler, write_to_standard_error
from chatify_stream.cli.logs.setup import TextFormatter

SECONDS = 60.0
MANY = Rate(1000, 1.0)


class Slow:
    """Accepts one line, and the next ones only when it is released."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.has_one = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line.rstrip("\n").partition(": ")[2])
        self.has_one.set()
        assert self.go_on.wait(SECONDS)


@contextmanager
def logging_to(
    write: Slow, rate: Rate = MANY, max_queued: int = 3, interval: float = 3600.0
) -> Iterator[logging.Logger]:
    """Return a separate logger whose lines `write` gets."""
    log = logging.Logger("chat.x")
    handler = BackgroundHandler(rate, write, max_queued=max_queued, interval=interval)
    handler.setFormatter(TextFormatter())
    log.addHandler(handler)
    handler.start()
    try:
        yield log
    finally:
        write.go_on.set()
        handler.finish(SECONDS)


def test_nobody_waits() -> None:
    """While a line is written, lines wait up to the bound; others are dropped and counted."""
    write = Slow()
    with logging_to(write) as log:
        log.info("%d", 0)
        assert write.has_one.wait(SECONDS)
        for number in range(1, 10):
            log.info("%d", number)
        assert write.lines == ["0"]
    assert write.lines[:4] == ["0", "1", "2", "3"]
    assert write.lines[4:] == ["dropped 6 log lines: the reader of standard error is too slow"]


def test_the_default_bound() -> None:
    """By default at most 5,000 lines wait, so an unread log has bounded memory."""
    write = Slow()
    log, handler = logging.Logger("chat.x"), BackgroundHandler(Rate(10**6, 1.0), write)
    handler.setFormatter(TextFormatter())
    log.addHandler(handler)
    handler.start()
    try:
        log.info("first")
        assert write.has_one.wait(SECONDS)
        for _ in range(5007):
            log.info("more")
    finally:
        write.go_on.set()
        handler.finish(SECONDS)
    assert len(write.lines) == 1 + 5000 + 1
    assert write.lines[-1].startswith("dropped 7 log lines: ")


def test_what_the_rate_left_out_is_said() -> None:
    """At the end, and meanwhile once an interval."""
    write = Slow()
    write.go_on.set()
    with logging_to(write, Rate(1, 0.001)) as log:
        for number in range(5):
            log.info("from %s", number)
    assert write.lines == ["from 0", "suppressed 4 similar records: from %s"]
    write.lines.clear()
    with logging_to(write, Rate(1, 0.001), interval=0.01) as log:
        for number in range(5):
            log.info("from %s", number)
        for _ in range(6000):
            if len(write.lines) > 1:
                break
            threading.Event().wait(0.01)
        assert "suppressed 4 similar records: from %s" in write.lines


def test_values_that_do_not_fit() -> None:
    """A record that cannot be formatted is reported, and the next one is written."""
    write = Slow()
    write.go_on.set()
    with logging_to(write) as log:
        log.info("%d", "no number")
        log.info("%d", 1)
    assert write.lines[0].startswith("cannot format the log message '%d': %d format: ")
    assert write.lines[1:] == ["1"]


def test_values_that_change() -> None:
    """A record shows its values at the time of logging."""
    write, values = Slow(), ["before"]
    with logging_to(write) as log:
        log.info("%s", values)
        values[0] = "after"
    assert write.lines == ["['before']"]


def test_standard_error(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is written to standard error, or discarded if it is closed."""
    write_to_standard_error("wörld\n")
    assert capfd.readouterr().err == "wörld\n"
    monkeypatch.setattr("sys.stderr", None)
    write_to_standard_error("lost\n")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr("sys.stderr", gone)
        write_to_standard_error("lost\n")
