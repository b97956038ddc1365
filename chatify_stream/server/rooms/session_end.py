"""Which row of the table of endings it is that a session came to."""

from __future__ import annotations

from ...rooms import Disconnect

__all__ = ["SessionEnded"]


class SessionEnded(Exception):  # noqa: N818 - some ends are no errors
    """Ends a room session from within, with status and text."""

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__(disconnect)
        self.disconnect = disconnect
