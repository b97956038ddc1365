"""`chatify-stream check`."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from click.testing import CliRunner

from chatify_stream import ChatServer, ServingStatus, __version__
from chatify_stream.cli import main

from ...ports import free_port
from ..command_line import invoke
from ..server_thread import ServerThread


def test_it_serves(server: ServerThread) -> None:
    """The output is a line each for status, version, TLS and times; the exit status is 0."""
    done = invoke("check", "--target", server.address)
    assert (done.status, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    words = [line.split() for line in rest]
    assert first == server.address
    assert words[:3] == [["status", "SERVING"], ["version", __version__], ["TLS", "none"]]
    assert [line[::2] for line in words[3:]] == [["connecting", "ms"], ["answer", "ms"]]


def test_json(server: ServerThread) -> None:
    """With --json the output is one object."""
    done = invoke("check", "--target", server.address, "--json", "--service", "service.v1.Service")
    answer = json.loads(done.stdout)
    assert (done.status, done.stdout.count("\n")) == (0, 1)
    assert answer.pop("connect_ms") > 0 < answer.pop("answer_ms")
    assert answer == {
        "target": server.address,
        "service": "service.v1.Service",
        "status": "SERVING",
        "version": __version__,
        "tls": None,
        "certificate_expires": None,
    }


def test_a_service_that_is_not_there(server: ServerThread) -> None:
    """The server's answer is shown, with exit status 5."""
    done = invoke("check", "--target", server.address, "--service", "no.Such")
    assert (done.status, done.stdout) == (5, "")
    assert done.stderr == "Error: NOT_FOUND: this server has no service named 'no.Such'\n"


def test_nobody_there() -> None:
    """Without a server the exit status is 4; with --json the error is an object."""
    target = f"127.0.0.1:{free_port()}"
    done = invoke("check", "--target", target, "--json")
    assert done.status == 4
    assert "UNAVAILABLE" in json.loads(done.stdout)["error"]
    assert done.stderr.count("\n") == 1


def test_nobody_answers() -> None:
    """After the timeout the exit status is 3, also while connecting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        done = invoke("check", "--target", target, "--timeout", "0.2")
    assert done.status == 3
    assert done.stderr == f"Error: DEADLINE_EXCEEDED: {target} did not answer within 0.2 s\n"


def test_another_server() -> None:
    """A server of another kind gives exit status 5 or 4, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(30)

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        done = invoke("check", "--target", f"127.0.0.1:{other.getsockname()[1]}")
        thread.join()
    assert done.status in (4, 5)
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
async def not_serving() -> AsyncIterator[str]:
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        server.health.set_status("", ServingStatus.NOT_SERVING)
        yield f"127.0.0.1:{server.port}"


async def test_it_does_not_serve(not_serving: str) -> None:
    """If the server is not serving, the output says so and the exit status is 5."""
    done = await asyncio.to_thread(invoke, "check", "--target", not_serving)
    assert done.status == 5
    assert "NOT_SERVING" in done.stdout
    assert done.stderr == f"Error: {not_serving} is NOT_SERVING\n"


def test_wrong_flags(runner: CliRunner) -> None:
    """A wrong flag is exit status 2."""
    assert runner.invoke(main, ["check", "--target", "a:b:c"]).exit_code == 2
