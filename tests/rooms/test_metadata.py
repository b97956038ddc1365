"""Tests of rooms/metadata.py: the metadata of a room session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from chatify_stream import PeerProtocolError, Position, Status
from chatify_stream.rooms import check_name
from chatify_stream.rooms.metadata import (
    JoinRequest,
    JoinResponse,
    encode_trailers,
    read_reconnect,
    requested_room,
    wants_room,
)


def join(**metadata: str | bytes) -> JoinRequest:
    """Decode a request. `user_bin` means `chat-user-bin`; the default room is `lobby`."""
    if "room" not in metadata and "room_bin" not in metadata:
        metadata["room"] = "lobby"
    return JoinRequest.decode(
        {f"chat-{key.replace('_', '-')}": value for key, value in metadata.items()}
    )


def why(**metadata: str | bytes) -> str:
    """Return the error text of a request."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        join(**metadata)
    return str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "wants"),
    [
        ({}, False),
        ({"chat-user": "ada"}, False),
        ({"chat-rooms": "lobby"}, False),
        ({"chat-room": "lobby"}, True),
        ({"chat-room": ""}, True),
        ({"chat-room-bin": b"lobby"}, True),
        ({"chat-room-bin": b""}, True),
    ],
)
def test_wants_room(metadata: dict[str, str | bytes], wants: bool) -> None:
    """A call with either key of a room asks for a room, even if the value is wrong."""
    assert wants_room(metadata) is wants


def test_a_room_alone() -> None:
    """Everything but the room has a default."""
    assert join(room="lobby") == JoinRequest("lobby", None, None, 0, False, False)


def test_everything() -> None:
    """Each key is decoded."""
    expected = JoinRequest("lobby", "ada", Position("e-1", 17), 0, True, True)
    assert join(room="lobby", user="ada", resume="e-1/17", events="presence,users") == expected
    assert join(history="25").history == 25


def test_everything_in_utf_8() -> None:
    """Each key has a twin, which carries text in any script."""
    expected = JoinRequest("大厅", "世界", Position("e", 3), 0, True, False)
    assert expected == join(
        room_bin="大厅".encode(),
        user_bin="世界".encode(),
        resume_bin=b"e/3",
        events_bin=b"presence",
    )
    assert join(history_bin=b"25").history == 25


def test_both_twins() -> None:
    """A key and its twin may both be present if their values are equal."""
    assert join(room="lobby", room_bin=b"lobby").room == "lobby"
    assert why(room="lobby", room_bin=b"attic") == (
        "chat-room and chat-room-bin differ; send one of them"
    )
    assert why(user="ada", user_bin=b"") == "chat-user and chat-user-bin differ; send one of them"


@pytest.mark.parametrize("key", ["room", "user", "resume", "history", "events"])
def test_undecodable_text(key: str) -> None:
    """A twin that is not UTF-8 and a plain value that is not ASCII are rejected."""
    assert (
        why(**{f"{key}_bin": b"\xff\xfe"})
        == f"chat-{key}-bin is not UTF-8; encode the text as UTF-8"
    )
    assert why(**{f"{key}_bin": "\ud800".encode("utf-8", "surrogatepass")}) == (
        f"chat-{key}-bin is not UTF-8; encode the text as UTF-8"
    )
    assert why(**{key: "Zoë"}) == f"chat-{key} is not ASCII; send it as UTF-8 in chat-{key}-bin"


@pytest.mark.parametrize("key", ["room", "user"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        (b"", "name is empty; use 1 to 128 characters"),
        (b"x" * 129, "name has 129 characters; at most 128 are allowed"),
        ("界".encode() * 129, "name has 129 characters; at most 128 are allowed"),
        (b"a\0b", "has the control character U+0000, which is not allowed"),
        (b"a\nb", "has the control character U+000A, which is not allowed"),
        ("a\u2028b".encode(), "has the control character U+2028, which is not allowed"),
        (b" a", "begins or ends with a space, which is not allowed"),
    ],
)
def test_names(key: str, name: bytes, part: str) -> None:
    """An invalid name is rejected with the reason, from the key and from its twin."""
    text = why(**{f"{key}_bin": name})
    assert text.startswith(f"the {key} name ")
    assert part in text
    if name.isascii():
        assert why(**{key: name.decode()}) == text


def test_longest_names() -> None:
    """The maximum length of a name counts characters, not bytes."""
    name = "🚀" * 128
    assert join(room_bin=name.encode(), user_bin=name.encode())[:2] == (name, name)


@pytest.mark.parametrize("text", ["", "e", "e/", "/1", "e/x", "e/-1", "e/1/", "e e/1", "世/1"])
def test_resume_tokens(text: str) -> None:
    """A resume token that is not a position is rejected, and the error shows the format."""
    assert why(resume_bin=text.encode()) == (
        f"chat-resume: {text!r} is not a position; use EPOCH/OFFSET as the server sent it"
    )


def test_too_large_offset() -> None:
    """An offset above the maximum is rejected."""
    assert "larger than" in why(resume=f"e/{2**63}")


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1.5", "1e3", " 1", "1 ", "1" * 10, "٣"])
def test_history(text: str) -> None:
    """The history is a plain decimal number."""
    assert why(history_bin=text.encode()) == (
        f"chat-history: {text!r} is not a number of messages; "
        "send a whole number from 0 to 999999999"
    )


def test_how_much_history() -> None:
    """The history goes from 0 to nine digits; leading zeros are allowed."""
    assert join(history="0").history == 0
    assert join(history="007").history == 7
    assert join(history="9" * 9).history == 999_999_999


def test_history_with_a_resume() -> None:
    """Resume and history exclude each other, also in twins and with invalid values."""
    text = "chat-resume and chat-history exclude each other; send one of them"
    assert why(resume="e/1", history="5") == text
    assert why(resume_bin=b"e/1", history_bin=b"0") == text
    assert why(resume="x", history="x") == text


@pytest.mark.parametrize(
    ("text", "presence", "users"),
    [
        ("", False, False),
        (",", False, False),
        ("presence", True, False),
        ("users", False, True),
        ("users,presence", True, True),
        (" presence , users ,", True, True),
        ("presence,presence", True, False),
    ],
)
def test_events(text: str, presence: bool, users: bool) -> None:
    """Events are separated by commas, in any order."""
    request = join(events=text)
    assert (request.wants_presence, request.wants_users) == (presence, users)


@pytest.mark.parametrize("text", ["typing", "presence,typing", "typing;users", "Presence"])
def test_unknown_events(text: str) -> None:
    """An unknown event is rejected, and the error lists the known ones."""
    unknown = text.removeprefix("presence,")
    assert why(events=text) == (
        f"chat-events: {unknown!r} is not an event; send presence or users, separated by commas"
    )


def test_a_key_that_comes_twice() -> None:
    """The first value of a repeated key counts."""
    metadata = MultiDict([("chat-room", "lobby"), ("chat-room", "attic")])
    assert JoinRequest.decode(metadata).room == "lobby"


def names() -> st.SearchStrategy[str]:
    """Generate valid names."""

    def is_name(text: str) -> bool:
        try:
            return bool(check_name("user", text))
        except ValueError:
            return False

    return st.text(min_size=1, max_size=12).filter(is_name)


@given(
    room=names(),
    user=names() | st.none(),
    position=st.none() | st.builds(Position, st.just("e-1"), st.integers(0, 2**63 - 1)),
    history=st.integers(0, 999_999_999),
    presence=st.booleans(),
    users=st.booleans(),
)
def test_request_round_trip(
    room: str,
    user: str | None,
    position: Position | None,
    history: int,
    presence: bool,
    users: bool,
) -> None:
    """The server decodes the request that the client encoded."""
    request = JoinRequest(room, user, position, 0 if position else history, presence, users)
    assert JoinRequest.decode(dict(request.encode())) == request


@given(user=names(), offset=st.integers(0, 2**63 - 1), recovered=st.booleans())
def test_response_round_trip(user: str, offset: int, recovered: bool) -> None:
    """The client decodes the response that the server encoded."""
    response = JoinResponse("s", Position("e", offset), recovered, user)
    assert JoinResponse.decode(response.encode()) == response


@pytest.mark.parametrize(
    ("reconnect", "resume", "trailers"),
    [
        (True, Position("e", 7), {"chat-reconnect": "yes", "chat-resume": "e/7"}),
        (False, None, {"chat-reconnect": "no"}),
    ],
)
def test_trailers(reconnect: bool, resume: Position | None, trailers: dict[str, str]) -> None:
    """Trailers say whether reconnecting helps and where to resume."""
    assert encode_trailers(reconnect, resume) == trailers
    assert read_reconnect(trailers) is reconnect


@pytest.mark.parametrize("trailers", [{}, {"chat-reconnect": "maybe"}, {"chat-reconnect": b"yes"}])
def test_trailers_without_advice(trailers: dict[str, str | bytes]) -> None:
    """Trailers with a missing or unknown value say nothing about reconnecting."""
    assert read_reconnect(trailers) is None


def test_requested_room() -> None:
    """The requested room is read without checking the name."""
    assert requested_room({"chat-room": " x "}) == " x "
    assert requested_room({"chat-room-bin": b"\xff"}) is None
    assert requested_room({}) is None


RESPONSE = {"chat-session": "s", "chat-epoch": "e", "chat-offset": "7", "chat-recovered": "true"}


class TestResponse:
    def test_all_of_it(self) -> None:
        """A response has the session, the newest position and whether the session resumes."""
        assert JoinResponse.decode(RESPONSE) == JoinResponse("s", Position("e", 7), True, None)
        assert JoinResponse.decode(RESPONSE | {"chat-recovered": "false"}).recovered is False

    @pytest.mark.parametrize(
        ("more", "user"),
        [
            ({"chat-user": "ada"}, "ada"),
            ({"chat-user-bin": "世界".encode()}, "世界"),
            ({"chat-user-bin": b"\xff"}, "\N{REPLACEMENT CHARACTER}"),
        ],
    )
    def test_the_user(self, more: dict[str, str | bytes], user: str) -> None:
        """The user name is read from either key; invalid UTF-8 is replaced, not rejected."""
        assert JoinResponse.decode(RESPONSE | more).user == user

    def test_a_server_without_rooms(self) -> None:
        """A response without a session comes from a server without rooms."""
        with pytest.raises(PeerProtocolError, match="the server has no rooms") as caught:
            JoinResponse.decode({"content-type": "application/grpc"})
        assert caught.value.status is Status.UNIMPLEMENTED

    @pytest.mark.parametrize(
        "wrong", [{"chat-epoch": ""}, {"chat-offset": "-1"}, {"chat-offset": "x"}]
    )
    def test_no_position(self, wrong: dict[str, str]) -> None:
        """A response without a valid position is a protocol error."""
        with pytest.raises(PeerProtocolError, match="the server sent an invalid room position"):
            JoinResponse.decode(RESPONSE | wrong)
