"""Records of the log as lines."""

import json
import logging
import sys
from datetime import datetime, timedelta

from chatify_stream.cli.logs.setup import JSONFormatter, TextFormatter


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


def test_fields() -> None:
    """A record with fields has them in its JSON, and its event for a message."""
    made = record("session closed: %s", "user='ada'")
    made.event, made.fields = "session closed", {"user": "ada", "duration": 1.5}
    entry = json.loads(JSONFormatter().format(made))
    assert (entry["message"], entry["user"], entry["duration"]) == ("session closed", "ada", 1.5)


def test_a_stack() -> None:
    """A stack is in the line of JSON, and under the line for people."""
    made = record("it is in")
    made.stack_info = "  File x.py\n    sleep()"
    assert json.loads(JSONFormatter().format(made))["stack"] == made.stack_info
    assert TextFormatter().format(made).splitlines()[1:] == ["  File x.py", "    sleep()"]


def test_what_strangers_wrote() -> None:
    """Line ends, escape sequences and reversed text stay escaped within the line."""
    for formatter in (TextFormatter(), JSONFormatter()):
        line = formatter.format(record("%s left", "a\nERROR b\x1b[2J\u202e\u2028"))
        assert line.isprintable()
        assert "left" in line


def test_what_strangers_made_fail() -> None:
    """The text of an exception moves no cursor either."""
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        lines = TextFormatter().format(record("failed", error=True)).splitlines()
    assert lines[-1] == r"ValueError: \x1b[2J"
