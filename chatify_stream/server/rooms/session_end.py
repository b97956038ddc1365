"""Which row of the table of endings it is that a session came to."""

from __future__ import annotations

import asyncio

from ...errors import (
    BrokerError,
    CancelledCallError,
    RefusedError,
    Status,
    StatusError,
    UncheckedError,
)
from ...rooms import Ending, EndingReason
from ...wire import StreamTerminatedError

__all__ = ["EndedError", "ending_of"]


class EndedError(Exception):
    """Ends a session, from within."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


def ending_of(error: BaseException) -> Ending:
    """How a session ends that nobody has ended, and that raises this."""
    match error:
        case EndedError():
            return error.ending
        case UncheckedError():
            return EndingReason.UNCHECKED(why=error.reason)
        case RefusedError():
            return EndingReason.REFUSED(why=error.reason)
        case BrokerError():
            return EndingReason.BROKER_AWAY()
        case StatusError(status=Status.INVALID_ARGUMENT):
            return EndingReason.BAD_REQUEST(why=error.message)
        case StatusError(status=Status.RESOURCE_EXHAUSTED) if error.retry_after is not None:
            return EndingReason.OVER_LIMIT(why=error.message)
        case StatusError(status=Status.RESOURCE_EXHAUSTED):
            return EndingReason.TOO_LARGE(why=error.message)
        case StatusError(status=Status.UNAUTHENTICATED):
            return EndingReason.EXPIRED(why=error.message)
        case StatusError(status=Status.INTERNAL):
            return EndingReason.BAD_MESSAGE(why=error.message)
        case CancelledCallError() | StreamTerminatedError() | asyncio.CancelledError():
            return EndingReason.LEFT()
        case _:
            return EndingReason.FAILED()
