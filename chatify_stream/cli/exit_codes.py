"""How commands end: the exit statuses, and errors as one line on standard error.

0    it did what was asked
1    an error of the program itself
2    wrong flags or configuration, an address that cannot be listened on, or storage that cannot be
     used
3    the deadline passed
4    the server cannot be reached, or the connection was lost
5    the server answered with another error status, or not in gRPC, or refused a message, or does
     not serve
130  interrupted
143  terminated, while in a room
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from ..errors import (
    BrokerError,
    CallError,
    ChatifyError,
    ConfigError,
    DeadlineExceededError,
    ListenError,
    UnavailableError,
    UsageError,
)
from .output import safe

__all__ = ["CALL_FAILED", "CommandError", "exit_status", "reporting_errors"]

INTERNAL_ERROR = 1
WRONG_USE = 2
DEADLINE_EXCEEDED = 3
UNAVAILABLE = 4
CALL_FAILED = 5
INTERRUPTED = 130

P = ParamSpec("P")
T = TypeVar("T")


class CommandError(click.ClickException):
    """Ends the command with a line on standard error and an exit status.

    The line is made safe for a terminal: it may have words of the server in it.
    """

    exit_code: int  # type: ignore[misc] # which click has as a constant of the class

    def __init__(self, message: str, status: int = WRONG_USE) -> None:
        super().__init__(safe(message))
        self.exit_code = status


def exit_status(error: ChatifyError) -> int:
    """The exit status of a command that failed with `error`."""
    match error:
        case DeadlineExceededError():
            return DEADLINE_EXCEEDED
        case UnavailableError():
            return UNAVAILABLE
        case CallError():
            return CALL_FAILED
        case BrokerError() | ConfigError() | ListenError() | UsageError():
            return WRONG_USE
        case _:
            return INTERNAL_ERROR


def reporting_errors(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors are lines, not tracebacks."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            raise CommandError(_first_of(error)) from error
        except ChatifyError as error:
            raise CommandError(str(error), exit_status(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has enough; click ends quietly
            # What is left in the buffer would fail again, and decide the status, at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise CommandError(f"cannot write: {error.strerror}", INTERNAL_ERROR) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    return wrapper


def _first_of(error: ConfigError) -> str:
    first, *others = map(str, error.problems)
    if not others:
        return first
    return f"{first} (and {len(others)} more)"
