"""The error tree.

    ChatifyError
    ├── ConfigError                    the configuration is invalid
    ├── UsageError                     the library was misused: wrong argument or order of calls
    │   ├── ClosedError                the object was closed on this side, or its call has ended
    │   └── TooLargeError              the message is larger than rooms accept
    ├── ListenError                    the server cannot listen on the address
    ├── BrokerError                    the broker is unavailable, full or damaged
    ├── RefusedError                   the server rejected a message or a user
    │   └── UncheckedError             a hook that decides this failed or timed out
    └── CallError                      a call did not end with status OK
        ├── StatusError                the server, or a handler, returned this status
        ├── CancelledCallError         the call was cancelled, on either side
        ├── DeadlineExceededError      the deadline passed, on either side
        ├── UnavailableError           the server is unreachable, shutting down, or was lost
        └── PeerProtocolError          the peer does not speak gRPC correctly

A `CallError` is also a `grpclib.GRPCError`, so code written for grpclib catches it, and a handler
may raise it to end its call with that status.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpclib.const import Status as Status
from grpclib.exceptions import GRPCError
from multidict import MultiDict

from .address import Address

_MILLISECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)

Metadata = Mapping[str, str | bytes] | Collection[tuple[str, str | bytes]]
"""Metadata as it is passed: a mapping, a multidict, or pairs of key and value."""


class ChatifyError(Exception):
    """Base class of the errors that this library raises."""


@dataclass(frozen=True)
class ConfigProblem:
    """One problem of a configuration."""

    source: str
    """The file, environment variable or flag with the problem."""
    text: str
    """The problem and how to fix it."""

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


class ConfigError(ChatifyError):
    """The configuration is invalid. `problems` holds every problem found."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class UsageError(ChatifyError):
    """The library was misused: a wrong argument, or calls in the wrong order.

    The calling code needs a fix. Retrying does not help.
    """


class ClosedError(UsageError):
    """The object was closed on this side, or its call has ended."""


class TooLargeError(UsageError):
    """A message is larger than a room accepts."""


class ListenError(ChatifyError):
    """The server cannot listen on an address.

    where: `HOST:PORT`, or the `repr` of a path or socket.
    reason: the problem, with a fix where there is one.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    @classmethod
    def on_address(cls, host: str, port: int, error: Exception) -> ListenError:
        """Return the error for a host and port. `error` comes from the operating system."""
        if isinstance(error, OverflowError):
            reason = "not a valid port; use a number from 0 to 65535"
        elif not isinstance(error, OSError):
            reason = f"not a valid host name ({error})"
        elif isinstance(error, socket.gaierror):
            reason = f"unknown host ({error.strerror})"
        elif error.errno is None and str(error).startswith("could not bind on any address"):
            reason = _ADDRESS_REASONS[errno.EADDRNOTAVAIL]  # Python 3.13 gives only this text
        else:
            reason = _reason(error, _ADDRESS_REASONS)
        return cls(str(Address(host, port)), reason)

    @classmethod
    def on_path(cls, path: str, error: Exception) -> ListenError:
        # Python itself raises "AF_UNIX path too long", without a number.
        return cls(repr(path), _reason(error, _PATH_REASONS))

    @classmethod
    def on_socket(cls, sock: object, error: Exception) -> ListenError:
        if not isinstance(error, OSError):
            return cls(repr(sock), "not a stream socket; pass a socket of type SOCK_STREAM")
        return cls(repr(sock), _reason(error, _SOCKET_REASONS))

    def __str__(self) -> str:
        return f"cannot listen on {self.where}: {self.reason}"


_ADDRESS_REASONS = {
    errno.EADDRINUSE: "the port is in use by another program; stop it or use another port",
    errno.EADDRNOTAVAIL: "not an address of this machine",
    errno.EACCES: "permission denied; ports below 1024 often need privileges",
}
_PATH_REASONS = {
    errno.ENOENT: "the folder does not exist or does not support sockets",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EADDRINUSE: "a file that is not a socket exists there; remove it or use another path",
    errno.EACCES: "permission denied; use a folder in which this user may create files",
}
_SOCKET_REASONS = {
    errno.EBADF: "the socket is closed",
    errno.EINVAL: "the socket is connected or not bound; pass a bound socket",
}


def _reason(error: Exception, known: Mapping[int, str]) -> str:
    if not isinstance(error, OSError):
        return str(error)
    return known.get(error.errno or 0, error.strerror or str(error))


class BrokerError(ChatifyError):
    """The broker is unavailable, full or damaged.

    broker: the URL of the broker, without passwords.
    reason: the problem.
    """

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(broker, reason)
        self.broker = broker
        self.reason = reason

    def __str__(self) -> str:
        return f"the broker {self.broker}: {self.reason}"


class RefusedError(ChatifyError):
    """A message was not published, or a user was not admitted to a room.

    Raise it in the hooks of a server to reject; the client receives `reason`. The client's `send`
    raises it for a rejected message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UncheckedError(RefusedError):
    """A hook that decides about a message or a user failed or timed out."""


class CallError(ChatifyError, GRPCError):
    """A call did not end with status OK.

    status: the gRPC status.
    message: the text of the status, or None.
    details: the decoded messages of `grpc-status-details-bin`, or None.
    metadata: the trailing metadata.
    """

    def __init__(
        self,
        status: Status,
        message: str | None = None,
        details: Any = None,
        *,
        metadata: Metadata | None = None,
    ) -> None:
        GRPCError.__init__(self, status, message, details)
        self.metadata: MultiDict[str | bytes] = MultiDict(metadata or ())

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before a retry, from the server's `retry-after-ms`, or None."""
        text = str(self.metadata.get("retry-after-ms", ""))
        return int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None

    def __str__(self) -> str:
        return f"{self.status.name}: {self.message}" if self.message else self.status.name


class StatusError(CallError):
    """The server ended the call with this status. A handler raises it to end its call."""


class CancelledCallError(CallError):
    """The call was cancelled, on either side. Status CANCELLED."""


class DeadlineExceededError(CallError):
    """The deadline passed before the call ended. Status DEADLINE_EXCEEDED."""


class UnavailableError(CallError):
    """The server is unreachable or shutting down, or the connection was lost.

    Status UNAVAILABLE. A retry, on a new connection, may succeed.
    """


class PeerProtocolError(CallError):
    """The peer does not speak gRPC correctly. Often it is a server of another protocol."""


_BY_STATUS: dict[Status, type[CallError]] = {
    Status.CANCELLED: CancelledCallError,
    Status.DEADLINE_EXCEEDED: DeadlineExceededError,
    Status.UNAVAILABLE: UnavailableError,
}


def call_error(
    status: Status,
    message: str | None = None,
    details: Any = None,
    *,
    metadata: Metadata | None = None,
) -> CallError:
    """Return an error of the class for `status`."""
    return _BY_STATUS.get(status, StatusError)(status, message, details, metadata=metadata)
