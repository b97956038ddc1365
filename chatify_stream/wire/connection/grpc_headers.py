"""Reads the headers of a call, without I/O: what is asked for, or why it cannot be answered.

Rules: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Every call gets an answer;
grpclib left those with a missing `:method`, a malformed `-bin` value or a huge `grpc-timeout`
hanging, and answered others without a content-type.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import cast

from grpclib.const import Status
from grpclib.metadata import Deadline
from multidict import MultiDict

from ..grpclib_internals import GRPC_CONTENT_TYPE, SPECIAL_HEADERS, Headers, Metadata
from .compression import ENCODINGS, IDENTITY, is_accepted

__all__ = ["RefusalError", "Request", "decode_bin", "read_request", "split_binary_values"]


def split_binary_values(headers: Headers) -> Headers:
    """The same headers, with each binary value of the metadata in a field of its own, padded.

    Raises `ValueError`, which says where, for one that is not base64.
    """
    result = []
    for key, value in headers:
        if not key.endswith("-bin") or key.startswith("grpc-"):
            result.append((key, value))
            continue
        try:
            values = [decode_bin(part) for part in value.split(",")]
        except ValueError:
            raise ValueError(f"the metadata value of {key} is not valid base64") from None
        result += [(key, base64.b64encode(each).decode()) for each in values]
    return result


_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True, slots=True)
class Request:
    """A call that can be answered."""

    method: str
    metadata: Metadata
    content_type: str
    deadline: Deadline | None
    user_agent: str | None
    encoding: str
    """Of the requests: one that is accepted here."""
    accept_encoding: str
    """The `grpc-accept-encoding` of the client, empty if it sent none."""
    header_list_size: int
    """Bytes of all headers, as RFC 9113 counts them (6.5.2)."""


class RefusalError(Exception):
    """The call is answered with an error at once."""

    def __init__(
        self, status: Status, message: str, http_status: int = 200, headers: Headers | None = None
    ) -> None:
        """`headers` are sent besides."""
        super().__init__(status, message, http_status)
        self.status = status
        self.message = message
        self.http_status = http_status
        self.headers = headers or []


def read_request(
    headers: Headers, methods: Container[str], content_subtype: str, max_size: int
) -> Request:
    """Raises `RefusalError` for a call that cannot be answered.

    `max_size`: of the `header_list_size`.
    """
    size = sum([len(name) + len(value) + 32 for name, value in headers])
    if size > max_size:
        raise RefusalError(
            Status.RESOURCE_EXHAUSTED,
            f"the headers of the call have {size} bytes; at most {max_size} are allowed",
            http_status=431,
        )
    fields = dict(headers)

    if fields.get(":method") != "POST":
        raise RefusalError(Status.INTERNAL, "a gRPC call has the method POST", http_status=405)

    content_type = fields.get("content-type", "")
    base, _, subtype = content_type.partition(";")[0].strip().partition("+")
    if base != GRPC_CONTENT_TYPE or (subtype or content_subtype) != content_subtype:
        raise RefusalError(
            Status.INTERNAL,
            f"the content-type is {content_type!r}; it has to be {GRPC_CONTENT_TYPE} or "
            f"{GRPC_CONTENT_TYPE}+{content_subtype}",
            http_status=415,
        )

    if fields.get("te") != "trailers":
        raise RefusalError(
            Status.INTERNAL,
            'the header "te: trailers" is missing: a proxy on the way may not know gRPC',
            http_status=400,
        )

    method = fields.get(":path", "")
    if method not in methods:
        raise RefusalError(Status.UNIMPLEMENTED, f"this server has no method {method}")

    return Request(
        method=method,
        metadata=_read_metadata(headers),
        content_type=content_type,
        deadline=_read_deadline(fields.get("grpc-timeout")),
        user_agent=fields.get("user-agent"),
        encoding=_read_encoding(fields.get("grpc-encoding", IDENTITY)),
        accept_encoding=fields.get("grpc-accept-encoding", ""),
        header_list_size=size,
    )


def _read_encoding(encoding: str) -> str:
    if not is_accepted(encoding, ENCODINGS):
        raise RefusalError(
            Status.UNIMPLEMENTED,
            f"grpc-encoding is {encoding!r}, which this server does not read; "
            f"it accepts {ENCODINGS}",
            headers=[("grpc-accept-encoding", ENCODINGS)],
        )
    return encoding


def _read_deadline(timeout: str | None) -> Deadline | None:
    if timeout is None:
        return None
    match = _TIMEOUT.fullmatch(timeout)
    if match is None:
        raise RefusalError(
            Status.INVALID_ARGUMENT,
            f"grpc-timeout is {timeout!r}; it has to be 1 to 8 digits and one of H M S m u n",
        )
    digits, unit = match.groups()
    return Deadline.from_timeout(int(digits) * _SECONDS[unit])


def _read_metadata(headers: Headers) -> Metadata:
    metadata = cast(Metadata, MultiDict())
    for key, value in headers:
        if key.startswith((":", "grpc-")) or key in SPECIAL_HEADERS:
            continue
        if key.endswith("-bin"):
            try:
                for part in value.split(","):
                    metadata.add(key, decode_bin(part))
            except ValueError:
                raise RefusalError(
                    Status.INVALID_ARGUMENT, f"the metadata value of {key} is not valid base64"
                ) from None
        elif value.isascii():
            metadata.add(key, value)
        else:
            raise RefusalError(
                Status.INVALID_ARGUMENT,
                f"the metadata value of {key} is not ASCII: other text goes as bytes, under a "
                "key that ends in -bin",
            )
    return metadata


def decode_bin(value: str) -> bytes:
    """The bytes of a `-bin` value, padded or not. Raises `ValueError` when it is not base64."""
    text = value.strip().rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {value!r}") from error
