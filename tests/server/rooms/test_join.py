"""Tests of server/rooms/joining.py: what a client says of the room it wants."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from chatify_stream.rooms.position import Position
from chatify_stream.server.rooms.join import JoinRequest, read_join, wants_room


def join(**metadata: str | bytes) -> JoinRequest:
    """`user_bin` stands for `chat-user-bin`; the room is `lobby` unless it is said."""
    if "room" not in metadata and "room_bin" not in metadata:
        metadata["room"] = "lobby"
    return read_join({f"chat-{key.replace('_', '-')}": value for key, value in metadata.items()})


def why(**metadata: str | bytes) -> str:
    """What is wrong with it."""
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
def test_whether_it_is_for_a_room(metadata: dict[str, str | bytes], wants: bool) -> None:
    """A call that says anything of a room is for one, also when that is wrong."""
    assert wants_room(metadata) is wants


def test_a_room_alone() -> None:
    """All else has a default."""
    assert join(room="lobby") == JoinRequest("lobby", None, None, 0, False, False)


def test_everything() -> None:
    """Each key is read."""
    expected = JoinRequest("lobby", "ada", Position("e-1", 17), 0, True, True)
    assert join(room="lobby", user="ada", resume="e-1/17", events="presence,users") == expected
    assert join(history="25").history == 25


def test_everything_in_utf_8() -> None:
    """Each key has its twin, and names in it may be of any script."""
    expected = JoinRequest("大厅", "世界", Position("e", 3), 0, True, False)
    assert expected == join(
        room_bin="大厅".encode(),
        user_bin="世界".encode(),
        resume_bin=b"e/3",
        events_bin=b"presence",
    )
    assert join(history_bin=b"25").history == 25


def test_both_twins() -> None:
    """They may both be there if they say the same."""
    assert join(room="lobby", room_bin=b"lobby").room == "lobby"
    assert why(room="lobby", room_bin=b"attic") == (
        "chat-room and chat-room-bin differ: send one of them"
    )
    assert why(user="ada", user_bin=b"") == "chat-user and chat-user-bin differ: send one of them"


@pytest.mark.parametrize("key", ["room", "user", "resume", "history", "events"])
def test_what_is_no_text(key: str) -> None:
    """Bytes that are not UTF-8, and plain values that are not ASCII, are said to be so."""
    assert why(**{f"{key}_bin": b"\xff\xfe"}) == f"chat-{key}-bin is not UTF-8"
    assert why(**{f"{key}_bin": "\ud800".encode("utf-8", "surrogatepass")}) == (
        f"chat-{key}-bin is not UTF-8"
    )
    assert why(**{key: "Zoë"}) == f"chat-{key} is not ASCII; send it as UTF-8 in chat-{key}-bin"


@pytest.mark.parametrize("key", ["room", "user"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        (b"", "name is empty; it has 1 to 128 characters"),
        (b"x" * 129, "name has 129 characters; at most 128 are allowed"),
        ("界".encode() * 129, "name has 129 characters; at most 128 are allowed"),
        (b"a\0b", "has the control character U+0000, which is not allowed"),
        (b"a\nb", "has the control character U+000A, which is not allowed"),
        ("a\u2028b".encode(), "has the control character U+2028, which is not allowed"),
        (b" a", "begins or ends with a space, which is not allowed"),
    ],
)
def test_names(key: str, name: bytes, part: str) -> None:
    """A name that cannot be is refused, with the reason, in both forms."""
    text = why(**{f"{key}_bin": name})
    assert text.startswith(f"the {key} name ")
    assert part in text
    if name.isascii():
        assert why(**{key: name.decode()}) == text


def test_longest_names() -> None:
    """Names are as long as they may be, by their characters."""
    name = "🚀" * 128
    assert join(room_bin=name.encode(), user_bin=name.encode())[:2] == (name, name)


@pytest.mark.parametrize("text", ["", "e", "e/", "/1", "e/x", "e/-1", "e/1/", "e e/1", "世/1"])
def test_resume_tokens(text: str) -> None:
    """One that is no position is refused, with what a position is."""
    assert why(resume_bin=text.encode()) == (
        f"chat-resume: {text!r} is no position; one is EPOCH/OFFSET, as the server has sent it"
    )


def test_a_position_that_cannot_be() -> None:
    assert "larger than any" in why(resume=f"e/{2**63}")


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1.5", "1e3", " 1", "1 ", "1" * 10, "٣"])
def test_history(text: str) -> None:
    """It is a number of messages, and nothing else."""
    assert why(history_bin=text.encode()) == (
        f"chat-history is a whole number of messages from 0 to 999999999, not {text!r}"
    )


def test_how_much_history() -> None:
    """None is as good as not to ask; the most is more than anybody keeps."""
    assert join(history="0").history == 0
    assert join(history="007").history == 7
    assert join(history="9" * 9).history == 999_999_999


def test_history_with_a_resume() -> None:
    """A session has one place to begin; so it is also with wrong ones, and of the twins."""
    text = "chat-resume and chat-history do not go together: send one of them"
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
    """They are named with commas between, in any order."""
    request = join(events=text)
    assert (request.wants_presence, request.wants_users) == (presence, users)


@pytest.mark.parametrize("text", ["typing", "presence,typing", "typing;users", "Presence"])
def test_unknown_events(text: str) -> None:
    """The text says which there are."""
    unknown = text.removeprefix("presence,")
    assert why(events=text) == (
        f"chat-events: there is no {unknown!r}; there are presence, users, with commas between"
    )


def test_a_key_that_comes_twice() -> None:
    """Of a key that is sent more than once, the first counts."""
    metadata = MultiDict([("chat-room", "lobby"), ("chat-room", "attic")])
    assert read_join(metadata).room == "lobby"
