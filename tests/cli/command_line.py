"""Run the commands: `invoke` in this process, `run` as a process."""

import gc
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any
from unittest import mock

from chatify_stream.cli import main

COMMAND = (sys.executable, "-m", "chatify_stream")
SECONDS = 60.0


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str


def run(
    *args: str | bytes | Path,
    stdin: str | bytes = b"",
    command: Sequence[str | Path] = COMMAND,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run `chatify-stream ARGS` as a process. `env` is added to the environment of the tests."""
    done = subprocess.run(
        [*command, *args],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def invoke(
    *args: str | bytes | Path,
    stdin: str | bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    terminal: bool = False,
) -> Finished:
    """Run `chatify-stream ARGS` in this process, in the calling thread.

    Only one command runs at a time. With `terminal`, its standard output claims to be a terminal.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    stdout, stderr = _Output(terminal), _Output()
    with ExitStack() as stack:
        stack.enter_context(_LOCK)
        stack.enter_context(_root_logger())
        stack.enter_context(_interpreter_hooks())
        stack.enter_context(mock.patch.dict(os.environ, env or {}))
        stack.enter_context(_local_time())
        stack.enter_context(_standard_input(data))
        stack.enter_context(mock.patch("sys.stdout", _OfThread(stdout, sys.stdout)))
        stack.enter_context(mock.patch("sys.stderr", _OfThread(stderr, sys.stderr)))
        if cwd is not None:
            stack.callback(os.chdir, Path.cwd())
            os.chdir(cwd)
        try:
            main(list(map(os.fsdecode, args)), prog_name="chatify-stream")
        except SystemExit as ended:
            status = 0 if ended.code is None else ended.code
    assert isinstance(status, int)
    return Finished(status, stdout.text(), stderr.text())


_LOCK = threading.Lock()


class _Output(io.TextIOWrapper):
    """A standard output or error in memory."""

    def __init__(self, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), "utf-8", "backslashreplace", "\n", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def text(self) -> str:
        self.seek(0)
        return self.read()


class _OfThread:
    """A stream for the thread that created it, and another stream for all other threads.

    It keeps the log of a server in another thread out of the output of the command.
    """

    def __init__(self, own: Any, other: Any) -> None:
        self._own = own
        self._other = other
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        is_own = threading.get_ident() == self._thread
        return getattr(self._own if is_own else self._other, name)


@contextmanager
def _root_logger() -> Iterator[None]:
    """Let the command configure the log, and restore it."""
    root = getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _interpreter_hooks() -> Iterator[None]:
    """Restore the hooks and thresholds that `serve` changes in the interpreter."""
    threshold = gc.get_threshold()
    with (
        mock.patch("sys.excepthook", sys.excepthook),
        mock.patch("sys.unraisablehook", sys.unraisablehook),
        mock.patch("threading.excepthook", threading.excepthook),
    ):
        yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@contextmanager
def _local_time() -> Iterator[None]:
    """Use the time zone of the variable TZ."""
    time.tzset()
    try:
        yield
    finally:
        with mock.patch.dict(os.environ):
            os.environ.pop("TZ", None) if _TZ is None else os.environ.update(TZ=_TZ)
            time.tzset()


_TZ = os.environ.get("TZ")


@contextmanager
def _standard_input(data: bytes) -> Iterator[None]:
    """Put `data` into the file descriptor 0 and into sys.stdin."""
    saved = os.dup(0)
    reader, writer = os.pipe()
    feeder = threading.Thread(target=_feed, args=(writer, data))
    feeder.start()
    os.dup2(reader, 0)
    os.close(reader)
    try:
        with (
            open(0, encoding="utf-8", closefd=False) as stdin,
            mock.patch("sys.stdin", stdin),
        ):
            yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        feeder.join()


def _feed(writer: int, data: bytes) -> None:
    # The command may end before it reads. Closing the file writes the rest, and fails then, too.
    with suppress(BrokenPipeError), open(writer, "wb") as pipe:
        pipe.write(data)


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

from chatify_stream.cli import main
main(sys.argv[2:], prog_name="chatify-stream")
"""


def run_without(package: str, *args: str) -> Finished:
    """Run `chatify-stream ARGS` as a process in which `package` is not installed."""
    return run(package, *args, command=(sys.executable, "-c", WITHOUT))
