"""The way of an echoed message through the package, as docs/architecture.md shows it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import chatify_stream
from chatify_stream import ChatClient

from .talking import client, serving

PACKAGE = Path(str(chatify_stream.__file__)).parent

DOCUMENT = Path(__file__).parents[2] / "docs/architecture.md"
PATH = re.findall(r"^\d\. `([\w/]+\.py)`", DOCUMENT.read_text("utf-8"), re.MULTILINE)
"""The files in the order in which they are entered first."""


class Trace:
    """Collects the files of the package whose functions run between a read and its write."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.is_recording = False
        self.ended_by = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.ended_by:  # the read of the client follows
            return
        name = frame.f_code.co_name
        path = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in path.parents:
            file = path.relative_to(PACKAGE).as_posix()
            if name == "buffer_updated" and file.endswith("protocol.py"):
                self.is_recording = True
            if self.is_recording and file not in self.files:
                self.files.append(file)
        elif event == "call" and name == "write" and "asyncio" in path.parts and self.is_recording:
            self.is_recording = False
            self.ended_by = path.name


async def echo(chat: ChatClient, text: str) -> str:
    await chat.send(text)
    reply = await chat.receive()
    assert reply is not None
    return reply.message


async def test_path_of_an_echoed_message() -> None:
    """A message passes six files of the package between `buffer_updated` and `transport.write`."""
    async with serving(reply=lambda name: name) as server, client(server) as chat:
        for text in ("first", "second"):
            assert await echo(chat, text) == text
        trace = Trace()
        sys.setprofile(trace)
        try:
            assert await echo(chat, "third") == "third"
        finally:
            sys.setprofile(None)
    assert trace.ended_by == "selector_events.py"
    assert trace.files == PATH
    assert len(PATH) == 6
