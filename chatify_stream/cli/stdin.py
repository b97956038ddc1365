"""Standard input as an async iterator of lines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable

from .exit_codes import CommandError

CHUNK_SIZE = 64 * 1024
MAX_CHUNKS_AHEAD = 16
MAX_LINE_SIZE = 64 * 1024 * 1024


async def iterate(texts: Iterable[str]) -> AsyncIterator[str]:
    """Yield texts that are already known, in place of `stdin_lines`."""
    for text in texts:
        yield text


async def stdin_lines() -> AsyncIterator[str]:
    """Yield the lines of standard input without their ends. The last line may lack its end.

    Reads at most one mebibyte ahead. Raises `CommandError` for a line that is not UTF-8, and for a
    line of more than 64 MiB.
    """
    number = 0
    rest = bytearray()
    async for chunk in _chunks():
        rest += chunk
        if b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                number += 1
                yield _decode(line, number)
        if len(rest) > MAX_LINE_SIZE:
            raise CommandError(
                f"standard input, line {number + 1}: longer than {MAX_LINE_SIZE} bytes; "
                "split it into shorter lines"
            )
    if rest:
        yield _decode(rest, number + 1)


def _decode(line: bytes | bytearray, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise CommandError(
            f"standard input, line {number}: not UTF-8 text; convert it to UTF-8"
        ) from error


async def _chunks() -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    free_places = threading.Semaphore(MAX_CHUNKS_AHEAD)

    def read() -> None:
        # Unbuffered: the lock of a buffered reader, held here, would crash the interpreter's exit.
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            chunk = b"unread"
            while chunk:
                free_places.acquire()
                try:
                    chunk = stdin.read(CHUNK_SIZE) or b""
                except OSError:  # standard input is closed
                    chunk = b""
                try:
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                except RuntimeError:  # the loop has ended
                    return

    # A daemon, because nothing can interrupt its read if the call ends first.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    while chunk := await chunks.get():
        free_places.release()
        yield chunk
