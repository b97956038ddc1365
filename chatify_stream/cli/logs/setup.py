"""The log, on standard error: lines for people, or JSON lines for programs."""

from __future__ import annotations

import logging
from types import TracebackType

from ...config import LogSettings
from ...wire import Rate
from .background_handler import BackgroundHandler, write_to_standard_error
from .formatters import formatter_of

__all__ = ["ServerLog", "configure_logging"]

QUIET = ("asyncio", "h2", "hpack")
"""At debug level they tell of their own works, and hpack of every header, tokens included."""


def configure_logging(settings: LogSettings) -> None:
    """Sends the log of the whole process to standard error."""
    _install(logging.StreamHandler(), settings)


class ServerLog:
    """The log of a server, while it is entered: nothing in it waits for whoever reads the log.

    No more lines of one kind are written than `log.rate` says.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._handler = BackgroundHandler(Rate(*settings.rate), write_to_standard_error)

    def change(self, settings: LogSettings) -> None:
        """Has another level, format and rate from now on."""
        self._handler.change_rate(Rate(*settings.rate))
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
    handler.setFormatter(formatter_of(settings.format))
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
