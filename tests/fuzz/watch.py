"""Sees what must not happen while inputs run, and what would only be logged, or not even that."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

__all__ = ["FaultError", "Watch"]


class FaultError(Exception):
    """An input showed a fault; the text says which."""


class Watch(logging.Handler):
    """Keeps what is logged as an error, and what is raised where nobody could catch it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._see(f"logged by {record.name}: {record.getMessage()}", record.exc_info)

    def _see(self, text: str, error: Any = None) -> None:
        if isinstance(error, BaseException):
            error = (type(error), error, error.__traceback__)
        if error and error[0] is not None:
            text += "\n" + "".join(traceback.format_exception(*error))
        self._seen.append(text)

    def check(self) -> None:
        """Raises `FaultError` for what was seen since the last check."""
        if self._seen:
            seen, self._seen = self._seen, []
            raise FaultError("\n".join(seen))

    @contextmanager
    def on(self, loop: asyncio.AbstractEventLoop) -> Iterator[Watch]:
        """Watches the whole process, and the loop."""

        def in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self._see(f"in the loop: {context['message']}", context.get("exception"))

        def unraisable(args: Any) -> None:
            trace: TracebackType | None = args.exc_traceback
            self._see(f"in {args.object!r}", (args.exc_type, args.exc_value, trace))

        loop.set_exception_handler(in_loop)
        root = logging.getLogger()
        hook, sys.unraisablehook = sys.unraisablehook, unraisable
        root.addHandler(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                yield self
        finally:
            root.removeHandler(self)
            sys.unraisablehook = hook
            loop.set_exception_handler(None)
