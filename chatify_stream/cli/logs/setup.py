"""Set up the log on standard error, and log errors that no code has handled.

A record is one line, and its text is escaped for a terminal (see `cli.output`). Only the stack of
an error takes further lines, in the text format.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from ...config import LogSettings
from ..output import safe, safe_json, safe_lines
from .background_handler import BackgroundHandler, write_to_standard_error

log = logging.getLogger(__name__)

QUIET = ("asyncio", "h2", "hpack")
"""Loggers limited to warnings: at debug level they log internals, and hpack logs tokens."""


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


def configure_logging(settings: LogSettings) -> None:
    """Send the log of the whole process to standard error, without a rate limit."""
    _install(logging.StreamHandler(), settings)


class ServerLog:
    """The log of a server, while it is entered.

    The server never waits for the log to be written. `log.rate` limits similar records.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._handler = BackgroundHandler(settings.rate, write_to_standard_error)

    def change(self, settings: LogSettings) -> None:
        """Use another level, format and rate from now on."""
        self._handler.change_rate(settings.rate)
        self._settings = settings
        _install(self._handler, settings)

    def __enter__(self) -> ServerLog:
        _install(self._handler, self._settings)
        self._handler.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._handler.finish()
        configure_logging(self._settings)


def _install(handler: logging.Handler, settings: LogSettings) -> None:
    handler.setFormatter(JSONFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for other in root.handlers[:]:
        if other is not handler:
            root.removeHandler(other)
            other.close()
    if handler not in root.handlers:
        root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)


def log_uncaught_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log the errors that the loop, threads and the interpreter report from now on."""
    loop.set_exception_handler(_in_loop)
    threading.excepthook = _in_thread
    sys.unraisablehook = _unraisable
    sys.excepthook = _uncaught


def _in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Not the text of the future: it repeats the exception, and contains the result.
    error = context.get("exception")
    log.error("event loop: %s", context["message"], exc_info=error)


def _in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else "?"
    log.error("thread %s failed", name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    log.error("%s", args.err_msg or "an error was ignored", exc_info=args.exc_value)


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("the program failed", exc_info=(kind, error, traceback))
