"""Records of the log as lines: for people, or as JSON for programs.

Whatever a record says, it stays within its line, and moves no cursor (see `safe_text`); only the
stack of an error has lines of its own, in the lines for people.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ..output import safe, safe_json, safe_lines

__all__ = ["JSONFormatter", "TextFormatter", "formatter_of"]


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; then the stack, if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = safe(record.getMessage())
        record.asctime = self.formatTime(record)
        lines = [self.formatMessage(record)]
        if record.exc_info:
            lines += safe_lines(self.formatException(record.exc_info))
        if record.stack_info:
            lines += safe_lines(record.stack_info)
        return "\n".join(lines)


class JSONFormatter(logging.Formatter):
    """One JSON object a line.

    `time` (RFC 3339, UTC), `level`, `logger`, `message`; `error` and `stack` where there are any.
    A record that has `fields` has them beside these, and its `event` for its message.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        fields = getattr(record, "fields", {})
        entry = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": getattr(record, "event", "") if fields else record.getMessage(),
        }
        entry |= fields
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return safe_json(entry)


def formatter_of(name: str) -> logging.Formatter:
    """That of the setting `log.format`."""
    return JSONFormatter() if name == "json" else TextFormatter()
