"""The log, on standard error: lines for people, or JSON lines for programs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from ..config import LogSettings

__all__ = ["JSONFormatter", "configure_logging"]

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JSONFormatter(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logging(settings: LogSettings) -> None:
    """Sends the log of the whole process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JSONFormatter() if settings.format == "json" else logging.Formatter(TEXT_FORMAT)
    )
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # At debug level they tell of their own works, and hpack of every header, tokens included.
    for library in ("asyncio", "h2", "hpack"):
        logging.getLogger(library).setLevel(logging.WARNING)
