"""Commands in a pseudo-terminal, and the screen that their user sees."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pyte

SECONDS = 60.0
SCROLLBACK = 10_000

IN_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class _Screen(pyte.HistoryScreen):
    """A screen that answers where its cursor is, as terminals do."""

    def __init__(self, columns: int, lines: int, answer: Callable[[str], None]) -> None:
        super().__init__(columns, lines, history=SCROLLBACK)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Terminal:
    """`chatify-stream ARGS` in a terminal, as a context manager that ends the process."""

    def __init__(self, *args: str, columns: int = 80, lines: int = 24) -> None:
        self._argv = [sys.executable, "-m", "chatify_stream", *args]
        self._size = (columns, lines)
        self.output = bytearray()
        """All that it wrote."""
        self._changed = threading.Condition()
        self._is_over = False

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._screen = _Screen(*self._size, self.type)
        self._stream = pyte.ByteStream(self._screen)
        self._set_size(*self._size)
        self._modes = termios.tcgetattr(slave)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-ISc", IN_A_TERMINAL, *self._argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        finally:
            # Kept open, so that the modes which a process leaves behind can be asked for.
            self._slave = slave
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        os.close(self._slave)
        self._reader.join(SECONDS)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # what Linux has for the end
                data = b""
            with self._changed:
                if data:
                    self.output += data
                    self._stream.feed(data)
                else:
                    self._is_over = True
                self._changed.notify_all()
            if not data:
                return

    def type(self, text: str) -> None:
        """Types it; a line is sent with `\\r`, the Enter key."""
        data = text.encode()
        while data:
            data = data[os.write(self._master, data) :]

    def paste(self, text: str) -> None:
        """Pastes it, as terminals do that can tell pasting from typing."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, lines: int) -> None:
        with self._changed:
            self._screen.resize(lines, columns)
        self._set_size(columns, lines)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def screen(self) -> list[str]:
        """The rows on the screen, without the empty ones."""
        with self._changed:
            return self._rows(self._screen.display)

    def rows(self) -> list[str]:
        """The rows on the screen and those that have scrolled off its top."""
        with self._changed:
            gone = [
                "".join(line[x].data for x in range(self._screen.columns))
                for line in self._screen.history.top
            ]
            return self._rows([*gone, *self._screen.display])

    @staticmethod
    def _rows(rows: list[str]) -> list[str]:
        return [row.rstrip() for row in rows if row.strip()]

    def cell(self, text: str) -> Any:
        """The first cell of a text on the screen, with its colours."""
        with self._changed:
            for y, row in enumerate(self._screen.display):
                if text in row:
                    return self._screen.buffer[y][row.index(text)]
        raise AssertionError(f"{text!r} is not on the screen:\n{self}")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until output makes the condition true."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self._is_over, SECONDS)
            assert condition(), f"waited in vain; the screen is:\n{self}"

    def wait_for(self, *texts: str) -> None:
        """Waits until each of these is in a row of the screen."""
        self.wait_until(lambda: all(any(text in row for row in self.screen()) for text in texts))

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._popen.pid, number)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait(SECONDS)

    def wait(self) -> int:
        """The exit status of a command that ends by itself."""
        return self._popen.wait(SECONDS)

    @property
    def has_its_modes_back(self) -> bool:
        """Return whether the terminal has the modes that it had before the command."""
        return termios.tcgetattr(self._slave) == self._modes

    def __str__(self) -> str:
        return "\n".join(self.rows())
