"""Set up the log on standard error, and log errors that no code has handled."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import TracebackType
from typing import Any

from ...config import LogSettings
from .background_handler import BackgroundHandler, write_to_standard_error
from .formatters import make_formatter

log = logging.getLogger(__name__)

QUIET = ("asyncio", "h2", "hpack")
"""Loggers limited to warnings: at debug level they log internals, and hpack logs tokens."""


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

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handler.finish()
        configure_logging(self._settings)


def _install(handler: logging.Handler, settings: LogSettings) -> None:
    handler.setFormatter(make_formatter(settings.format))
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
