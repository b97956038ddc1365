"""The log."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from chatify_stream.cli.logs import JSONFormatter, configure_logging
from chatify_stream.config import LogSettings


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was when the test ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    asyncio_level = logging.getLogger("asyncio").level
    for handler in handlers:  # basicConfig would close them
        root.removeHandler(handler)
    yield root
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(asyncio_level)


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if error else None
    return logging.LogRecord("chat.x", logging.WARNING, "x.py", 1, message, args, info)


def test_json() -> None:
    """A line is a JSON object with time, level, logger and message."""
    made = record("%s sent %d\nlines", "小明", 2)
    line = JSONFormatter().format(made)
    assert "\n" not in line
    assert "小明" in line
    entry = json.loads(line)
    time = datetime.fromisoformat(entry.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert abs(time.timestamp() - made.created) < 0.001
    assert entry == {"level": "warning", "logger": "chat.x", "message": "小明 sent 2\nlines"}


def test_json_traceback() -> None:
    """An exception is in the same line, whole."""
    try:
        raise ValueError("boom")
    except ValueError:
        line = JSONFormatter().format(record("failed", error=True))
    assert "\n" not in line
    error = json.loads(line)["error"]
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("\nValueError: boom")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    """What is below the level is not logged, and all goes to standard error."""
    configure_logging(LogSettings(level=level, format="json"))
    log = logging.getLogger("chat.x")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("message")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["level"] for line in captured.err.splitlines()] == shown


def test_text(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for people has time, level, logger and message."""
    configure_logging(LogSettings())
    logging.getLogger("chat.x").info("hello %s", "小明")
    time, rest = capsys.readouterr().err.split(" INFO ")
    assert datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f")
    assert rest == "   chat.x: hello 小明\n"


def test_configured_again(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Configured twice, a message is logged once."""
    configure_logging(LogSettings())
    configure_logging(LogSettings())
    logging.getLogger("chat.x").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_asyncio_is_quiet(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """asyncio's own debug messages are left out, its warnings are not."""
    configure_logging(LogSettings(level="debug"))
    logging.getLogger("asyncio").debug("Using selector")
    logging.getLogger("asyncio").warning("slow")
    error = capsys.readouterr().err
    assert "Using selector" not in error
    assert "slow" in error
