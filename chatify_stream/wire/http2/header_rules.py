"""What HTTP/2 forbids in header fields, without I/O (RFC 9113, 8.2 and 8.3).

A request, response or trailer section with such a field is malformed, which is an error of its
stream. Each function says what is wrong, or None; not with which value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from ..grpclib_internals import Headers

__all__ = ["request_fault", "response_fault", "trailers_fault"]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN = re.compile(r"[\0\r\n]")
_OF_A_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)
_OF_A_REQUEST = frozenset((":method", ":scheme", ":path", ":authority"))
_REQUIRED = (":method", ":scheme", ":path")


def request_fault(headers: Headers) -> str | None:
    """Of the headers that open a stream."""
    fault = _fault(headers, _OF_A_REQUEST)
    if fault is not None:
        return fault
    pseudo = dict(headers[: len(_OF_A_REQUEST)])
    for name in _REQUIRED:
        if not pseudo.get(name):
            return f"{name} is missing"
    return None


def response_fault(headers: Headers) -> str | None:
    """Of the headers that a server answers with."""
    fault = _fault(headers, (":status",))
    if fault is None and dict(headers[:1]).get(":status") is None:
        return ":status is missing"
    return fault


def trailers_fault(headers: Headers) -> str | None:
    """Of the headers that end a stream."""
    return _fault(headers, ())


def _fault(headers: Headers, pseudo: Collection[str]) -> str | None:
    seen = set()
    is_after_pseudo = False
    for name, value in headers:
        if name.startswith(":"):
            if name not in pseudo:
                return f"{name!r} is not allowed here"
            if is_after_pseudo:
                return f"{name} comes after other fields"
            if name in seen:
                return f"{name} comes twice"
            seen.add(name)
        else:
            is_after_pseudo = True
            if fault := _name_fault(name):
                return fault
            if name == "te" and value != "trailers":
                return "te has to be 'trailers'"
        if value.strip(" \t") != value or (
            not value.isprintable() and _FORBIDDEN.search(value) is not None
        ):
            return f"the value of {name} has spaces around it, or a forbidden character"
    return None


@lru_cache(maxsize=1024)
def _name_fault(name: str) -> str | None:
    if _NAME.fullmatch(name) is None:
        return f"{name!r} is not the name of a field"
    if name in _OF_A_CONNECTION:
        return f"{name} belongs to HTTP/1"
    return None
