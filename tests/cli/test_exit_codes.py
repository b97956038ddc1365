"""Exit statuses, and errors in one line."""

import click
import pytest
from click.testing import CliRunner

from chatify_stream import Status
from chatify_stream.cli.exit_codes import CALL_FAILED, CommandError, exit_status, report_errors
from chatify_stream.errors import (
    CancelledCallError,
    ChatifyError,
    ClosedError,
    ConfigError,
    ConfigProblem,
    DeadlineExceededError,
    ListenError,
    PeerProtocolError,
    StatusError,
    UnavailableError,
    UsageError,
)

PROBLEM = ConfigProblem("--port", "no")

ERRORS = [
    (ChatifyError("no"), 1, "no"),
    (UsageError("no"), 2, "no"),
    (ClosedError("no"), 2, "no"),
    (ListenError("[::1]:80", "no"), 2, "cannot listen on [::1]:80: no"),
    (ConfigError([PROBLEM]), 2, "--port: no"),
    (
        ConfigError([PROBLEM, PROBLEM, PROBLEM]),
        2,
        "--port: no (and 2 more)",
    ),
    (DeadlineExceededError(Status.DEADLINE_EXCEEDED, "no"), 3, "DEADLINE_EXCEEDED: no"),
    (UnavailableError(Status.UNAVAILABLE, "no"), 4, "UNAVAILABLE: no"),
    (StatusError(Status.NOT_FOUND, "没有"), 5, "NOT_FOUND: 没有"),
    (CancelledCallError(Status.CANCELLED), 5, "CANCELLED"),
    (PeerProtocolError(Status.INTERNAL, "no"), 5, "INTERNAL: no"),
    (CommandError("no"), 2, "no"),
    (CommandError("no", CALL_FAILED), 5, "no"),
]


@pytest.mark.parametrize(("error", "status", "line"), ERRORS)
def test_reported(runner: CliRunner, error: Exception, status: int, line: str) -> None:
    """An error is one line on standard error, with the exit status of its class."""

    @click.command()
    @report_errors
    def command() -> None:
        raise error

    result = runner.invoke(command)
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", f"Error: {line}\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [(error, status) for error, status, _ in ERRORS if isinstance(error, ChatifyError)],
)
def test_exit_status(error: ChatifyError, status: int) -> None:
    """Every class of errors has its exit status."""
    assert exit_status(error) == status


def test_interrupted(runner: CliRunner) -> None:
    """Ctrl-C ends a command without a word, as shells have it."""

    @click.command()
    @report_errors
    def command() -> None:
        raise KeyboardInterrupt

    result = runner.invoke(command)
    assert (result.exit_code, result.output) == (130, "")


def test_words_of_a_server(runner: CliRunner) -> None:
    """Text of the server in an error is escaped."""

    @click.command()
    @report_errors
    def command() -> None:
        raise StatusError(Status.PERMISSION_DENIED, "no\x1b[2J\nError: x")

    result = runner.invoke(command)
    assert (result.exit_code, result.stderr) == (
        5,
        "Error: PERMISSION_DENIED: no\\x1b[2J\\x0aError: x\n",
    )


def test_program_errors_are_not_hidden(runner: CliRunner) -> None:
    """Any other exception is a fault of the program, and keeps its traceback."""

    @click.command()
    @report_errors
    def command() -> None:
        raise KeyError("fault")

    result = runner.invoke(command)
    assert result.exit_code == 1
    assert isinstance(result.exception, KeyError)


def test_result(runner: CliRunner) -> None:
    """A successful command is unchanged by the decorator."""

    @report_errors
    def command(left: int, *, right: int) -> int:
        """Adds."""
        return left + right

    assert command(1, right=2) == 3
    assert (command.__name__, command.__doc__) == ("command", "Adds.")
