"""The terminal of a chat: an input line, pending messages above it, and the status below it.

Messages are written above these, a batch at a time; `show` returns when the terminal has received
them. All text is escaped (see `cli.output`).
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import OneStyleAndTextTuple, StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from ..output import safe
from .lines import INDENT, Line

DIM = "#767676"
"""A contrast of 4.5 to black and to white."""

STYLE = Style.from_dict(
    {"dim": DIM, "problem": "#d75f5f", "prompt": "bold", "bottom-toolbar": f"noreverse {DIM}"}
)
PROMPT = "> "
MAX_PENDING_SHOWN = 3

_JOINER = "\u200d"
_SPACES = re.compile("( +)")


class Screen:
    """The screen of one chat.

    `entered` is called with each entered text, `leaving` when the user wants to leave. `words`
    returns the words that Tab completes.
    """

    def __init__(
        self,
        entered: Callable[[str], None],
        leaving: Callable[[], None],
        words: Callable[[], Iterable[str]],
    ) -> None:
        self._entered = entered
        self._leaving = leaving
        self._pending: Sequence[str] = ()
        self._status = ""
        self._writing = asyncio.Lock()
        self._session: PromptSession[None] = PromptSession(
            self._prompt,
            bottom_toolbar=lambda: f" {self._status}",
            complete_style=CompleteStyle.READLINE_LIKE,
            completer=_Completer(words),
            enable_suspend=True,
            erase_when_done=True,
            key_bindings=self._key_bindings(),
            prompt_continuation=" " * len(PROMPT),
            style=STYLE,
        )
        self._session.default_buffer.accept_handler = self._accept
        self._app = self._session.app

    async def run(self) -> None:
        """Read input until `leave` is called. Raises `EOFError` when the terminal is closed."""
        await self._session.prompt_async(set_exception_handler=False)

    def leave(self) -> None:
        """End `run`, and erase the prompt."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit()

    async def show(self, lines: Sequence[Line]) -> None:
        """Write lines above the prompt. Return when the terminal has received them.

        prompt_toolkit's `run_in_terminal` would lose a Ctrl-D typed in the meantime, because it
        restores the terminal modes of the shell.
        """
        async with self._writing:
            renderer, output = self._app.renderer, self._app.output
            # The response of the terminal refers to the present position of the prompt.
            await renderer.wait_for_cpr_responses()
            if is_running := self._app.is_running:
                renderer.erase()
            # The last cell stays free: terminals wrap there in different ways.
            width = output.get_size().columns - 1
            fragments = [fragment for line in lines for fragment in _fragments(line, width)]
            print_formatted_text(output, fragments, STYLE, color_depth=self._app.color_depth)
            output.flush()
            if is_running:
                renderer.request_absolute_cursor_position()
                self._app.invalidate()

    def show_state(self, pending: Sequence[str], status: str) -> None:
        """Show the messages that are not acknowledged yet, and the status line."""
        self._pending = pending
        self._status = safe(status)
        self._app.invalidate()

    def _prompt(self) -> StyleAndTextTuples:
        width = self._app.output.get_size().columns - 1
        shown = self._pending[:MAX_PENDING_SHOWN]
        rows = [cut(safe(f"… {text}"), width) for text in shown]
        if more := len(self._pending) - len(shown):
            rows.append(f"… and {more} more")
        return [*(("class:dim", f"{row}\n") for row in rows), ("class:prompt", PROMPT)]

    def _accept(self, buffer: object) -> bool:
        text = self._session.default_buffer.text.rstrip()
        if text:
            self._entered(text)
        return False  # clear the line

    def _key_bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)

        @bindings.add("c-c", filter=typing)
        @bindings.add("<sigint>")
        def clear_or_leave(event: KeyPressEvent) -> None:
            if event.app.current_buffer.text:
                event.app.current_buffer.reset()
            else:
                self._leaving()

        @bindings.add("c-d", filter=typing)
        def delete_or_leave(event: KeyPressEvent) -> None:
            if event.app.current_buffer.text:
                event.app.current_buffer.delete()
            else:
                self._leaving()

        @bindings.add("escape", "enter", filter=typing)
        def new_line(event: KeyPressEvent) -> None:
            event.app.current_buffer.insert_text("\n")

        return bindings


class _Completer(Completer):
    """Completes commands and user names."""

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        begun = document.get_word_before_cursor(WORD=True)
        if begun:
            for word in self._words():
                if word.startswith(begun):
                    yield Completion(word, start_position=-len(begun))


def _fragments(line: Line, width: int) -> Iterator[OneStyleAndTextTuple]:
    """Yield the rows of a line.

    Text from a user is always indented, so that it cannot imitate the line of another user.
    """
    yield "class:dim", f"{line.time} " if line.time else ""
    name = f"{cut(line.name, width // 2)}: " if line.name else ""
    yield line.name_style, name
    indent = min(INDENT, width // 4)
    taken = get_cwidth(f"{line.time} {name}") if line.time else 0
    rows: list[str] = []
    for text in line.texts:
        rows += wrap(text, width, taken, indent)
        taken = indent
    yield line.style, f"\n{' ' * indent}".join(rows) + "\n"


def wrap(text: str, width: int, taken: int, indent: int) -> list[str]:
    """Return the rows of a text, wrapped to `width` cells.

    `taken` cells of the first row are already used. The caller indents the other rows by `indent`
    cells. Rows break at spaces, between wide characters, and inside a word that is longer than a
    row. A wide character has two cells; combining characters stay with their base character.
    """
    rows, room = [""], width - taken
    for unit in _units(text):
        size = get_cwidth(unit)
        if size <= room:
            rows[-1] += unit
            room -= size
        elif unit.isspace():
            rows.append("")
            room = width - indent
        elif size <= width - indent:
            rows.append(unit)
            room = width - indent - size
        else:
            for cluster in _clusters(unit):
                # Joined characters that are wider than a row are broken too.
                for part in [cluster] if get_cwidth(cluster) <= width - indent else cluster:
                    size = get_cwidth(part)
                    if size > room:
                        rows.append("")
                        room = width - indent
                    rows[-1] += part
                    room -= size
    return [row.rstrip(" ") for row in rows[:-1]] + rows[-1:]


def cut(text: str, width: int) -> str:
    """Return a text cut to one row, ending with an ellipsis if it was longer."""
    if get_cwidth(text) <= width:
        return text
    return wrap(text, width - 1, 0, 0)[0] + "…"


def _units(text: str) -> Iterator[str]:
    """Yield the parts of a text that are not broken if they fit into a row."""
    for part in _SPACES.split(text):
        if part.isascii():
            yield part
            continue
        unit, was_wide = "", False
        for cluster in _clusters(part):
            is_wide = get_cwidth(cluster) > 1
            if (is_wide or was_wide) and not _closes(cluster):
                yield unit
                unit = ""
            unit += cluster
            was_wide = is_wide
        yield unit


def _closes(cluster: str) -> bool:
    """Return whether a row must not start with this character, such as a Chinese comma."""
    return unicodedata.category(cluster[0]) in ("Po", "Pe", "Pf")


def _clusters(text: str) -> Iterator[str]:
    """Yield characters together with the characters that combine with them."""
    cluster = ""
    for character in text:
        if cluster and (get_cwidth(character) == 0 or cluster[-1] == _JOINER):
            cluster += character
        else:
            if cluster:
                yield cluster
            cluster = character
    if cluster:
        yield cluster
