"""A clean environment for the commands, and a server for the client commands."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from .server_thread import ServerThread


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the settings of the user who runs the tests, and keep out of the home folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for variable in list(os.environ):
        if variable.startswith("CHATIFY_STREAM_"):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let SIGINT end commands even if the tests run in the background, where it is ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def runner() -> CliRunner:
    """Runs commands in this process that neither log nor call a server."""
    return CliRunner()


@pytest.fixture(scope="package")
def server() -> Iterator[ServerThread]:
    """A server without any flags."""
    with ServerThread() as thread:
        yield thread
