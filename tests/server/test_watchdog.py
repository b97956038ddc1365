"""The watchdog of the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from chatify_stream import ChatClient, ChatServer, UsageError
from chatify_stream.server import watchdog
from chatify_stream.server.watchdog import Watchdog

SECONDS = 60.0
PATIENCE = 0.2


class Told(logging.Handler):
    """Lets what blocks the loop go on when the watchdog has said that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.stall = threading.Event()
        self.end = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.stack_info:
            self.stall.set()
        else:
            self._loop.call_soon(self.end.set)

    def block_the_loop(self, text: str = "") -> str:
        assert self.stall.wait(SECONDS)
        return text


@pytest.fixture
async def told() -> Told:
    handler = Told()
    watchdog.log.addHandler(handler)
    return handler


@pytest.fixture(autouse=True)
def no_handlers() -> object:
    yield
    watchdog.log.handlers.clear()


async def test_a_stall(told: Told) -> None:
    """While the loop stands still, the culprit's stack is told once; at the end, for how long."""
    dog = Watchdog(PATIENCE)
    dog.start()
    told.block_the_loop()
    await asyncio.wait_for(told.end.wait(), SECONDS)
    dog.stop()
    stall, end = told.records[:2]
    assert stall.getMessage().startswith("the event loop has stood still for 0.")
    assert "block_the_loop" in (stall.stack_info or "")
    assert end.getMessage().startswith("the event loop runs again; it stood still for ")


async def test_a_reply_that_blocks(told: Told) -> None:
    """In a server, the stack ends in the function that blocks."""
    async with ChatServer(reply=told.block_the_loop, log_stalls=PATIENCE) as server:
        await server.start("127.0.0.1", 0)
        async with ChatClient(f"127.0.0.1:{server.port}", timeout=SECONDS) as chat:
            await chat.send("a")
            assert (await chat.close_and_recv()).message == "a"
        await asyncio.wait_for(told.end.wait(), SECONDS)
    assert "in block_the_loop" in (told.records[0].stack_info or "")
    assert not [t for t in threading.enumerate() if t.name == "chatify-watchdog"]


async def test_a_stall_that_the_thread_did_not_see(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped whole has the last line alone."""
    monkeypatch.setattr(Watchdog, "_watch", lambda self: None)
    dog = Watchdog(PATIENCE)
    dog.start()
    dog._ticked_at -= 10  # as if neither had run since
    await asyncio.wait_for(told.end.wait(), SECONDS)
    dog.stop()
    (end,) = told.records
    assert end.getMessage() == "the event loop runs again; it stood still for 10.0 s"


async def test_it_stops() -> None:
    """It may be stopped twice, and before it was started."""
    Watchdog(1.0).stop()
    dog = Watchdog(1.0)
    dog.start()
    dog.stop()
    dog.stop()


@pytest.mark.parametrize("patience", [0, -1.0, float("nan")])
def test_a_wrong_patience(patience: float) -> None:
    """It has to be a time."""
    with pytest.raises(UsageError, match="a number of seconds"):
        ChatServer(log_stalls=patience)
