"""Tests of the programs in examples/."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from chatify_stream import ChatClient, Message, RefusedError, RoomClient, Status, StatusError

from .e2e.processes import ListeningProcess, Process, ServerProcess
from .ports import free_port

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(example: str, *args: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / example, *args],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


async def answers(target: str, *texts: str) -> list[str]:
    async with ChatClient(target) as chat:
        for text in texts:
            await chat.send(text)
        await chat.half_close()
        return [reply.message async for reply in chat]


def test_chat_client() -> None:
    """chat_client.py prints the last reply."""
    with ServerProcess("serve") as server:
        assert run("chat_client.py", server.address) == "Response: Hello Message 4\n"


def test_chat_client_without_server() -> None:
    """chat_client.py fails with a message if there is no server."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("chat_client.py", f"127.0.0.1:{free_port()}")
    assert "the call failed: UNAVAILABLE: cannot connect to" in caught.value.stderr


def test_stub_client() -> None:
    """stub_client.py prints the reply to each message."""
    with ServerProcess("serve") as server:
        assert run("stub_client.py", server.address) == "Hello Ada\nHello Grace\n"


def test_embedded_server() -> None:
    """embedded_server.py counts its visitors, and Ctrl-C ends it."""
    with ListeningProcess(sys.executable, EXAMPLES / "embedded_server.py", "0") as server:
        assert asyncio.run(answers(server.address, "Ada", "Grace")) == [
            "Welcome, Ada! You are number 1.",
            "Welcome, Grace! You are number 2.",
        ]


def test_session_handler() -> None:
    """session_handler.py counts down, sets trailers, and rejects a text that is not a number."""

    async def talk(target: str) -> None:
        async with ChatClient(target, metadata={"greeting": "Go!"}) as chat:
            await chat.send("3")
            await chat.half_close()
            assert [reply.message async for reply in chat] == ["3", "2", "1", "Go!"]
            assert chat.trailing_metadata is not None
            assert chat.trailing_metadata["countdowns"] == "complete"
            assert chat.initial_metadata is not None
            assert re.fullmatch(r"127\.0\.0\.1:\d+", str(chat.initial_metadata["served-to"]))
        with pytest.raises(StatusError) as caught:
            await answers(target, "three")
        assert caught.value.status is Status.INVALID_ARGUMENT
        assert "'three' is not a number" in str(caught.value)

    with ListeningProcess(sys.executable, EXAMPLES / "session_handler.py", "0") as server:
        asyncio.run(talk(server.address))


def test_fastapi_app() -> None:
    """fastapi_app.py runs the chat server in the lifespan and shares the state."""
    http, chat = free_port(), free_port()
    argv = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app"]
    with Process(*argv, "--port", str(http), env={"CHAT_PORT": str(chat)}) as server:
        while "Application startup complete" not in server.stderr():
            assert server.exit_code is None, server.stderr()
        assert asyncio.run(answers(f"127.0.0.1:{chat}", "Ada")) == ["Hello Ada"]
        while "Uvicorn running" not in server.stderr():
            assert server.exit_code is None, server.stderr()
        response = httpx.get(f"http://127.0.0.1:{http}/names", timeout=30)
        assert response.json() == {"names": ["Ada"], "chat_port": chat}


def test_room_bot() -> None:
    """room_bot.py answers only questions in its room, also after a restart of the server."""

    async def ask(target: str) -> None:
        async with RoomClient(target, room="lobby", user="Ada") as ada:
            await ada.send("good morning")
            await ada.send("what time is it?")
            async for event in ada:
                if isinstance(event, Message) and not event.is_own:
                    assert event.sender == "clock"
                    assert re.fullmatch(r"it is [0-9]{2}:[0-9]{2} UTC", event.text)
                    break

    with ServerProcess("serve") as server:
        argv = [sys.executable, EXAMPLES / "room_bot.py", server.address]
        with Process(*argv) as bot:
            line = bot.read_line()
            assert line is not None
            assert line.startswith("in lobby, after ")
            asyncio.run(ask(server.address))


def test_moderated_rooms(tmp_path: Path) -> None:
    """moderated_rooms.py enforces its rules and keeps messages across a restart."""

    async def talk(target: str) -> None:
        with pytest.raises(StatusError, match="staff-only is for the staff") as caught:
            async with RoomClient(target, room="staff-only", user="ada"):
                pass
        assert caught.value.status is Status.PERMISSION_DENIED
        async with RoomClient(target, room="lobby", user="ada") as ada:
            await ada.send("darn")
            with pytest.raises(RefusedError, match="501 characters are too many"):
                await ada.send("x" * 501)

    async def look(target: str) -> None:
        async with RoomClient(target, room="lobby", user="grace") as grace:
            assert [message.text for message in await grace.history()] == ["****"]

    argv = [sys.executable, EXAMPLES / "moderated_rooms.py", "0", str(tmp_path / "chat.db")]
    for do in (talk, look):
        with ListeningProcess(*argv) as server:
            asyncio.run(do(server.address))


def test_capacity() -> None:
    """capacity.py prints a table; tests/test_capacity.py compares it with the documentation."""
    lines = run("capacity.py").splitlines()
    assert lines[0].startswith("| users | use | published/s |")
    assert {line.count("|") for line in lines} == {11}


def test_every_example_has_a_test() -> None:
    """Every example has a test."""
    source = Path(__file__).read_text(encoding="utf-8")
    for example in os.listdir(EXAMPLES):
        if example.endswith(".py"):
            assert f"def test_{example.removesuffix('.py')}(" in source
