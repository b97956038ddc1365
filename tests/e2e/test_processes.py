"""The helpers the other tests start their processes with."""

import signal
import sys

import pytest

from .processes import ListeningProcess, Process, ProcessFailed


def python(script: str, *, interactive: bool = False) -> Process:
    return Process(sys.executable, "-c", script, interactive=interactive)


def test_lines_and_exit_code() -> None:
    """stdout comes line by line, then None for its end; stderr is kept apart."""
    script = "import sys; print('名'); print(); print('why', file=sys.stderr); sys.exit(3)"
    with python(script) as process:
        assert [process.read_line() for _ in range(4)] == ["名", "", None, None]
        assert process.wait() == 3
    assert process.stdout() == "名\n\n"
    assert process.stderr() == "why\n"
    assert process.stop() == 3


def test_much_output() -> None:
    """A process that writes more than a pipe holds is not stalled, though nobody reads."""
    script = "import sys; print('o' * 1_000_000); print('e' * 1_000_000, file=sys.stderr)"
    with python(script) as process:
        assert process.wait() == 0
        assert process.stderr() == "e" * 1_000_000 + "\n"
    assert process.stdout() == "o" * 1_000_000 + "\n"


def test_interactive() -> None:
    """An interactive process is sent lines, and told the end of them."""
    with python("for line in iter(input, 'bye'): print(line.upper())", interactive=True) as process:
        process.write_line("a")
        process.write_line("bye")
        assert [process.read_line(), process.read_line()] == ["A", None]
    with python("import sys; print(len(sys.stdin.read()))", interactive=True) as process:
        process.close_stdin()
        assert process.read_line() == "0"


def test_stopped_at_the_end() -> None:
    """Leaving the block stops the process."""
    with python("print('ready', flush=True); import time; time.sleep(600)") as process:
        assert process.read_line() == "ready"
        assert process.exit_code is None
    assert process.exit_code == -signal.SIGTERM


def test_kill() -> None:
    """A process that ignores SIGTERM can be killed."""
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    with python(script) as process:
        assert process.read_line() == "ready"
        process.terminate()
        process.kill()
    assert process.exit_code == -signal.SIGKILL


def test_no_line_in_time() -> None:
    """A line that does not come is reported with all that the process wrote."""
    script = "import sys, time; print('why', file=sys.stderr, flush=True); time.sleep(600)"
    with python(script) as process, pytest.raises(ProcessFailed, match="no line within"):
        process.read_line(timeout=0.01)


def test_address() -> None:
    """A listening process tells its address."""
    script = "print('listening on [::1]:8123', flush=True); input()"
    process = ListeningProcess(sys.executable, "-c", script, interactive=True)
    with process:
        assert process.address == "[::1]:8123"
        assert (process.host, process.port) == ("[::1]", 8123)


def test_failed_start() -> None:
    """A process that ends instead of listening shows its exit code and its stderr."""
    process = ListeningProcess(sys.executable, "-c", "raise SystemExit('no port')")
    with pytest.raises(ProcessFailed, match=r"exit code: 1\n(.*\n)*no port"):
        process.start()


def test_other_first_line() -> None:
    """A process whose first line is another one is not taken for listening, and is gone."""
    process = ListeningProcess(sys.executable, "-c", "print('hello', flush=True); input()")
    with pytest.raises(ProcessFailed, match="first line is 'hello'"):
        process.start()
    assert process.exit_code is not None
