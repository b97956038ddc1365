"""What a server needs beside the base: the extras of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UsageError

__all__ = ["needing"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports: raises `UsageError`, which says what to install, when they fail."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise UsageError(
            f"{extra} needs {package}: pip install 'chatify-stream[{extra}]'"
        ) from error
