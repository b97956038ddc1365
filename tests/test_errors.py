"""The error tree."""

import errno
import re
import socket
from typing import Any

import pytest
from grpclib.exceptions import GRPCError

from chatify_stream import Status, errors
from chatify_stream.errors import (
    CallError,
    CancelledCallError,
    ChatifyError,
    ConfigError,
    ConfigProblem,
    DeadlineExceededError,
    ListenError,
    StatusError,
    UnavailableError,
    call_error,
)

PARENTS = {
    "ChatifyError": "Exception",
    "ConfigError": "ChatifyError",
    "UsageError": "ChatifyError",
    "ClosedError": "UsageError",
    "TooLargeError": "UsageError",
    "ListenError": "ChatifyError",
    "BrokerError": "ChatifyError",
    "RefusedError": "ChatifyError",
    "UncheckedError": "RefusedError",
    "CallError": "ChatifyError",
    "StatusError": "CallError",
    "CancelledCallError": "CallError",
    "DeadlineExceededError": "CallError",
    "UnavailableError": "CallError",
    "PeerProtocolError": "CallError",
}


def drawn_parents() -> dict[str, str]:
    """Return the parent of each class, from the tree in the module docstring."""
    assert errors.__doc__ is not None
    lines = [line for line in errors.__doc__.splitlines() if line.startswith(" " * 4)]
    parents, path = {}, ["Exception"]
    for line in lines:
        match = re.match(r"((?:│   |    |├── |└── )*)(\w+)", line[4:])
        assert match is not None, line
        depth = len(match[1]) // 4
        parents[match[2]] = path[depth]
        path[depth + 1 :] = [match[2]]
    return parents


def real_parents(cls: type[Exception]) -> dict[str, str]:
    """Return the subclasses of `cls` in the package, and the parent of each."""
    parents = {cls.__name__: cls.__bases__[0].__name__}
    for child in cls.__subclasses__():
        if child.__module__.startswith("chatify_stream."):
            parents |= real_parents(child)
    return parents


def test_drawing() -> None:
    """The tree in the docstring is complete."""
    assert drawn_parents() == PARENTS


def test_tree() -> None:
    """The class tree is as expected, and every class is in this module."""
    assert real_parents(ChatifyError) == PARENTS
    assert [name for name in PARENTS if not hasattr(errors, name)] == []


@pytest.mark.parametrize("name", PARENTS)
def test_docstring(name: str) -> None:
    """Every error class has a docstring."""
    assert getattr(errors, name).__doc__


@pytest.mark.parametrize("name", [name for name in PARENTS if PARENTS[name] == "CallError"])
def test_call_errors_are_grpclib_errors(name: str) -> None:
    """Code written for grpclib catches every error of a call."""
    error = getattr(errors, name)(Status.ABORTED, "too late", ["detail"], metadata={"k": "v"})
    assert isinstance(error, GRPCError)
    assert (error.status, error.message, error.details) == (Status.ABORTED, "too late", ["detail"])
    assert error.metadata == {"k": "v"}


def test_call_error_defaults() -> None:
    """Only the status is required."""
    error = StatusError(Status.NOT_FOUND)
    assert (error.message, error.details, error.metadata) == (None, None, {})


OWN_CLASSES = {
    Status.CANCELLED: CancelledCallError,
    Status.DEADLINE_EXCEEDED: DeadlineExceededError,
    Status.UNAVAILABLE: UnavailableError,
}


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_class_by_status(status: Status) -> None:
    """Three statuses have their own class. The others are a StatusError."""
    error = call_error(status, "why", ["detail"], metadata={"k": b"v"})
    assert type(error) is OWN_CLASSES.get(status, StatusError)
    assert (error.status, error.message, error.details) == (status, "why", ["detail"])
    assert error.metadata == {"k": b"v"}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StatusError(Status.NOT_FOUND, "没有 nobody"), "NOT_FOUND: 没有 nobody"),
        (StatusError(Status.NOT_FOUND), "NOT_FOUND"),
        (StatusError(Status.NOT_FOUND, ""), "NOT_FOUND"),
        (UnavailableError(Status.UNAVAILABLE, "gone"), "UNAVAILABLE: gone"),
        (ConfigError([ConfigProblem("chat.toml", "no")]), "chat.toml: no"),
        (
            ConfigError([ConfigProblem("--port", "no"), ConfigProblem("--host", "no")]),
            "--port: no\n--host: no",
        ),
        (ListenError("localhost:80", "why"), "cannot listen on localhost:80: why"),
    ],
)
def test_str(error: ChatifyError, text: str) -> None:
    """The text of an error has all that a person needs."""
    assert str(error) == text


def test_config_error_keeps_problems() -> None:
    """Every problem is available, with its source and text."""
    problems = [ConfigProblem("--port", "bad port"), ConfigProblem("chat.toml", "bad file")]
    assert ConfigError(problems).problems == tuple(problems)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            OSError(errno.EADDRINUSE, "x"),
            "the port is in use by another program; stop it or use another port",
        ),
        (OSError(errno.EADDRNOTAVAIL, "x"), "not an address of this machine"),
        (OSError(errno.EACCES, "x"), "permission denied; ports below 1024 often need privileges"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError("something else"), "something else"),
        (
            OSError("could not bind on any address out of [('203.0.113.1', 0)]"),
            "not an address of this machine",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Unknown"), "unknown host (Unknown)"),
        (OverflowError("x"), "not a valid port; use a number from 0 to 65535"),
    ],
)
def test_listen_error(error: Any, reason: str) -> None:
    """An error of the operating system becomes a plain reason."""
    listen_error = ListenError.on_address("::1", 80, error)
    assert (listen_error.where, listen_error.reason) == ("[::1]:80", reason)


def test_listen_error_elsewhere() -> None:
    """A path or socket is named. Other errors keep the text of the system."""
    full = OSError(errno.ENOSPC, "No space left on device")
    assert str(ListenError.on_path("/a b", full)) == (
        "cannot listen on '/a b': No space left on device"
    )
    assert ListenError.on_path("x", ValueError("why")).reason == "why"
    assert str(ListenError.on_socket(5, full)) == "cannot listen on 5: No space left on device"


def test_call_error_is_one_class() -> None:
    """One except clause catches every error of a call."""
    for status in Status:
        assert isinstance(call_error(status), CallError)


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": "1 s"}, None),
        ({"retry-after-ms": "٣"}, None),
        ({"retry-after-ms": "9" * 16}, None),
    ],
)
def test_retry_after(metadata: dict[str, str], seconds: float | None) -> None:
    """A failed call has the retry delay that the server asked for, if any."""
    assert StatusError(Status.RESOURCE_EXHAUSTED, metadata=metadata).retry_after == seconds
