"""A clean environment for the commands, and a server for those that talk to one."""

import os
import signal
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from ..e2e.processes import ServerProcess


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command of a test is configured by the environment of whoever runs the tests."""
    for variable in list(os.environ):
        if variable.startswith("CHATIFY_STREAM_"):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Commands heed SIGINT also when the tests run in the background, where it is ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def runner() -> CliRunner:
    """Runs commands in this process: those that neither log nor talk to a server."""
    return CliRunner()


@pytest.fixture(scope="package")
def server() -> Iterator[ServerProcess]:
    """A server as it is without any option."""
    with ServerProcess("serve") as process:
        yield process
