"""Tests of client/call_metadata.py."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from chatify_stream import Position, UsageError
from chatify_stream.client.call_metadata import RoomMetadata


class TestSession:
    def test_room_and_user(self) -> None:
        """A session sends its room and its user."""
        request = RoomMetadata("lobby", "ada")
        assert request.session(None, "ada", None, 0) == [
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
        ]

    def test_without_a_user(self) -> None:
        """Without a user, only the token identifies the client."""
        request = RoomMetadata("lobby", None)
        assert request.session("t0ken", None, None, 0) == [
            ("chat-room", "lobby"),
            ("authorization", "Bearer t0ken"),
        ]

    def test_everything(self) -> None:
        """The program's own metadata comes first; a session that resumes asks for no history."""
        request = RoomMetadata("lobby", None, presence=True, extra={"x-trace": "1"})
        assert request.session("t", "ada", Position("e", 7), 50) == [
            ("x-trace", "1"),
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("chat-events", "presence"),
            ("chat-resume", "e/7"),
            ("authorization", "Bearer t"),
        ]

    def test_history(self) -> None:
        """Without a position, a session asks for the newest messages."""
        metadata = RoomMetadata("lobby", "ada").session(None, "ada", None, 50)
        assert ("chat-history", "50") in metadata

    def test_names_that_are_not_ascii(self) -> None:
        """Names that are not ASCII are sent as UTF-8 under the `-bin` keys."""
        assert RoomMetadata("大厅", "世界").session(None, "世界", None, 0) == [
            ("chat-room-bin", "大厅".encode()),
            ("chat-user-bin", "世界".encode()),
        ]

    @pytest.mark.parametrize(
        "metadata", [{"a": "1"}, [("a", "1")], MultiDict([("a", "1")]), MultiDict([("a", "1")] * 2)]
    )
    def test_metadata_of_the_program(self, metadata: object) -> None:
        """The program passes a mapping, a list of pairs, or a multidict with a repeated key."""
        sent = RoomMetadata("lobby", None, extra=metadata).session(None, None, None, 0)
        assert set(sent) == {("a", "1"), ("chat-room", "lobby")}
        assert len(sent) == len(metadata) + 1


class TestOtherCalls:
    def test_history(self) -> None:
        """A call for history sends the room, the user and the token, but asks for no presence."""
        request = RoomMetadata("lobby", None, presence=True, extra={"a": "1"})
        assert request.history("t", "ada", limit=5) == [
            ("a", "1"),
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("chat-history", "5"),
            ("authorization", "Bearer t"),
        ]

    def test_users(self) -> None:
        """A call for the users asks only for them."""
        assert RoomMetadata("lobby", "ada", presence=True).users(None, "ada") == [
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("chat-events", "users"),
        ]


class TestMistakes:
    @pytest.mark.parametrize(
        ("room", "user", "reason"),
        [
            ("", "ada", "the room name is empty; use 1 to 128 characters"),
            ("lobby", "", "the user name is empty"),
            ("x" * 129, "ada", "the room name has 129 characters; at most 128 are allowed"),
            ("a\nb", "ada", r"control character U\+000A"),
            ("lobby", " ada", "begins or ends with a space"),
            (5, "ada", "the room must be a str, not 5"),
            ("lobby", b"ada", "the user must be a str, not b'ada'"),
        ],
    )
    def test_names(self, room: object, user: object, reason: str) -> None:
        """An invalid name is rejected at once, with the reason."""
        with pytest.raises(UsageError, match=reason):
            RoomMetadata(room, user)

    @pytest.mark.parametrize("key", ["chat-room", "Chat-Resume", "chat-user-bin"])
    def test_metadata(self, key: str) -> None:
        """The program cannot set the metadata that the client sets."""
        with pytest.raises(UsageError, match="use its arguments instead"):
            RoomMetadata("lobby", "ada", extra={key: "x"})
