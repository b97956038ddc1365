"""A clean environment for processes, and a chat server and a gateway that tests share."""

import os
import socket
from collections.abc import Iterator

import pytest

from ..e2e.processes import ServerProcess
from .gateways import gateway_process


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of the test run away from the commands."""
    for variable in list(os.environ):
        if variable.startswith("CHATIFY_STREAM_"):
            monkeypatch.delenv(variable)


@pytest.fixture(scope="package")
def chat() -> Iterator[ServerProcess]:
    """A chat server without options."""
    with ServerProcess("serve") as process:
        yield process


@pytest.fixture(scope="package")
def gateway(chat: ServerProcess) -> Iterator[ServerProcess]:
    """A gateway to the shared chat server."""
    with gateway_process(chat.address) as process:
        yield process


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is reserved but refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
