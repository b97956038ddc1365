"""Plain HTTP beside gRPC: pages that load balancers and people ask for with GET.

No I/O. A page is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..grpclib_internals import Headers

__all__ = ["Page", "Pages", "find_page"]


@dataclass(frozen=True)
class Page:
    """What a GET is answered with."""

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
"""By path."""


def find_page(headers: Headers, pages: Pages) -> tuple[Page, bool] | None:
    """The page that is asked for, and whether with its body; None for anything else."""
    fields = dict(headers)
    method = fields.get(":method")
    if method not in ("GET", "HEAD"):
        return None
    make = pages.get(fields.get(":path", "").partition("?")[0])
    return None if make is None else (make(), method == "GET")
