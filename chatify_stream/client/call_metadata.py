"""The metadata of a client's calls: the program's own, the bearer token and the room's. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..rooms import check_name
from ..rooms.metadata import KEY_PREFIX, JoinRequest
from ..rooms.position import Position
from ..wire import MetadataLike
from .tokens import bearer

__all__ = ["MetadataItems", "RoomMetadata", "items_of"]

MetadataItems = list[tuple[str, str | bytes]]


@dataclass(frozen=True)
class RoomMetadata:
    """Builds the metadata of the calls of one `RoomClient`.

    Raises:
        UsageError: A name is invalid, or `extra` has keys that the client sets itself.
    """

    room: str
    user: str | None
    """None if the server derives the name from the token."""
    presence: bool = False
    """Ask for joins and leaves."""
    extra: MetadataLike | None = None
    """Metadata that the program adds."""

    def __post_init__(self) -> None:
        _check_name("room", self.room)
        if self.user is not None:
            _check_name("user", self.user)
        for key, _ in items_of(self.extra):
            if str(key).lower().startswith(KEY_PREFIX):
                raise UsageError(
                    f"the client sets the metadata {key!r} itself; use its arguments instead"
                )

    def session(
        self, token: str | None, user: str | None, resume: Position | None, history: int
    ) -> MetadataItems:
        """Return the metadata of a session. `user` is the session's name if it is known."""
        request = JoinRequest(self.room, user, resume, history, wants_presence=self.presence)
        return self._call(token, request)

    def history(self, token: str | None, user: str | None, limit: int) -> MetadataItems:
        """Return the metadata of a call that reads the newest messages."""
        return self._call(token, JoinRequest(self.room, user, history=limit))

    def users(self, token: str | None, user: str | None) -> MetadataItems:
        """Return the metadata of a call that reads the users of the room."""
        return self._call(token, JoinRequest(self.room, user, wants_users=True))

    def _call(self, token: str | None, request: JoinRequest) -> MetadataItems:
        return [
            *items_of(self.extra),
            *request.encode(),
            *([] if token is None else [bearer(token)]),
        ]


def items_of(metadata: MetadataLike | None) -> Iterable[tuple[str, str | bytes]]:
    """Return the keys and values of metadata in any form that a call accepts."""
    if metadata is None:
        return ()
    return metadata.items() if isinstance(metadata, Mapping) else metadata


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the {kind} must be a str, not {name!r}")
    try:
        check_name(kind, name)
    except ValueError as error:
        raise UsageError(str(error)) from None
