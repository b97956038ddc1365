"""Format log records as text for people or as JSON for programs.

A record is one line, and its text is escaped for a terminal (see `cli.output`). Only the stack of
an error takes further lines, in the text format.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ..output import safe, safe_json, safe_lines


class TextFormatter(logging.Formatter):
    """Formats time, level, logger and message, followed by the stack of an error."""

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
    """Formats one JSON object a line.

    Its keys are `time` (RFC 3339, UTC), `level`, `logger` and `message`, and `error` and `stack` if
    present. A record with the attribute `fields` adds them, and has its `event` as the message.
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


def make_formatter(name: str) -> logging.Formatter:
    """Return the formatter for a value of the setting `log.format`."""
    return JSONFormatter() if name == "json" else TextFormatter()
