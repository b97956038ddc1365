"""Check header fields against the rules of HTTP/2 (RFC 9113, 8.2 and 8.3). No I/O.

Headers or trailers that break a rule are malformed, which is a stream error. Each function returns
the problem as text, or None. The text never contains the value of a field, which may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from ..grpclib_internals import Headers

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN = re.compile(r"[\0\r\n]")
_CONNECTION_FIELDS = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)
_REQUEST_PSEUDO_FIELDS = frozenset((":method", ":scheme", ":path", ":authority"))


def request_fault(headers: Headers) -> str | None:
    """Check the headers of a request."""
    if fault := _fault(headers, _REQUEST_PSEUDO_FIELDS):
        return fault
    pseudo = dict(headers[: len(_REQUEST_PSEUDO_FIELDS)])
    missing = [name for name in (":method", ":scheme", ":path") if not pseudo.get(name)]
    return f"{missing[0]} is missing" if missing else None


def response_fault(headers: Headers) -> str | None:
    """Check the headers of a response."""
    fault = _fault(headers, (":status",))
    if fault is None and dict(headers[:1]).get(":status") is None:
        return ":status is missing"
    return fault


def trailers_fault(headers: Headers) -> str | None:
    """Check trailers."""
    return _fault(headers, ())


def _fault(headers: Headers, pseudo: Collection[str]) -> str | None:
    seen = set()
    is_after_pseudo = False
    for name, value in headers:
        if name.startswith(":"):
            if name not in pseudo:
                return f"{name!r} is not allowed here"
            if is_after_pseudo:
                return f"{name} follows regular fields"
            if name in seen:
                return f"{name} is repeated"
            seen.add(name)
        else:
            is_after_pseudo = True
            if fault := _name_fault(name):
                return fault
            if name == "te" and value != "trailers":
                return "te is not 'trailers'"
        if value.strip(" \t") != value or (
            not value.isprintable() and _FORBIDDEN.search(value) is not None
        ):
            return f"the value of {name} has surrounding spaces or a forbidden character"
    return None


@lru_cache(maxsize=1024)
def _name_fault(name: str) -> str | None:
    if _NAME.fullmatch(name) is None:
        return f"{name!r} is not a valid field name"
    if name in _CONNECTION_FIELDS:
        return f"{name} is an HTTP/1 field"
    return None
