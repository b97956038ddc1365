"""What is wrong with Redis, in words that say what would be right, and without passwords."""

from __future__ import annotations

import os
import ssl

from redis import exceptions

__all__ = ["LostError", "UnusableError", "code_of", "is_passing", "reason_of"]


class UnusableError(Exception):
    """Redis cannot be used as it is now. The text says why."""


class LostError(Exception):
    """The connection was lost before the answer came: what was asked for may have happened."""


_CODES = {
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "ASK",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.AuthenticationError: "WRONGPASS",
}
"""redis-py takes the code from the text of those that it knows. Subclasses come first."""

_PASSING = {
    *("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING", "BUSY"),
}
"""Nothing was done; soon, or elsewhere, it can be."""

_REASONS = {
    "WRONGPASS": "the user or the password is refused; it stands before the @ of the URL",
    "NOAUTH": "it wants a password; it stands before the @ of the URL, as in redis://:PASSWORD@HOST",
    "READONLY": "it is a replica, which takes no messages; name the master, or use redis+sentinel://",
    "LOADING": "it reads its data from the disk, and is not ready yet",
    "OOM": "its memory is full (maxmemory); give it more, or rooms a shorter retention",
    "MISCONF": "it cannot write to its disk, and so takes no messages; see its log",
    "NOREPLICAS": "it has fewer replicas than min-replicas-to-write, and so takes no messages",
    "CLUSTERDOWN": "a part of the cluster has no master",
    "MASTERDOWN": "its master is away",
    "BUSY": "it is busy with another script",
}


def code_of(error: Exception) -> str:
    """The word that Redis begins an error with, or nothing."""
    if isinstance(error, exceptions.AuthenticationError) and "required" in str(error):
        return "NOAUTH"
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    word = str(error).partition(" ")[0]
    return word if word.isupper() else ""


def is_passing(error: Exception) -> bool:
    """What was asked for was not done, and may be asked for again soon."""
    return code_of(error) in _PASSING


def reason_of(error: BaseException) -> str:
    """That of a `BrokerError`."""
    if isinstance(error, UnusableError | LostError):
        return str(error)
    if isinstance(error, exceptions.RedisError) and (code := code_of(error)) in _REASONS:
        return _REASONS[code]
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "it cannot be reached: no answer in time"
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    if isinstance(cause, ssl.SSLError):
        return f"there is no TLS with it: {getattr(cause, 'verify_message', '') or cause.reason}"
    if isinstance(cause, OSError):
        known = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
        return f"it cannot be reached: {known or cause}"
    if isinstance(error, exceptions.ResponseError | exceptions.RedisError):
        if code_of(error) == "NOPERM":
            return f"the user is not permitted to do that: {error}"
        if isinstance(error, exceptions.ConnectionError):
            return f"it cannot be reached: {error}"
        return f"it reports an error: {error}"
    return f"it has failed: {error!r}"
