"""How a client asks to be let into a room, and how it is answered: metadata alone, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import PeerProtocolError, Status, UsageError
from ..rooms import check_name
from ..rooms.position import Position
from ..wire import MetadataLike

__all__ = ["MOST_HISTORY", "Greeting", "JoinRequest", "Metadata", "items_of"]

Metadata = list[tuple[str, str | bytes]]

MOST_HISTORY = 999_999_999
"""Messages that can be asked for; more than any room keeps."""


@dataclass(frozen=True)
class JoinRequest:
    """What every session of one client asks for. Raises `UsageError`."""

    room: str
    user: str | None
    """None when the server knows it from the token."""
    presence: bool = False
    """Joins and leaves are told."""
    metadata: MetadataLike | None = None
    """What the program adds."""

    def __post_init__(self) -> None:
        _check_name("room", self.room)
        if self.user is not None:
            _check_name("user", self.user)
        for key, _ in items_of(self.metadata):
            if str(key).lower().startswith("chat-"):
                raise UsageError(
                    f"the metadata {key!r} is this client's own: it has options for it"
                )

    def session(
        self, token: str | None, user: str | None, resume: Position | None, history: int
    ) -> Metadata:
        """The metadata of a session; `user` is the name that it has, if that is known."""
        asked = self._common(token, user)
        if self.presence:
            asked.append(("chat-events", "presence"))
        if resume is not None:
            asked.append(("chat-resume", str(resume)))
        elif history:
            asked.append(("chat-history", str(history)))
        return asked

    def history(self, token: str | None, user: str | None, limit: int) -> Metadata:
        """The metadata of a call for the newest messages."""
        return [*self._common(token, user), ("chat-history", str(limit))]

    def users(self, token: str | None, user: str | None) -> Metadata:
        """The metadata of a call for who is there."""
        return [*self._common(token, user), ("chat-events", "users")]

    def _common(self, token: str | None, user: str | None) -> Metadata:
        metadata: Metadata = list(items_of(self.metadata))
        metadata.append(_text("chat-room", self.room))
        if user is not None:
            metadata.append(_text("chat-user", user))
        if token is not None:
            metadata.append(("authorization", f"Bearer {token}"))
        return metadata


@dataclass(frozen=True)
class Greeting:
    """How the server answers."""

    session_id: str
    newest: Position
    """The position of the newest message of the room."""
    recovered: bool
    """Every message after the position at which the session was to resume follows."""
    user: str | None
    """The name that the user has, where the server says it."""

    @classmethod
    def read(cls, metadata: Mapping[str, str | bytes]) -> Greeting:
        """Raises `PeerProtocolError` for what is no answer of a room."""
        session_id, epoch, offset, recovered = (
            str(metadata.get(f"chat-{name}", ""))
            for name in ("session", "epoch", "offset", "recovered")
        )
        if not session_id:
            raise PeerProtocolError(
                Status.UNIMPLEMENTED, "the server has no rooms: it did not answer with a session"
            )
        try:
            newest = Position.parse(f"{epoch}/{offset}")
        except ValueError as error:
            raise PeerProtocolError(
                Status.INTERNAL, f"the server did not say where the room is: {error}"
            ) from error
        return cls(session_id, newest, recovered == "true", _user(metadata))


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the {what} is a text, not {name!r}")
    try:
        check_name(what, name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def items_of(metadata: MetadataLike | None) -> Iterable[tuple[str, str | bytes]]:
    """The keys and values of metadata, in any of the forms that it may have."""
    if metadata is None:
        return ()
    return metadata.items() if isinstance(metadata, Mapping) else metadata


def _text(key: str, value: str) -> tuple[str, str | bytes]:
    """A text under its key, or as UTF-8 under the twin of that, since plain values are ASCII."""
    return (key, value) if value.isascii() else (f"{key}-bin", value.encode())


def _user(metadata: Mapping[str, str | bytes]) -> str | None:
    plain, binary = metadata.get("chat-user"), metadata.get("chat-user-bin")
    if isinstance(binary, bytes):
        return binary.decode("utf-8", "replace")
    return plain if isinstance(plain, str) else None
