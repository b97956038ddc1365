"""A host name whose address changes."""

from __future__ import annotations

import asyncio
import sys

import pytest

from chatify_stream import ChatServer, Gap, Message, RoomClient

from ..ports import free_port
from ..wire.lookups import Lookups

TIMEOUT = 60.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_a_name_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room client whose server has stopped finds the new address of the name."""
    lookups = Lookups()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookups)
    lookups.found |= {host: [host] for host in ("127.0.0.1", "127.0.0.2")}
    lookups.found["chat"] = ["127.0.0.1"]
    port = free_port("127.0.0.1", "127.0.0.2")
    async with ChatServer() as first, ChatServer() as second:
        await first.start("127.0.0.1", port)
        await second.start("127.0.0.2", port)
        async with (
            asyncio.timeout(TIMEOUT),
            RoomClient(f"dns:///chat:{port}", room="lobby", user="Ada") as ada,
        ):
            await ada.send("to the first")
            lookups.found["chat"] = ["127.0.0.2"]
            await first.close()
            await ada.send("to the second")
            page = await second.rooms.history("lobby", limit=10)
            assert [each.text for each in page.publications] == ["to the second"]
            events = []
            async for event in ada:
                if isinstance(event, Message | Gap):
                    events.append(type(event))
                if isinstance(event, Message) and event.text == "to the second":
                    break
            assert events == [Message, Gap, Message]  # the second one has a log of its own
    assert lookups.asked.count("chat") > 1
