"""Processes the tests start: read by line, stopped by their own id, shown in full on failure.

A process is a context manager; whatever way its block ends, the process is gone after it. Its
stdout is drained by a thread and its stderr goes to a file, so that neither can fill up and
stall it.
"""

import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

LISTENING = "listening on "
OUR_VARIABLES = "CHATIFY_STREAM_"
START_SECONDS = 60.0
LINE_SECONDS = 60.0
STOP_SECONDS = 30.0


def _environment() -> dict[str, str]:
    """That of the tests, without the settings their user may have for our server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}


class ProcessFailed(AssertionError):
    """The process did not do what the test waits for; the text holds all that it wrote."""

    def __init__(self, what: str, process: "Process") -> None:
        super().__init__(
            f"{what}: {' '.join(process.argv)}\n"
            f"exit code: {process.exit_code}\n"
            f"--- stdout\n{process.stdout()}\n--- stderr\n{process.stderr()}"
        )


class Process:
    """A child process from `start` to `stop`."""

    def __init__(
        self,
        *argv: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        interactive: bool = False,
        merge_stderr: bool = False,
    ) -> None:
        """`env` is added to the environment of the tests; `interactive` gives it a stdin.

        `merge_stderr`: what it writes to stderr counts as stdout.
        """
        self.argv: Sequence[str] = [str(arg) for arg in argv]
        self._cwd = cwd
        self._env = {**_environment(), **(env or {})}
        self._stdin = subprocess.PIPE if interactive else subprocess.DEVNULL
        self._merge_stderr = merge_stderr
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._written: list[str] = []
        self._last_stderr = ""

    def start(self) -> None:
        # Closed by stop(); a `with` here would close it under the running process.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._popen = subprocess.Popen(
                self.argv,
                cwd=self._cwd,
                env=self._env,
                stdin=self._stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if self._merge_stderr else self._stderr,
                encoding="utf-8",
            )
        except BaseException:
            self._stderr.close()
            raise
        self._reader = threading.Thread(target=self._drain_stdout, daemon=True)
        self._reader.start()

    def _drain_stdout(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stdout:
            for line in stdout:
                self._written.append(line)
                self._lines.put(line.rstrip("\r\n"))
        self._lines.put(None)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; minus the signal's number if a signal ended it."""
        return self._popen.poll()

    def read_line(self, timeout: float = LINE_SECONDS) -> str | None:
        """The next line of stdout, without its end; None once the process closed stdout."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise ProcessFailed(f"no line within {timeout:g} s", self) from None
        if line is None:
            self._lines.put(None)
        return line

    def write_line(self, line: str) -> None:
        """Send a line to the stdin of an interactive process."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def close_stdin(self) -> None:
        """Tell an interactive process that no line comes any more."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def stdout(self) -> str:
        """All of stdout so far, the lines already read included."""
        return "".join(self._written)

    def stderr(self) -> str:
        """All of stderr so far."""
        if self._stderr.closed:
            return self._last_stderr
        # pread leaves alone the file offset, which the child shares and writes at.
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode("utf-8", "replace")

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """The exit code of a process that ends by itself."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"still running after {timeout:g} s", self) from None

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM); does not wait."""
        self._popen.terminate()

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self._popen.kill()
        self._popen.wait(STOP_SECONDS)

    def stop(self) -> int:
        """End the process, by force if it does not heed SIGTERM; returns the exit code.

        May be called again, and after the process ended by itself.
        """
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        # The process may be gone with a line of ours unread.
        with suppress(BrokenPipeError):
            self.close_stdin()
        self._reader.join(STOP_SECONDS)
        self._last_stderr = self.stderr()
        self._stderr.close()
        return self._popen.returncode

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class ListeningProcess(Process):
    """A process that serves once its first line of stdout ends in `listening on HOST:PORT`."""

    address: str
    host: str
    port: int

    def start(self) -> None:
        super().start()
        try:
            line = self.read_line(START_SECONDS)
            if line is None:
                self.wait()
            if line is None or LISTENING not in line:
                raise ProcessFailed(f"not listening, its first line is {line!r}", self)
        except BaseException:
            self.stop()
            raise
        self.address = line.partition(LISTENING)[2]
        self.host, _, port = self.address.rpartition(":")
        self.port = int(port)


class ServerProcess(ListeningProcess):
    """`python -m chatify_stream COMMAND ...` on a free port of the loopback interface."""

    def __init__(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`args` start with the command; `--host` and `--port` are added where not given."""
        argv = [sys.executable, "-m", "chatify_stream", *args]
        for option, value in (("--host", "127.0.0.1"), ("--port", "0")):
            if not any(arg.split("=")[0] == option for arg in args):
                argv += [option, value]
        super().__init__(*argv, cwd=cwd, env=env)
