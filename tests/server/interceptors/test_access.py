"""Tests of server/interceptors/access.py, and of rights in rooms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatify_stream import (
    CallError,
    Channel,
    ChatClient,
    ChatServer,
    Credentials,
    Grants,
    Identity,
    Message,
    RefusedError,
    RoomClient,
    RoomJoin,
    RoomOptions,
    Session,
    Status,
    StatusError,
    UsageError,
    unauthenticated,
)
from chatify_stream.messages.service.v1 import ChatRspKind

from ...support.waiting import until
from ..rooms.membership import channel_to, entering, joined, node_of, refused

EVERYTHING = {"*": ["join", "send", "read"]}


class ByName:
    """Trusts the user name in the metadata, and returns an identity with fixed rights."""

    def __init__(self, rooms: Mapping[str, list[str]] = EVERYTHING, lasts: float | None = None):
        self.rooms = rooms
        self.lasts = lasts
        self.calls: list[Credentials] = []

    async def authenticate(self, call: Credentials) -> Identity:
        self.calls.append(call)
        name = call.metadata.get("authorization")
        if name is None:
            raise unauthenticated("say who you are")
        expires_at = None if self.lasts is None else time.time() + self.lasts
        name = str(name).removeprefix("Bearer ")
        return Identity(name, Grants.of(self.rooms), expires_at)


@asynccontextmanager
async def serving(auth: Any, **options: Any) -> AsyncIterator[tuple[ChatServer, Channel]]:
    """Serve with authentication; afterwards nothing may be left of the sessions."""
    async with ChatServer(auth=auth, **options) as server:
        await server.start("127.0.0.1", 0)
        async with channel_to(server) as channel:
            yield server, channel
            await until(lambda: server.open_calls == 0, "that all calls have ended")
            await until(lambda: not node_of(server).sessions, "an empty node")


def as_ada() -> tuple[str, str]:
    return ("authorization", "Bearer ada")


@asynccontextmanager
async def ada(channel: Channel, room: str = "lobby", **metadata: str) -> AsyncIterator[Any]:
    """Ada's session."""
    keys = {"chat-room": room, "authorization": "Bearer ada"} | {
        f"chat-{key}": value for key, value in metadata.items()
    }
    async with entering(channel, keys.items()) as session:
        await session.stream.recv_initial_metadata()
        yield session


async def say(channel: Channel, **options: Any) -> str:
    async with ChatClient(channel, **options) as chat:
        await chat.send("hi")
        reply = await chat.close_and_recv()
    assert reply is not None
    return reply.message


async def test_credentials() -> None:
    """The authenticator receives the credentials of the call."""
    auth = ByName()
    async with serving(auth) as (_, channel):
        assert await say(channel, token="ada") == "Hello hi"
    [call] = auth.calls
    assert (call.path, call.host, call.certificate) == (
        "/service.v1.Service/Chat",
        "127.0.0.1",
        None,
    )
    assert "ada" not in repr(call)


async def test_direct_session() -> None:
    """The handler sees the identity; unauthenticated calls do not reach it."""
    seen = []

    async def handler(session: Session) -> None:
        seen.append(session.identity.user)
        await session.send("welcome")

    async with serving(ByName(), handler=handler) as (_, channel):
        assert await say(channel, token=lambda: "ada") == "welcome"
        with pytest.raises(StatusError, match="UNAUTHENTICATED: say who you are"):
            await say(channel)
    assert seen == ["ada"]


async def test_nobody_is_asked() -> None:
    """Without authentication there is no identity, and the given user name is used."""
    seen: list[RoomJoin] = []

    async def on_join(join: RoomJoin) -> None:
        seen.append(join)

    async with serving(None, rooms=RoomOptions(on_join=on_join)) as (server, channel):
        async with joined(channel, user="ada"):
            pass
        assert server.auth is None
    assert [(join.user, join.identity) for join in seen] == [("ada", None)]


async def test_user_of_a_room() -> None:
    """The user of a session is the authenticated caller, and hooks receive the identity."""
    seen: list[RoomJoin] = []

    async def on_join(join: RoomJoin) -> None:
        seen.append(join)

    async with serving(ByName(), rooms=RoomOptions(on_join=on_join)) as (_, channel):
        async with ada(channel) as session:
            assert session.headers["chat-user"] == "ada"
        async with ada(channel, user="ada") as session:
            assert session.headers["chat-user"] == "ada"
        end = await refused(channel, as_ada(), room="lobby", user="bob")
    assert (end.status, end.may_come_back) == (Status.PERMISSION_DENIED, "no")
    assert end.message == (
        "not allowed: the requested user name is not that of the caller; "
        "request 'ada' or no user name"
    )
    assert [(join.user, join.identity.user) for join in seen] == [("ada", "ada")] * 2


async def test_join() -> None:
    """A caller without the right to join is rejected before the hooks run."""

    async def on_join(join: RoomJoin) -> None:
        raise AssertionError("asked")

    auth = ByName({"team-*": ["join", "read"], "lobby": ["read", "send"]})
    async with serving(auth, rooms=RoomOptions(on_join=on_join)) as (_, channel):
        for room in ("lobby", "other"):
            end = await refused(channel, as_ada(), room=room)
            assert end.status is Status.PERMISSION_DENIED
            assert end.message == (f"not allowed: 'ada' needs the right join in the room '{room}'")


async def test_reading_alone() -> None:
    """A user without the right to send receives messages; each message they send is refused."""
    auth = ByName({"lobby": ["join", "read"]})
    async with serving(auth) as (server, channel):
        async with RoomClient(channel, room="lobby", token="ada") as chat:
            with pytest.raises(RefusedError) as info:
                await chat.send("hi")
            await server.rooms.publish("lobby", "weather", "it rains")
            while not isinstance(event := await chat.receive(), Message):
                pass
            assert event.text == "it rains"
        assert (await server.rooms.history("lobby")).newest.offset == 1
    assert str(info.value) == "'ada' needs the right send in the room 'lobby'"


async def test_sending_alone() -> None:
    """A user without the right to read receives only the copies of their own messages."""
    auth = ByName({"lobby": ["join", "send"]})
    async with serving(auth) as (server, channel):
        await server.rooms.publish("lobby", "weather", "it rains")
        async with ada(channel, history="9", events="presence,users") as session:
            assert session.headers["chat-offset"] == "1"
            await server.rooms.publish("lobby", "weather", "it snows")
            await session.say("one", id="1")
            await session.say("one", id="1")
            await session.say("two", id="2")
            await session.half_close()
            heard = [(each.message, each.offset, each.kind) for each in await session.rest()]
        message = ChatRspKind.MESSAGE
        assert heard == [("one", 3, message), ("one", 3, message), ("two", 4, message)]


async def test_resuming_without_reading() -> None:
    """A user without the right to read cannot resume or read history, and can still send."""
    auth = ByName({"lobby": ["join", "send"]})
    async with serving(auth) as (server, channel):
        position = await server.rooms.publish("lobby", "weather", "it rains")
        async with ada(channel, resume=f"{position.epoch}/0") as session:
            assert session.headers["chat-recovered"] == "false"
            await session.half_close()
            assert await session.rest() == []
        async with RoomClient(
            channel, room="lobby", token="ada", resume=f"{position.epoch}/0"
        ) as chat:
            assert (await chat.send("two")).offset == 2
            assert await chat.history() == []
            assert await chat.users() == []


async def test_expiry_in_a_room() -> None:
    """A session ends when the credentials expire, with a position to resume from."""
    async with serving(ByName(lasts=0.3)) as (server, channel):
        async with ada(channel) as session:
            position = await server.rooms.publish("lobby", "weather", "it rains")
            heard, end = await session.last_words()
        assert node_of(server).sessions_ended == {"expired": 1}
    assert (end.status, end.may_come_back) == (Status.UNAUTHENTICATED, "yes")
    assert end.message.startswith("the token or client certificate has expired; reconnect")
    assert end.position == (str(position) if heard else f"{position.epoch}/0")


async def test_expired_already() -> None:
    """Credentials that have expired when the call begins are rejected."""
    async with serving(ByName(lasts=-5.0)) as (_, channel):
        end = await refused(channel, as_ada(), room="lobby")
    assert (end.status, end.may_come_back) == (Status.UNAUTHENTICATED, "yes")


async def test_expiry_of_a_direct_session() -> None:
    """A direct session ends too, whatever its handler waits for."""
    async with serving(ByName(lasts=0.1)) as (_, channel):
        async with ChatClient(channel, token="ada") as chat:
            with pytest.raises(StatusError, match="UNAUTHENTICATED: the token or") as info:
                await chat.receive()
    assert info.value.metadata["chat-reconnect"] == "yes"


async def test_calls_leave_no_timers() -> None:
    """A call that ends before its credentials expire cancels its timer."""
    loop = asyncio.get_running_loop()
    async with serving(ByName(lasts=3600)) as (_, channel):
        assert await say(channel, token="ada") == "Hello hi"
        timers = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        assert "_expire" not in repr(timers)


class Failing:
    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    async def authenticate(self, call: Credentials) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "logged"),
    [
        (ValueError("secret words"), "authenticator failed"),
        (None, "authenticator returned a NoneType; it must return an Identity"),
        ("ada", "authenticator returned a str; it must return an Identity"),
        (TimeoutError(), "authenticator timed out after 15 s"),
    ],
)
async def test_failing_authenticator(
    outcome: Any, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the authenticator fails, calls are rejected, and the reason is only logged."""
    async with serving(Failing(outcome)) as (_, channel):
        with pytest.raises(CallError) as info:
            await say(channel, token="ada")
    assert str(info.value) == "UNAVAILABLE: the caller could not be authenticated; try again later"
    assert logged in caplog.text


async def test_another_authenticator() -> None:
    """A new authenticator applies to later calls; authentication cannot be turned on or off."""
    async with serving(Failing(unauthenticated("no"))) as (server, channel):
        with pytest.raises(StatusError, match="UNAUTHENTICATED: no"):
            await say(channel)
        server.auth = ByName()
        assert await say(channel, token="ada") == "Hello hi"
        with pytest.raises(UsageError, match="turned on or off by a restart"):
            server.auth = None
    with pytest.raises(UsageError, match="turned on or off by a restart"):
        ChatServer().auth = ByName()
