"""Tests of client/joining.py, on values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from chatify_stream import PeerProtocolError, Position, Status, UsageError
from chatify_stream.client.join import Greeting, JoinRequest
from chatify_stream.rooms import check_name
from chatify_stream.server.rooms.join import read_join


def names() -> st.SearchStrategy[str]:
    def is_name(text: str) -> bool:
        try:
            return bool(check_name("user", text))
        except ValueError:
            return False

    return st.text(min_size=1, max_size=12).filter(is_name)


class TestSession:
    def test_the_least(self) -> None:
        """A session asks for its room, and says who it is."""
        request = JoinRequest("lobby", "ada")
        assert request.session(None, "ada", None, 0) == [
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
        ]

    def test_without_a_user(self) -> None:
        """Where the token says who it is, nothing else does."""
        request = JoinRequest("lobby", None)
        assert request.session("t0ken", None, None, 0) == [
            ("chat-room", "lobby"),
            ("authorization", "Bearer t0ken"),
        ]

    def test_everything(self) -> None:
        """What the program adds comes first; resuming leaves no place for history."""
        request = JoinRequest("lobby", None, presence=True, metadata={"x-trace": "1"})
        assert request.session("t", "ada", Position("e", 7), 50) == [
            ("x-trace", "1"),
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("authorization", "Bearer t"),
            ("chat-events", "presence"),
            ("chat-resume", "e/7"),
        ]

    def test_history(self) -> None:
        """Without a position, so many of the newest messages are asked for."""
        metadata = JoinRequest("lobby", "ada").session(None, "ada", None, 50)
        assert ("chat-history", "50") in metadata

    def test_names_that_are_not_ascii(self) -> None:
        """Other names are sent as UTF-8, under the twins of the keys."""
        assert JoinRequest("大厅", "世界").session(None, "世界", None, 0) == [
            ("chat-room-bin", "大厅".encode()),
            ("chat-user-bin", "世界".encode()),
        ]

    @given(room=names(), user=names(), history=st.integers(0, 999_999_999), presence=st.booleans())
    def test_what_the_server_reads(
        self, room: str, user: str, history: int, presence: bool
    ) -> None:
        """The server reads what was asked for."""
        request = JoinRequest(room, user, presence=presence)
        read = read_join(dict(request.session(None, user, None, history)))
        assert (read.room, read.user, read.resume) == (room, user, None)
        assert (read.history, read.wants_presence, read.wants_users) == (history, presence, False)

    @pytest.mark.parametrize(
        "metadata", [{"a": "1"}, [("a", "1")], MultiDict([("a", "1")]), MultiDict([("a", "1")] * 2)]
    )
    def test_metadata_of_the_program(self, metadata: object) -> None:
        """It may be a mapping, a list of pairs, or a mapping with a key more than once."""
        sent = JoinRequest("lobby", None, metadata=metadata).session(None, None, None, 0)
        assert set(sent) == {("a", "1"), ("chat-room", "lobby")}
        assert len(sent) == len(metadata) + 1


class TestOtherCalls:
    def test_history(self) -> None:
        """A call for history has the session's room, user and token, and nothing else of it."""
        request = JoinRequest("lobby", None, presence=True, metadata={"a": "1"})
        assert request.history("t", "ada", limit=5) == [
            ("a", "1"),
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("authorization", "Bearer t"),
            ("chat-history", "5"),
        ]

    def test_users(self) -> None:
        """A call for who is there asks for nothing else."""
        assert JoinRequest("lobby", "ada", presence=True).users(None, "ada") == [
            ("chat-room", "lobby"),
            ("chat-user", "ada"),
            ("chat-events", "users"),
        ]


class TestMistakes:
    @pytest.mark.parametrize(
        ("room", "user", "reason"),
        [
            ("", "ada", "the room name is empty; it has 1 to 128 characters"),
            ("lobby", "", "the user name is empty"),
            ("x" * 129, "ada", "the room name has 129 characters; at most 128 are allowed"),
            ("a\nb", "ada", r"control character U\+000A"),
            ("lobby", " ada", "begins or ends with a space"),
            (5, "ada", "the room is a text, not 5"),
            ("lobby", b"ada", "the user is a text, not b'ada'"),
        ],
    )
    def test_names(self, room: object, user: object, reason: str) -> None:
        """A name that no server takes is refused at once, and the text says why."""
        with pytest.raises(UsageError, match=reason):
            JoinRequest(room, user)

    @pytest.mark.parametrize("key", ["chat-room", "Chat-Resume", "chat-user-bin"])
    def test_metadata(self, key: str) -> None:
        """The program cannot set the client's own metadata."""
        with pytest.raises(UsageError, match="has options for it"):
            JoinRequest("lobby", "ada", metadata={key: "x"})


GREETING = {"chat-session": "s", "chat-epoch": "e", "chat-offset": "7", "chat-recovered": "true"}


class TestGreeting:
    def test_all_of_it(self) -> None:
        """It has the session, where the room is, whether it resumes, and maybe the user."""
        assert Greeting.read(GREETING) == Greeting("s", Position("e", 7), True, None)
        assert Greeting.read(GREETING | {"chat-recovered": "false"}).recovered is False

    @pytest.mark.parametrize(
        ("more", "user"),
        [
            ({"chat-user": "ada"}, "ada"),
            ({"chat-user-bin": "世界".encode()}, "世界"),
            ({"chat-user-bin": b"\xff"}, "\N{REPLACEMENT CHARACTER}"),
        ],
    )
    def test_the_user(self, more: dict[str, str | bytes], user: str) -> None:
        """The server may say who the user is, in ASCII or in UTF-8."""
        assert Greeting.read(GREETING | more).user == user

    def test_a_server_without_rooms(self) -> None:
        """An answer without a session is that of a server which knows no rooms."""
        with pytest.raises(PeerProtocolError, match="no rooms") as caught:
            Greeting.read({"content-type": "application/grpc"})
        assert caught.value.status is Status.UNIMPLEMENTED

    @pytest.mark.parametrize(
        "wrong", [{"chat-epoch": ""}, {"chat-offset": "-1"}, {"chat-offset": "x"}]
    )
    def test_no_position(self, wrong: dict[str, str]) -> None:
        """An answer that does not say where the room is breaks the protocol."""
        with pytest.raises(PeerProtocolError, match="where the room is"):
            Greeting.read(GREETING | wrong)
