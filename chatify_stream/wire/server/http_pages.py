"""Plain HTTP pages on the gRPC port, for the GET requests of load balancers and people. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..grpclib_internals import Headers

__all__ = ["Page", "Pages", "find_page"]


@dataclass(frozen=True)
class Page:
    """The response to a GET request."""

    text: str
    status: int = 200

    @property
    def body(self) -> bytes:
        return self.text.encode()

    @property
    def headers(self) -> Headers:
        return [
            (":status", str(self.status)),
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(self.body))),
        ]


Pages = Mapping[str, Callable[[], Page]]
"""By path, functions that make a page when it is requested."""


def find_page(headers: Headers, pages: Pages) -> tuple[Page, bool] | None:
    """Return the requested page, and whether to send its body (GET, not HEAD).

    Return None for any other request.
    """
    fields = dict(headers)
    method = fields.get(":method")
    if method not in ("GET", "HEAD"):
        return None
    make = pages.get(fields.get(":path", "").partition("?")[0])
    return None if make is None else (make(), method == "GET")
