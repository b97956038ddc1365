"""The error tree.

    ChatifyError
    ├── ConfigError                    the configuration is wrong: file, key, value, what is allowed
    ├── UsageError                     you misused it: an argument, or the order of the calls
    │   ├── ClosedError                it was closed on this side, or its call has ended
    │   └── TooLargeError              a message has more bytes than rooms take
    ├── ListenError                    the server cannot listen on that address
    ├── BrokerError                    the storage of the rooms is away, full or damaged
    ├── RefusedError                   a message, or who sent it, is not let into a room
    │   └── UncheckedError             nobody could say whether it is: a hook has failed
    └── CallError                      a call did not end OK: status, message, details, metadata
        ├── StatusError                the server, or a handler, answered with this status
        ├── CancelledCallError         the call was cancelled, on either side
        ├── DeadlineExceededError      the deadline passed, on either side
        ├── UnavailableError           broken there: not reachable, lost, or shutting down
        └── PeerProtocolError          the peer misbehaved: what it sent is not gRPC

A `CallError` is also a `grpclib.GRPCError`, so code written for grpclib catches it, and a handler
may raise it to end its call with that status.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .address import Address

__all__ = [
    "BrokerError",
    "CallError",
    "CancelledCallError",
    "ChatifyError",
    "ClosedError",
    "ConfigError",
    "ConfigProblem",
    "DeadlineExceededError",
    "ListenError",
    "PeerProtocolError",
    "RefusedError",
    "Status",
    "StatusError",
    "TooLargeError",
    "UnavailableError",
    "UncheckedError",
    "UsageError",
    "call_error",
]


_MILLISECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)


class ChatifyError(Exception):
    """Every error that this library raises by intent."""


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong with a configuration."""

    source: str
    """Where it stands: a file, an environment variable, a flag."""
    text: str
    """What is wrong, and what would be right."""

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


class ConfigError(ChatifyError):
    """A configuration that cannot be used. Holds every problem found, not the first alone."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class UsageError(ChatifyError):
    """The library was misused; the calling code has to change."""


class ClosedError(UsageError):
    """It was closed on this side, or its call has ended, so nothing more can be done with it."""


class TooLargeError(UsageError):
    """A message has more bytes than are taken in a room."""


class ListenError(ChatifyError):
    """The server cannot listen where it was told to.

    `where` is `HOST:PORT`, or a path or a socket as `repr` writes it; `reason` says what is wrong.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    @classmethod
    def on_address(cls, host: str, port: int, error: Exception) -> ListenError:
        """The error for what the operating system said of a host and port."""
        return cls(str(Address(host, port)), _why_not_on_address(error))

    @classmethod
    def on_path(cls, path: str, error: Exception) -> ListenError:
        """The same of the path of a Unix socket."""
        return cls(repr(path), _why_not_on_path(error))

    @classmethod
    def on_socket(cls, sock: object, error: Exception) -> ListenError:
        """The same of a socket that is there already."""
        return cls(repr(sock), _why_not_on_socket(error))

    def __str__(self) -> str:
        return f"cannot listen on {self.where}: {self.reason}"


def _why_not_on_path(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    known = {
        errno.ENOENT: "there is no such folder, or it takes no sockets",
        errno.ENOTDIR: "a part of the path is a file, not a folder",
        errno.EADDRINUSE: "something that is no socket is there; remove it, or take another path",
        errno.EACCES: "not permitted to make a socket there",
    }
    # "AF_UNIX path too long" is Python's own, and has no number.
    return known.get(error.errno or 0, error.strerror or str(error))


def _why_not_on_socket(error: Exception) -> str:
    known = {
        errno.EBADF: "it is closed",
        errno.EINVAL: "it is connected, or bound to no address; pass one that is bound",
    }
    if isinstance(error, OSError):
        return known.get(error.errno or 0, error.strerror or str(error))
    return "it is no stream socket; pass one of the type SOCK_STREAM"


def _why_not_on_address(error: Exception) -> str:
    if isinstance(error, OverflowError):
        return "a port is a number from 0 to 65535"
    if not isinstance(error, OSError):
        return f"that is no host name ({error})"
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror})"
    known = {
        errno.EADDRINUSE: "the port is in use by another program",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
        errno.EACCES: "not permitted (ports below 1024 often are not)",
    }
    if error.errno is None and str(error).startswith("could not bind on any address"):
        return known[errno.EADDRNOTAVAIL]  # asyncio of Python 3.13 has only this text for it
    return known.get(error.errno or 0, error.strerror or str(error))


class BrokerError(ChatifyError):
    """The broker cannot do what it was asked. `broker` is its URL, `reason` says what is wrong."""

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(broker, reason)
        self.broker = broker
        self.reason = reason

    def __str__(self) -> str:
        return f"the broker {self.broker}: {self.reason}"


class RefusedError(ChatifyError):
    """A message was not published, or a user not let in. `reason` is told to the client.

    Raised in the hooks of a server; and by a client's `send` for a message that was refused.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UncheckedError(RefusedError):
    """It could not be checked: a hook has failed, or took too long."""


class CallError(ChatifyError, GRPCError):
    """A call that did not end with status OK.

    `message` is the text that came with the status. `details` are the messages of
    `grpc-status-details-bin`, None when there are none. `metadata` is the trailing metadata.
    """

    def __init__(
        self,
        status: Status,
        message: str | None = None,
        details: Any = None,
        *,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> None:
        GRPCError.__init__(self, status, message, details)
        self.metadata: Mapping[str, str | bytes] = {} if metadata is None else metadata

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server wants to be left alone, by its `retry-after-ms`; or None."""
        text = str(self.metadata.get("retry-after-ms", ""))
        return int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None

    def __str__(self) -> str:
        return f"{self.status.name}: {self.message}" if self.message else self.status.name


class StatusError(CallError):
    """The other side ended the call with this status; or, in a handler: end my call with it."""


class CancelledCallError(CallError):
    """The call was cancelled. Status CANCELLED."""


class DeadlineExceededError(CallError):
    """The call's deadline passed before it ended. Status DEADLINE_EXCEEDED."""


class UnavailableError(CallError):
    """The server cannot be reached, or the connection was lost, or it is shutting down.

    Status UNAVAILABLE: trying again, on a new connection, may help.
    """


class PeerProtocolError(CallError):
    """The other side answered something that is not gRPC. Often it is another kind of server."""


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
    metadata: Mapping[str, str | bytes] | None = None,
) -> CallError:
    """The error of the class that belongs to `status`."""
    return _BY_STATUS.get(status, StatusError)(status, message, details, metadata=metadata)
