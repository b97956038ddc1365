"""Which row of the table of endings it is that a session came to."""

from __future__ import annotations

from ...rooms import Ending

__all__ = ["EndedError"]


class EndedError(Exception):
    """Ends a session, from within."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending
