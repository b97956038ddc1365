"""Tests of server/rooms/session.py with hooks: only the affected session notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatify_stream import (
    Channel,
    ChatServer,
    RefusedError,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    Status,
    StatusError,
)
from chatify_stream.messages.service.v1 import ChatRsp, ChatRspKind

from ...support.waiting import until
from .membership import Membership, channel_to, joined, node_of, refused, room_server

SHORT = 0.05
LATER = "the server could not check this; try again later"
TOO_LATE = "the server could not check this in time; try again later"


def refusal(message_id: str, reason: str) -> ChatRsp:
    return ChatRsp(message=reason, id=message_id, kind=ChatRspKind.REFUSED)


class Program:
    """A program that allows some users and texts."""

    def __init__(self) -> None:
        self.joins: list[RoomJoin] = []
        self.messages: list[RoomMessage] = []
        self.leaves: list[RoomLeave] = []
        self.is_hanging = asyncio.Event()

    async def on_join(self, join: RoomJoin) -> None:
        self.joins.append(join)
        await self._judge(join.user)

    async def on_message(self, message: RoomMessage) -> Any:
        self.messages.append(message)
        await self._judge(message.text)
        if message.text == "shout":
            return "SHOUT"
        return 5 if message.text == "nonsense" else None

    async def on_leave(self, leave: RoomLeave) -> None:
        self.leaves.append(leave)
        await self._judge(leave.user.removeprefix("bye "))

    async def _judge(self, text: str) -> None:
        if text == "refuse":
            raise RefusedError("not you")
        if text == "status":
            raise StatusError(Status.PERMISSION_DENIED, "not with that status")
        if text == "fail":
            raise KeyError("password 1234")
        if text == "hang":
            self.is_hanging.set()
            await asyncio.Event().wait()

    def options(self) -> dict[str, Any]:
        names = ("on_join", "on_message", "on_leave")
        return {name: getattr(self, name) for name in names} | {"hook_timeout": SHORT}


class TestJoining:
    async def test_who_is_let_in(self) -> None:
        """The join hook receives the user, the address and the metadata of the client."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel, user="ada", history="3") as ada:
                (join,) = program.joins
                assert (join.room, join.user, join.session_id) == (
                    "lobby",
                    "ada",
                    ada.headers["chat-session"],
                )
                assert join.peer.host == "127.0.0.1"
                assert dict(join.metadata) == {
                    "chat-room": "lobby",
                    "chat-user": "ada",
                    "chat-history": "3",
                }

    @pytest.mark.parametrize(
        ("user", "status", "message", "may_come_back"),
        [
            ("refuse", Status.PERMISSION_DENIED, "not you", "no"),
            ("status", Status.PERMISSION_DENIED, "not with that status", "no"),
            ("fail", Status.UNAVAILABLE, LATER, "yes"),
            ("hang", Status.UNAVAILABLE, TOO_LATE, "yes"),
        ],
    )
    async def test_who_is_not(
        self, user: str, status: Status, message: str, may_come_back: str
    ) -> None:
        """A rejected join ends the session with the reason, and `on_leave` is not called."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel, user="ada", events="presence") as ada:
                end = await refused(channel, room="lobby", user=user)
                assert (end.status, end.message) == (status, message)
                assert end.trailers == {"chat-reconnect": may_come_back}
                await ada.say("still here")
                assert await ada.texts() == ["still here"]
                assert program.leaves == []

    async def test_one_that_leaves_meanwhile(self) -> None:
        """A client that leaves during the join hook leaves nothing behind."""
        program = Program()
        options = program.options() | {"hook_timeout": 60.0}
        async with room_server(**options) as server, channel_to(server) as channel:
            asking = asyncio.create_task(refused(channel, room="lobby", user="hang"))
            await program.is_hanging.wait()
            asking.cancel()
            await asyncio.wait([asking])
            await until(lambda: not node_of(server).sessions)
            assert program.leaves == []


class TestMessages:
    async def test_what_is_said(self) -> None:
        """A message is published as the hook returns it, and its sender receives that text."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
                await ada.say("hi", "shout", id="")
                assert await ada.texts(2) == await bob.texts(2) == ["hi", "SHOUT"]
                assert [message.text for message in program.messages] == ["hi", "shout"]
                session_id = ada.headers["chat-session"]
                assert program.messages[0] == RoomMessage("lobby", "ada", str(session_id), "hi", "")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("refuse", "not you"),
            ("status", "not with that status"),
            ("fail", LATER),
            ("nonsense", LATER),
            ("hang", TOO_LATE),
        ],
    )
    async def test_what_is_not(self, text: str, reason: str) -> None:
        """Only the sender of a rejected message receives the reason; others are published."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel, user="ada") as ada, joined(channel, user="bob") as bob:
                await ada.say("before", id="1")
                await ada.say(text, id="2")
                await ada.say("after", id="3")
                await bob.say("elsewhere")
                assert sorted(await bob.texts(3)) == ["after", "before", "elsewhere"]
                heard = await ada.hear(4)
                assert refusal("2", reason) in heard
                assert sorted(message.offset for message in heard) == [0, 1, 2, 3]
                await ada.half_close()
                assert (await ada.end()).status is Status.OK

    async def test_one_that_hangs_keeps_back_no_earlier_one(self) -> None:
        """An accepted message is published while the hook checks the next one."""
        program = Program()
        options = program.options() | {"hook_timeout": 60.0}
        async with room_server(**options) as server, channel_to(server) as channel:
            async with joined(channel) as ada:
                await ada.say("first", "hang", "last")
                assert await ada.texts() == ["first"]
                await program.is_hanging.wait()

    async def test_the_half_close_waits(self) -> None:
        """A half-closed session ends after all its messages were checked, including rejections."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel) as ada:
                await ada.say("refuse", "hi", "hang", id="")
                await ada.half_close()
                heard, end = await ada.last_words()
        assert sorted(message.message for message in heard) == ["hi", "not you", TOO_LATE]
        assert end.status is Status.OK

    async def test_it_does_not_ask_again_about_what_was_said(self) -> None:
        """Messages of the embedding program are not checked."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel) as ada:
                await server.rooms.publish("lobby", "bot", "refuse")
                assert await ada.texts() == ["refuse"]
        assert program.messages == []

    async def test_a_changed_text_and_its_id(self) -> None:
        """A repeated id is a duplicate if the hook returns the same text again."""
        program = Program()
        async with room_server(**program.options()) as server, channel_to(server) as channel:
            async with joined(channel, user="ada") as ada:
                await ada.say("shout", "shout", id="1")
                heard = await ada.hear(2)
        assert [(m.message, m.offset) for m in heard] == [("SHOUT", 1)] * 2


class TestLeaving:
    @pytest.mark.parametrize("how", ["half-close", "cancel", "connection", "disconnect"])
    @pytest.mark.parametrize("user", ["ada", "bye refuse", "bye fail", "bye hang"])
    async def test_is_told_once(self, how: str, user: str) -> None:
        """`on_leave` is called for each admitted session, however it ended."""
        program = Program()
        async with (
            room_server(**program.options()) as server,
            channel_to(server) as channel,
            channel_to(server) as other,
        ):
            async with joined(other, user="watcher", events="presence") as watcher:
                async with joined(channel, user=user) as leaving:
                    await watcher.hear()
                    await self.leave(how, user, leaving, server, channel)
                    assert await watcher.hear() == [ChatRsp(sender=user, kind=ChatRspKind.LEFT)]
                    await until(lambda: program.leaves)
                    session_id = str(leaving.headers["chat-session"])
                    assert program.leaves == [RoomLeave("lobby", user, session_id)]
        assert len(program.leaves) == 2

    async def leave(
        self, how: str, user: str, leaving: Membership, server: ChatServer, channel: Channel
    ) -> None:
        match how:
            case "half-close":
                await leaving.half_close()
                await leaving.end()
            case "cancel":
                await leaving.stream.cancel()
            case "connection":
                channel.close()
            case _:
                assert server.rooms.disconnect(user) == 1
