"""Why a session of a room ends: its gRPC status, what the client is told, whether to come back.

Rules: every session ends for one of these reasons. `reconnect` says whether coming back helps: a
client that is told "yes" resumes at the position that it got with it and loses nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..errors import Status

__all__ = ["Ending", "EndingReason"]


class Ending(NamedTuple):
    """How one session ends."""

    reason: str
    status: Status
    text: str
    reconnect: bool


class EndingReason(Enum):
    """The table: status, text with places for what is said of the one case, reconnect."""

    DONE = Status.OK, "", False
    """The client half-closed, and has got all that it published."""

    LEFT = Status.CANCELLED, "the client has left", True
    """Without a half-close: it was cancelled, or its connection lost."""

    BAD_REQUEST = Status.INVALID_ARGUMENT, "{why}", False
    ID_CONFLICT = (
        Status.INVALID_ARGUMENT,
        "the id {id!r} was published with another text, at offset {offset}; "
        "a new message needs a new id",
        False,
    )
    REFUSED = Status.PERMISSION_DENIED, "{why}", False
    """The program in which the server runs does not let this user in."""

    FORBIDDEN = Status.PERMISSION_DENIED, "not allowed: {why}", False
    """What is known of the user does not give the right."""

    EXPIRED = Status.UNAUTHENTICATED, "{why}", True
    """The token, or the certificate, by which the user was known."""

    UNCHECKED = Status.UNAVAILABLE, "{why}", True
    """That program could not say whether it does."""

    BAD_MESSAGE = Status.INTERNAL, "{why}", False
    TOO_LARGE = Status.RESOURCE_EXHAUSTED, "{why}", False
    OVER_LIMIT = Status.RESOURCE_EXHAUSTED, "{why}", True
    """Of use, such as messages a second; `retry-after-ms` says when to come back."""

    SLOW_READER = (
        Status.RESOURCE_EXHAUSTED,
        "the client reads too slowly: more than {limit} bytes wait for it; come back and resume",
        True,
    )
    STALLED = Status.RESOURCE_EXHAUSTED, "{why}; come back and resume", True
    """The client has read nothing for so long as the limits allow."""

    OVERTAKEN = (
        Status.RESOURCE_EXHAUSTED,
        "the client reads too slowly: the room has dropped messages that it had not read yet; "
        "come back for the newest",
        True,
    )
    DRAINING = Status.UNAVAILABLE, "the server is shutting down; come back and resume", True
    BROKER_AWAY = (
        Status.UNAVAILABLE,
        "the messages of the rooms cannot be reached now; come back and send again",
        True,
    )
    LOG_RESET = (
        Status.UNAVAILABLE,
        "the log of the room was lost or reset; come back for its new epoch",
        True,
    )
    SENT_AWAY = Status.PERMISSION_DENIED, "disconnected: {why}", False
    """By an operator, for good."""

    SENT_BACK = Status.UNAVAILABLE, "disconnected: {why}; come back", True
    """By an operator, who says that coming back helps."""

    FAILED = Status.INTERNAL, "the server failed; come back and resume", True

    def __call__(self, **values: object) -> Ending:
        """The ending of one case."""
        status, text, reconnect = self.value
        return Ending(self.name.lower(), status, text.format(**values), reconnect)
