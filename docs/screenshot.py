"""Draw the README's screenshot: `chatify-stream chat` in a pseudo-terminal, as an SVG file.

    pip install '.[all]' pyte && python docs/screenshot.py

It starts a server, lets Grace write into a room, joins as Ada, and draws Ada's screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte

TARGET = Path(__file__).resolve().parent / "images" / "chat.svg"
COLUMNS, LINES = 72, 9
CHARACTER, LINE = 8.4, 19
COLORS = {
    "default": "#d8dee9",
    "black": "#6b7689",
    "767676": "#8a94a6",  # the palette is for light and dark terminals; these are for a dark one
    "878700": "#ebcb8b",
    "d75f5f": "#f0808a",
    "red": "#f0808a",
    "green": "#a3d28c",
    "brown": "#ebcb8b",
    "blue": "#88b4f0",
    "magenta": "#d5a6e0",
    "cyan": "#7fd3d8",
    "white": "#e5e9f0",
}
COMMAND = [sys.executable, "-m", "chatify_stream"]


class Screen:
    """A pseudo-terminal with a program, and the screen that its user sees."""

    def __init__(self, *args: str) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.screen.write_process_input = self.type  # type: ignore[method-assign]
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, [*COMMAND, *args])  # noqa: S606 - no shell is wanted
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Read until the text is on the screen, and half a second more."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._stream.feed(os.read(self._terminal, 65536))
            if any(text in row for row in self.screen.display):
                deadline = min(deadline, time.monotonic() + 0.5)
                text = ""
        if text:
            sys.exit(f"screenshot: {text!r} did not appear")

    def svg(self) -> str:
        """Return the screen as SVG, in the fonts of the reader's machine."""
        width, height = COLUMNS * CHARACTER + 32, LINES * LINE + 56
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
            f'viewBox="0 0 {width:.0f} {height}" role="img">\n'
            "<title>Two people in a room of chatify-stream chat</title>\n"
            '<rect width="100%" height="100%" rx="8" fill="#20242c"/>\n'
            '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" '
            'font-size="14" xml:space="preserve">\n'
        ]
        parts.extend(
            f'<circle cx="{20 + 18 * index}" cy="18" r="6" fill="{color}"/>\n'
            for index, color in enumerate(("#f0808a", "#ebcb8b", "#a3d28c"))
        )
        for row in range(LINES):
            parts.extend(self._row(row))
        return "".join([*parts, "</g>\n</svg>\n"])

    def _row(self, row: int) -> list[str]:
        cells = [(column, self.screen.buffer[row][column]) for column in range(COLUMNS)]
        parts = []
        for style, run in groupby(cells, key=lambda cell: _style(cell[1])):
            characters = list(run)
            while characters and characters[-1][1].data == " ":
                characters.pop()
            while characters and characters[0][1].data == " ":
                characters.pop(0)
            text = "".join(cell.data for _, cell in characters)
            if text:
                parts.append(
                    f'<text x="{16 + characters[0][0] * CHARACTER:.1f}" y="{54 + row * LINE}" '
                    f'textLength="{len(characters) * CHARACTER:.1f}"{style}>{escape(text)}</text>\n'
                )
        return parts


def _style(cell: Any) -> str:
    color = COLORS.get(cell.fg, f"#{cell.fg}")
    weight = ' font-weight="bold"' if cell.bold else ""
    return f' fill="{color}"{weight}'


def main() -> None:
    with tempfile.TemporaryDirectory() as state:
        os.environ |= {"XDG_STATE_HOME": state, "TZ": "UTC", "LANG": "C.UTF-8"}
        server = subprocess.Popen(
            [*COMMAND, "serve", "--host", "127.0.0.1", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            target = server.stdout.readline().removeprefix("listening on ").strip()
            room = ["--target", target, "--room", "lobby"]
            with_pipes = [*COMMAND, "chat", *room, "--user", "Grace", "--listen"]
            grace = subprocess.Popen(
                with_pipes, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert grace.stdin is not None  # noqa: S101
            assert grace.stdout is not None  # noqa: S101
            grace.stdin.write("Is the server in Python, all of it?\n")
            grace.stdin.flush()
            grace.stdout.readline()
            ada = Screen("chat", *room, "--user", "Ada")
            ada.wait_for("all of it?")
            ada.type("All of it. No compiler was used.\r")
            ada.wait_for("compiler was used")
            grace.stdin.write("Then it runs on my phone, too 🎉 世界\n")
            grace.stdin.flush()
            ada.wait_for("on my phone")
            ada.type("And nothing is lost when the train enters a tunnel")
            ada.wait_for("tunnel")
            TARGET.write_text(ada.svg(), encoding="utf-8")
            os.kill(ada.pid, signal.SIGKILL)
            grace.kill()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
