"""Standard input as an async iterator of lines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from .exit_codes import CommandError

__all__ = ["stdin_lines"]

CHUNK = 64 * 1024
CHUNKS_AHEAD = 16
LONGEST_LINE = 64 * 1024 * 1024


async def stdin_lines() -> AsyncIterator[str]:
    """The lines of standard input, without their ends; the last one may lack its end.

    Raises `CommandError` for a line that is not UTF-8, or has no end. Reads no further ahead than
    a mebibyte.
    """
    number = 0
    rest = bytearray()
    async for chunk in _chunks():
        if b"\n" in chunk:
            *lines, end = (rest + chunk).split(b"\n")
            rest = bytearray(end)
        else:
            lines = []
            rest += chunk
        for line in lines:
            number += 1
            yield _text(line, number)
        if len(rest) > LONGEST_LINE:
            raise CommandError(
                f"line {number + 1} of standard input is longer than {LONGEST_LINE} bytes"
            )
    if rest:
        yield _text(rest, number + 1)


def _text(line: bytes | bytearray, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise CommandError(f"line {number} of standard input is not UTF-8 text") from error


async def _chunks() -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    places = threading.Semaphore(CHUNKS_AHEAD)

    def read() -> None:
        # Unbuffered: a buffered reader's lock, held here, would crash the interpreter's exit.
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            chunk = b"unread"
            while chunk:
                places.acquire()
                try:
                    chunk = stdin.read(CHUNK) or b""
                except OSError:  # standard input is closed
                    chunk = b""
                try:
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                except RuntimeError:  # the loop has ended
                    return

    # A daemon, because nothing can wake it from its read when the call ends first.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    while chunk := await chunks.get():
        places.release()
        yield chunk
