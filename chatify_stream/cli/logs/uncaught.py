"""Errors that nobody has caught: each is one record of the log, and nothing ends for it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import TracebackType
from typing import Any

__all__ = ["log_faults"]

log = logging.getLogger(__name__)


def log_faults(loop: asyncio.AbstractEventLoop) -> None:
    """From now on what the loop, threads and the interpreter report goes to the log."""
    loop.set_exception_handler(_in_loop)
    threading.excepthook = _in_thread
    sys.unraisablehook = _unraisable
    sys.excepthook = _uncaught


def _in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Not the future's own text: it has that of its exception once more, and its result.
    error = context.get("exception")
    log.error("in the event loop: %s", context["message"], exc_info=error)


def _in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else "?"
    log.error("the thread %s has failed", name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    log.error("%s", args.err_msg or "an error was ignored", exc_info=args.exc_value)


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("the program has failed", exc_info=(kind, error, traceback))
