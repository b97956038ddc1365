"""Exit statuses of the commands, and errors printed as one line on standard error.

0    success
1    an error in the program itself
2    wrong flags or configuration, an address that cannot be listened on, or storage that cannot be
     used
3    the deadline passed
4    the server cannot be reached, or the connection was lost
5    the server answered with another error status or not in gRPC, rejected a message, or is not
     serving
130  interrupted
143  terminated while in a room
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from .. import errors
from .output import safe

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

    The line is escaped for a terminal, because it may contain text from the server.
    """

    exit_code: int  # type: ignore[misc] # a constant of the class in click

    def __init__(self, message: str, status: int = WRONG_USE) -> None:
        super().__init__(safe(message))
        self.exit_code = status


def exit_status(error: errors.ChatifyError) -> int:
    """Return the exit status of a command that failed with `error`."""
    match error:
        case errors.DeadlineExceededError():
            return DEADLINE_EXCEEDED
        case errors.UnavailableError():
            return UNAVAILABLE
        case errors.CallError():
            return CALL_FAILED
        case (
            errors.BrokerError() | errors.ConfigError() | errors.ListenError() | errors.UsageError()
        ):
            return WRONG_USE
        case _:
            return INTERNAL_ERROR


def report_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Decorate a command so that its errors are printed as lines instead of tracebacks."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except errors.ConfigError as error:
            first, *others = map(str, error.problems)
            text = f"{first} (and {len(others)} more)" if others else first
            raise CommandError(text) from error
        except errors.ChatifyError as error:
            raise CommandError(str(error), exit_status(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of the output has closed it; click exits quietly
            # Python flushes the rest of the buffer at exit; a second failure would set the status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise CommandError(f"cannot write: {error.strerror}", INTERNAL_ERROR) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    return wrapper


@contextmanager
def require_extra(extra: str, feature: str) -> Iterator[None]:
    """Raise `CommandError` if an import in the block fails: it says which extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise CommandError(
            f"{feature} needs {package}: pip install 'chatify-stream[{extra}]'"
        ) from error
