"""The cost of starting a command: which modules it imports, and how much CPU time it uses."""

import json
import os
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from chatify_stream.cli import main

from .command_line import COMMAND, Finished, invoke, run, run_without
from .server_thread import ServerThread

HEAVY = {
    "asyncio",
    "grpclib",
    "h2",
    "multidict",
    "prompt_toolkit",
    "redis",
    "rich",
    "ssl",
    "starlette",
    "uvicorn",
}
SERVER = {
    "chatify_stream.assembly",
    "chatify_stream.gateway",
    "chatify_stream.server",
    "chatify_stream.wire",
    "grpclib.server",
    "h2",
    "prompt_toolkit",
    "redis",
    "rich",
}

LIST_MODULES = """
import json, sys
from click.testing import CliRunner
from chatify_stream.cli import main
if sys.argv[1:]:
    result = CliRunner().invoke(main, sys.argv[1:])
    assert result.exit_code == 0, result.output
print(json.dumps(sorted(sys.modules)))
"""


def imported(*args: str) -> set[str]:
    """The modules that are imported when a command has ended, or only the command line."""
    done = run(*args, command=(sys.executable, "-c", LIST_MODULES))
    assert (done.status, done.stderr) == (0, "")
    return set(json.loads(done.stdout))


def cpu_seconds(*argv: str, times: int = 10) -> float:
    """The CPU time of the fastest of several processes."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(spent)


@pytest.mark.process
def test_no_subcommand_is_imported() -> None:
    """Importing the command line imports no subcommand, and no library but click."""
    modules = imported()
    assert not HEAVY & (modules - imported_by_click())
    assert not {name for name in modules if name.startswith("chatify_stream.cli.commands.")}


def imported_by_click() -> set[str]:
    program = "import json, sys, click, click.testing; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(run(command=(sys.executable, "-c", program)).stdout))


@pytest.mark.process
@pytest.mark.parametrize(
    "args", [["--help"], ["config", "init"], ["config", "show"], ["serve", "--help"]], ids=" ".join
)
def test_no_server_is_imported(args: list[str]) -> None:
    """A command that runs no server imports none."""
    assert not SERVER & imported(*args)


@pytest.mark.process
@pytest.mark.parametrize("args", [["send", "--help"], ["chat", "--help"], ["top", "--help"]])
def test_no_screen_is_imported(args: list[str]) -> None:
    """The libraries for terminals are imported when a terminal is used."""
    assert not {"prompt_toolkit", "rich"} & imported(*args)


@pytest.mark.process
def test_version_is_cheap() -> None:
    """`--version` uses at most three times the CPU time of importing click.

    The bound has a quarter more, since the times of processes vary.
    """
    control = cpu_seconds(sys.executable, "-c", "import click")
    assert cpu_seconds(*COMMAND, "--version") <= 3 * 1.25 * control


@pytest.mark.process
@pytest.mark.parametrize("package", ["prompt_toolkit", "rich"])
@pytest.mark.parametrize("args", [["--version"], ["chat", "--help"], ["top", "--help"]])
def test_without_the_extra(package: str, args: list[str]) -> None:
    """Without the extra `cli`, commands work that show nothing in a terminal."""
    done = run_without(package, *args)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout != ""


def test_help_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of the command is the table, without importing the subcommands."""
    monkeypatch.setattr(main, "get_command", None)
    assert "Run the chat server" in CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.process
def test_pipes_without_the_extra(server: ServerThread) -> None:
    """Without the extra `cli`, a chat between pipes works."""
    args = ("--target", server.address, "--room", "pipes", "--user", "ada", "--history", "0")
    assert run_without("prompt_toolkit", "chat", *args, "--fresh") == Finished(0, "", "")


@pytest.mark.parametrize(
    ("package", "args", "feature"),
    [
        ("prompt_toolkit", ["chat", "--room", "r", "--user", "ada"], "chat in a terminal"),
        ("rich", ["top"], "top in a terminal"),
    ],
)
def test_terminal_without_the_extra(
    package: str, args: list[str], feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `cli`, a command that needs a terminal says what to install."""
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]
    for name in (package, *loaded):  # a loaded submodule would be found without its package
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(os, "isatty", lambda _: True)
    assert invoke(*args, terminal=True) == Finished(
        2, "", f"Error: {feature} needs {package}: pip install 'chatify-stream[cli]'\n"
    )
