"""Tests of server/rooms/transport.py: the rights of a session."""

import pytest

from chatify_stream import Grants, Identity
from chatify_stream.rooms import SessionEnded
from chatify_stream.rooms.metadata import JoinRequest
from chatify_stream.server.rooms.transport import Permission, permission_of


def join(user: str | None = None, room: str = "lobby") -> JoinRequest:
    return JoinRequest(room, user, None, 0, False, False)


def ada(*rights: str) -> Identity:
    return Identity("ada", Grants.of({"lobby": rights}))


@pytest.mark.parametrize("identity", [None, "somebody's own"])
def test_nobody_is_asked(identity: object) -> None:
    """Without authentication the client chooses its user name."""
    assert permission_of(identity, join("bob")) == Permission("bob", True, True)
    assert permission_of(identity, join()) == Permission(None, True, True)


@pytest.mark.parametrize(
    ("rights", "may_send", "may_read"),
    [
        (["join"], False, False),
        (["join", "send"], True, False),
        (["join", "read"], False, True),
        (["join", "send", "read"], True, True),
        (["admin"], True, True),
    ],
)
def test_rights(rights: list[str], may_send: bool, may_read: bool) -> None:
    """An authenticated caller has its own name and rights."""
    for said in (None, "ada"):
        assert permission_of(ada(*rights), join(said)) == Permission("ada", may_send, may_read)


OTHER_NAME = "the requested user name is not that of the caller; request 'ada' or no user name"


@pytest.mark.parametrize(
    ("identity", "request_", "why"),
    [
        (ada("send", "read"), join(), "'ada' needs the right join in the room 'lobby'"),
        (ada("join"), join(room="other"), "'ada' needs the right join in the room 'other'"),
        (ada("join"), join("bob"), OTHER_NAME),
        (ada("admin"), join("bob"), OTHER_NAME),
    ],
)
def test_forbidden(identity: Identity, request_: JoinRequest, why: str) -> None:
    """A missing right or another user name is PERMISSION_DENIED, without reconnect."""
    with pytest.raises(SessionEnded) as info:
        permission_of(identity, request_)
    disconnect = info.value.disconnect
    assert (disconnect.reason, disconnect.status.name, disconnect.reconnect) == (
        "forbidden",
        "PERMISSION_DENIED",
        False,
    )
    assert disconnect.text.startswith(f"not allowed: {why}")
