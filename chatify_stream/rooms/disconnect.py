"""Why a room session ends: its status, the text for the client, and whether to reconnect.

Every room session ends for one reason of this table. If `reconnect` is true, the client may
reconnect, resume at the position in the trailers, and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..errors import Status


class Disconnect(NamedTuple):
    reason: str
    """The name of the reason in metrics and logs."""
    status: Status
    text: str
    reconnect: bool


class DisconnectReason(Enum):
    """The table: name in metrics and logs, status, text with placeholders, reconnect.

    Dashboards hold the names. A member may be renamed, its name in the table may not.
    """

    DONE = "done", Status.OK, "", False
    """The client half-closed, and has received all that it published."""
    LEFT = "left", Status.CANCELLED, "the client has left", True
    """The call was cancelled, or the connection was lost, before a half-close."""
    BAD_REQUEST = "bad_request", Status.INVALID_ARGUMENT, "{why}", False
    ID_CONFLICT = (
        "id_conflict",
        Status.INVALID_ARGUMENT,
        "the id {id!r} was published with another text, at offset {offset}; "
        "a new message needs a new id",
        False,
    )
    REFUSED = "refused", Status.PERMISSION_DENIED, "{why}", False
    """A hook of the embedding program rejected the user."""
    FORBIDDEN = "forbidden", Status.PERMISSION_DENIED, "not allowed: {why}", False
    """The user lacks the right."""
    EXPIRED = "expired", Status.UNAUTHENTICATED, "{why}", True
    """The token or the certificate has expired."""
    UNCHECKED = "unchecked", Status.UNAVAILABLE, "{why}", True
    """A hook of the embedding program failed or timed out."""
    BAD_MESSAGE = "bad_message", Status.INTERNAL, "{why}", False
    TOO_LARGE = "too_large", Status.RESOURCE_EXHAUSTED, "{why}", False
    OVER_LIMIT = "over_limit", Status.RESOURCE_EXHAUSTED, "{why}", True
    """A usage limit is reached, such as messages per second; see the trailer `retry-after-ms`."""
    SLOW_READER = (
        "slow_reader",
        Status.RESOURCE_EXHAUSTED,
        "the client reads too slowly: more than {limit} bytes are buffered; reconnect and resume",
        True,
    )
    STALLED = "stalled", Status.RESOURCE_EXHAUSTED, "{why}; reconnect and resume", True
    """A write made no progress within the write timeout."""
    HISTORY_TRIMMED = (
        "overtaken",
        Status.RESOURCE_EXHAUSTED,
        "the client reads too slowly: the room no longer keeps the next messages; "
        "reconnect to get the newest",
        True,
    )
    DRAINING = (
        "draining",
        Status.UNAVAILABLE,
        "the server is shutting down; reconnect and resume",
        True,
    )
    BROKER_AWAY = (
        "broker_away",
        Status.UNAVAILABLE,
        "the broker of the rooms is unavailable; reconnect and send again",
        True,
    )
    LOG_RESET = (
        "log_reset",
        Status.UNAVAILABLE,
        "the log of the room was lost or reset; reconnect to get the new epoch",
        True,
    )
    DISCONNECTED = "sent_away", Status.PERMISSION_DENIED, "disconnected: {why}", False
    """An operator disconnected the user for good."""
    RECONNECT_REQUESTED = "sent_back", Status.UNAVAILABLE, "disconnected: {why}; reconnect", True
    """An operator disconnected the user, who may reconnect."""
    FAILED = "failed", Status.INTERNAL, "the server failed; reconnect and resume", True

    @property
    def label(self) -> str:
        return self.value[0]

    def __call__(self, **values: object) -> Disconnect:
        """Return the end of one session. `values` fill the placeholders of the text."""
        reason, status, text, reconnect = self.value
        return Disconnect(reason, status, text.format(**values), reconnect)


@dataclass(eq=False)
class SessionEnded(Exception):  # noqa: N818 - a session may end without an error
    """Ends a room session from within, for the reason in `disconnect`."""

    disconnect: Disconnect
