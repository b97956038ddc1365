"""Read the gRPC headers of requests and responses. No I/O.

See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. `read_request` returns the
`Request` of a call, or raises the `RefusalError` to answer it with, so every call is answered.
grpclib 0.4.9 never answered calls with a missing `:method`, a malformed `-bin` value or a very
large `grpc-timeout`, and omitted the content-type of other errors.

`split_binary_values` prepares the headers and trailers of a response for grpclib, which treats a
`-bin` field as a single value and guesses its padding. gRPC allows several values in one field.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container
from dataclasses import dataclass, field

from grpclib.const import Status
from grpclib.metadata import Deadline
from multidict import MultiDict

from ..grpclib_internals import GRPC_CONTENT_TYPE, SPECIAL_HEADERS, Headers, Metadata
from .compression import ENCODINGS, IDENTITY, is_accepted

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    metadata: Metadata
    content_type: str
    deadline: Deadline | None
    user_agent: str | None
    encoding: str
    """Encoding of the request messages; a supported one."""
    accept_encoding: str
    """The `grpc-accept-encoding` of the client, or the empty string."""
    header_list_size: int
    """Size of all headers in bytes, as in RFC 9113, 6.5.2."""


@dataclass(eq=False)
class RefusalError(Exception):
    """The call is rejected with this status before its handler starts."""

    status: Status
    message: str
    http_status: int = 200
    headers: Headers = field(default_factory=list)


def read_request(
    headers: Headers, methods: Container[str], content_subtype: str, max_size: int
) -> Request:
    """Return the request of a call. Raises `RefusalError` if it is invalid or not supported.

    methods: the paths of the supported methods.
    content_subtype: the subtype of the codec, such as `proto`.
    max_size: maximum `header_list_size` in bytes.
    """
    size = sum([len(name) + len(value) + 32 for name, value in headers])
    if size > max_size:
        raise RefusalError(
            Status.RESOURCE_EXHAUSTED,
            f"the headers have {size} bytes; at most {max_size} are allowed",
            http_status=431,
        )
    fields = dict(headers)

    if fields.get(":method") != "POST":
        raise RefusalError(
            Status.INTERNAL, "the HTTP method is not POST, which gRPC requires", http_status=405
        )

    content_type = fields.get("content-type", "")
    base, _, subtype = content_type.partition(";")[0].strip().partition("+")
    if base != GRPC_CONTENT_TYPE or (subtype or content_subtype) != content_subtype:
        raise RefusalError(
            Status.INTERNAL,
            f"content-type {content_type!r} is not supported; use {GRPC_CONTENT_TYPE} or "
            f"{GRPC_CONTENT_TYPE}+{content_subtype}",
            http_status=415,
        )

    if fields.get("te") != "trailers":
        raise RefusalError(
            Status.INTERNAL,
            'the header "te: trailers" is missing; check that every proxy supports gRPC',
            http_status=400,
        )

    method = fields.get(":path", "")
    if method not in methods:
        raise RefusalError(Status.UNIMPLEMENTED, f"unknown method {method}")

    metadata = _read_metadata(headers)
    deadline = _read_deadline(fields.get("grpc-timeout"))

    encoding = fields.get("grpc-encoding", IDENTITY)
    if not is_accepted(encoding, ENCODINGS):
        raise RefusalError(
            Status.UNIMPLEMENTED,
            f"grpc-encoding {encoding!r} is not supported; use one of {ENCODINGS}",
            headers=[("grpc-accept-encoding", ENCODINGS)],
        )

    return Request(
        method=method,
        metadata=metadata,
        content_type=content_type,
        deadline=deadline,
        user_agent=fields.get("user-agent"),
        encoding=encoding,
        accept_encoding=fields.get("grpc-accept-encoding", ""),
        header_list_size=size,
    )


def _read_deadline(timeout: str | None) -> Deadline | None:
    if timeout is None:
        return None
    match = _TIMEOUT.fullmatch(timeout)
    if match is None:
        raise RefusalError(
            Status.INVALID_ARGUMENT,
            f"grpc-timeout {timeout!r} is invalid; send 1 to 8 digits and one of H M S m u n",
        )
    digits, unit = match.groups()
    return Deadline.from_timeout(int(digits) * _SECONDS[unit])


def _read_metadata(headers: Headers) -> Metadata:
    metadata: Metadata = MultiDict()
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
                f"the metadata value of {key} is not ASCII; send other text as UTF-8 under a key "
                "that ends in -bin",
            )
    return metadata


def decode_bin(value: str) -> bytes:
    """Decode a `-bin` value, with or without padding. Raises `ValueError` if it is not base64."""
    text = value.strip().rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {value!r}") from error


def split_binary_values(headers: Headers) -> Headers:
    """Return the headers with every binary metadata value padded and in its own field.

    Raises `ValueError`, which names the key, if a value is not base64.
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
