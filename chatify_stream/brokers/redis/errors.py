"""Errors of Redis, with reasons that tell operators how to fix them and never show passwords."""

from __future__ import annotations

import os
import ssl

from redis import exceptions


class UnusableError(Exception):
    """Redis cannot be used. The text says why."""


class LostError(Exception):
    """The connection was lost before the answer arrived: the command may have taken effect."""


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
"""Codes that redis-py removes from the texts of these errors. Subclasses come first."""

TRANSIENT = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING", "BUSY"}
"""Codes of commands that had no effect and may succeed later or elsewhere."""

_REASONS = {
    "WRONGPASS": "wrong user name or password; correct it before the @ of the URL",
    "NOAUTH": "password required; add it before the @ of the URL, as in redis://:PASSWORD@HOST",
    "READONLY": "read-only replica; name the master, or use redis+sentinel://",
    "LOADING": "Redis is still loading its data from disk",
    "OOM": "out of memory; raise maxmemory, or shorten the retention of rooms",
    "MISCONF": "Redis cannot write to its disk and rejects messages; see its log",
    "NOREPLICAS": "fewer replicas than min-replicas-to-write are connected; start more replicas",
    "CLUSTERDOWN": "part of the cluster has no master",
    "MASTERDOWN": "its master is unavailable",
    "BUSY": "Redis is busy with another script",
}


def code_of(error: Exception) -> str:
    """Return the code at the start of an error of Redis, or an empty string."""
    if isinstance(error, exceptions.AuthenticationError) and "required" in str(error):
        return "NOAUTH"
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    word = str(error).partition(" ")[0]
    return word if word.isupper() else ""


def reason_of(error: BaseException) -> str:
    if isinstance(error, UnusableError | LostError):
        return str(error)
    if isinstance(error, exceptions.RedisError) and (code := code_of(error)) in _REASONS:
        return _REASONS[code]
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "cannot connect: no answer in time"
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {getattr(cause, 'verify_message', '') or cause.reason}"
    if isinstance(cause, OSError):
        known = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
        return f"cannot connect: {known or cause}"
    if not isinstance(error, exceptions.RedisError):
        return f"internal error: {error!r}"
    if code_of(error) == "NOPERM":
        return f"the user is not permitted to run this command: {error}"
    if isinstance(error, exceptions.ConnectionError):
        return f"cannot connect: {error}"
    return f"Redis reports an error: {error}"
