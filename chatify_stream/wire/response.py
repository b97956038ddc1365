"""Reads the headers of an answer, without I/O, as far as grpclib cannot.

grpclib takes a `-bin` field for one value, and guesses its padding: of several values, which gRPC
allows in one field, it made one, or raised what its callers do not expect.
"""

from __future__ import annotations

import base64

from .grpclib_internals import Headers
from .request import decode_bin

__all__ = ["readable"]


def readable(headers: Headers) -> Headers:
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
