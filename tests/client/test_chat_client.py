"""Tests of client/chat_client.py: which form it is."""

from __future__ import annotations

import pytest

from chatify_stream import ChatClient, UsageError
from chatify_stream.client import DirectChat, RoomChat


class TestForms:
    def test_direct(self) -> None:
        """Without a room it is the direct form."""
        assert type(ChatClient()) is DirectChat
        assert type(ChatClient("localhost:9000", timeout=1.0)) is DirectChat

    def test_room(self) -> None:
        """With a room it is the one that stays there."""
        assert type(ChatClient(room="lobby")) is RoomChat
        assert type(ChatClient(["a:1", "b:2"], room="lobby", user="ada")) is RoomChat

    def test_both_are_chat_clients(self) -> None:
        """Both forms are ChatClients."""
        assert isinstance(ChatClient(), ChatClient)
        assert isinstance(ChatClient(room="lobby"), ChatClient)

    def test_by_name(self) -> None:
        """A form can be made by its own name, and have subclasses."""

        class MyChat(RoomChat):
            pass

        assert type(DirectChat("localhost:9000")) is DirectChat
        assert type(MyChat(room="lobby")) is MyChat

    def test_no_room(self) -> None:
        """A room that is None is a mistake, and no direct form."""
        with pytest.raises(UsageError, match="the room must be a str, not None"):
            ChatClient(room=None)

    def test_options_of_the_other_form(self) -> None:
        """An option that only the other form has is refused."""
        with pytest.raises(TypeError, match="user"):
            ChatClient(user="ada")
        with pytest.raises(TypeError, match="compression"):
            ChatClient(room="lobby", compression="gzip")
