"""The terminal of a chat: a line to type on, above it what is on its way, below it the status.

Rules: lines are written above all of that, a batch at a time, and whoever writes them goes on
when the terminal has them. All text passes through `safe_text`, which the lines have done.
"""

from __future__ import annotations

import asyncio
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

from ..output import safe
from .lines import INDENT, Line
from .wrapping import cells, cut, wrap

__all__ = ["Screen"]

DIM = "#767676"
"""At a contrast of 4.5 to black and to white."""

STYLE = Style.from_dict(
    {
        "dim": DIM,
        "problem": "#d75f5f",
        "prompt": "bold",
        "bottom-toolbar": f"noreverse {DIM}",
    }
)
PROMPT = "> "
MOST_PENDING_SHOWN = 3


class Screen:
    """`entered` is called with what the user enters, `leaving` when they want to leave.

    `words` gives what Tab completes at the moment.
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
        """Until `leave`. Raises `EOFError` when the terminal is gone."""
        await self._session.prompt_async(set_exception_handler=False)

    def leave(self) -> None:
        """Ends `run`, and clears the prompt away."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit()

    async def show(self, lines: Sequence[Line]) -> None:
        """Writes lines above the prompt; returns when the terminal has them.

        `run_in_terminal` would do it, but it sets the terminal to the modes of a shell meanwhile,
        in which a Ctrl-D that the user types is lost.
        """
        async with self._writing:
            renderer, output = self._app.renderer, self._app.output
            # The answer of the terminal is about where the prompt is now.
            await renderer.wait_for_cpr_responses()
            if is_running := self._app.is_running:
                renderer.erase()
            # One cell is left free: terminals do not agree about the last, nor on emoji.
            width = output.get_size().columns - 1
            fragments = [fragment for line in lines for fragment in _fragments(line, width)]
            print_formatted_text(output, fragments, STYLE, color_depth=self._app.color_depth)
            output.flush()
            if is_running:
                renderer.request_absolute_cursor_position()
                self._app.invalidate()

    def show_state(self, pending: Sequence[str], status: str) -> None:
        """What the user has sent and the room does not have yet, and how things are."""
        self._pending = pending
        self._status = safe(status)
        self._app.invalidate()

    def _prompt(self) -> StyleAndTextTuples:
        width = self._app.output.get_size().columns - 1
        shown = self._pending[:MOST_PENDING_SHOWN]
        rows = [cut(safe(f"… {text}"), width) for text in shown]
        if more := len(self._pending) - len(shown):
            rows.append(f"… and {more} more")
        return [*(("class:dim", f"{row}\n") for row in rows), ("class:prompt", PROMPT)]

    def _accept(self, buffer: object) -> bool:
        text = self._session.default_buffer.text.rstrip()
        if text:
            self._entered(text)
        return False  # the line is to be cleared

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
    """Completes commands, and the names of users."""

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        begun = document.get_word_before_cursor(WORD=True)
        if begun:
            for word in self._words():
                if word.startswith(begun):
                    yield Completion(word, start_position=-len(begun))


def _fragments(line: Line, width: int) -> Iterator[OneStyleAndTextTuple]:
    """The rows of a line. What a user says never begins a row, where it could look like another."""
    yield "class:dim", f"{line.time} " if line.time else ""
    name = f"{cut(line.name, width // 2)}: " if line.name else ""
    yield line.name_style, name
    indent = min(INDENT, width // 4)
    taken = cells(f"{line.time} {name}") if line.time else 0
    rows: list[str] = []
    for text in line.texts:
        rows += wrap(text, width, taken, indent)
        taken = indent
    yield line.style, f"\n{' ' * indent}".join(rows) + "\n"
