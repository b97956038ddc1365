"""`serve --workers`: several processes that share a port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chatify_stream import ChatClient, UnavailableError

from ....e2e.processes import ServerProcess
from ...command_line import run

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "SO_REUSEPORT") or sys.platform == "win32",
    reason="needs a port that processes can share",
)

SECONDS = 60.0
PIDS = re.compile(r"(?:workers: |worker )([\d, ]+?)(?:$| started)", re.MULTILINE)


class Workers(ServerProcess):
    """`serve --workers 2`, without rooms."""

    def __init__(self, *args: str) -> None:
        super().__init__("serve", "--workers", "2", "--no-rooms", *args)

    def started(self, least: int = 2) -> list[int]:
        """Return the process IDs of all workers so far, in order of their start.

        Waits until there are at least as many as given, because the log may be delayed.
        """
        wait_until(lambda: len(self._started()) >= least, self)
        return self._started()

    def _started(self) -> list[int]:
        return [int(pid) for pids in PIDS.findall(self.stderr()) for pid in pids.split(",")]


def wait_until(condition: Callable[[], bool], process: ServerProcess) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, process.stderr()
        assert process.exit_code is None or condition(), process.stderr()
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ask(address: str, name: str = "gene") -> str:
    # One that comes just as a worker dies may be lost with it.
    for _ in range(50):
        try:
            async with ChatClient(address, timeout=10) as chat:
                await chat.send(name)
                return (await chat.close_and_recv()).message
        except UnavailableError as error:
            failure = error
            await asyncio.sleep(0.1)
    raise failure


def test_they_serve_and_leave_nothing() -> None:
    """Any worker answers a call; on SIGTERM all of them end with status 0."""
    with Workers() as server:
        workers = server.started()
        assert len(workers) == 2
        assert all(map(is_running, workers))
        for number in range(8):
            assert asyncio.run(ask(server.address, f"{number}")) == f"Hello {number}"
        assert server.stop() == 0
        assert not any(map(is_running, workers))


def test_one_dies() -> None:
    """A worker that dies is replaced, and the port is served all the time."""
    with Workers() as server:
        first, second = server.started()
        os.kill(first, signal.SIGKILL)
        assert asyncio.run(ask(server.address)) == "Hello gene"
        assert len(server.started(3)) == 3
        os.kill(second, signal.SIGKILL)
        assert len(server.started(4)) == 4
        assert asyncio.run(ask(server.address)) == "Hello gene"
        assert server.stop() == 0
        assert not any(map(is_running, server._started()))
        assert f"worker {first} ended with status -9" in server.stderr()


@pytest.mark.slow
def test_supervisor_dies() -> None:
    """Workers whose supervisor was killed stop by themselves."""
    with Workers() as server:
        workers = server.started()
        server.kill()
        end = time.monotonic() + SECONDS
        while any(map(is_running, workers)):
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.mark.slow
def test_renewed(tmp_path: Path) -> None:
    """SIGHUP brings the workers of a new configuration; a call that is open goes on in the old."""
    config = tmp_path / "chat.toml"
    config.write_text('[server]\nreply = "old {name}"\n')

    async def renew(server: Workers) -> None:
        async with ChatClient(server.address) as chat:
            await chat.send("one")
            assert (await chat.receive()).message == "old one"
            config.write_text('[server]\nreply = "new {name}"\n')
            os.kill(server.pid, signal.SIGHUP)
            await asyncio.to_thread(server.started, 3)
            await chat.send("two")
            assert (await chat.receive()).message == "old two"
        await asyncio.to_thread(
            wait_until, lambda: "replaced all 2 workers" in server.stderr(), server
        )
        assert await ask(server.address) == "new gene"

    with Workers("--config", str(config)) as server:
        asyncio.run(renew(server))
        old = server.started()[:2]
        assert not any(map(is_running, old))
        assert server.stop() == 0


@pytest.mark.slow
def test_renewed_with_what_is_wrong(tmp_path: Path) -> None:
    """A wrong configuration is reported, and the workers stay."""
    config = tmp_path / "chat.toml"
    config.write_text("")
    with Workers("--config", str(config)) as server:
        config.write_text("[server]\ngrace = -1\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "server.grace = -1 is not allowed" in server.stderr(), server)
        assert len(server.started()) == 2
        assert asyncio.run(ask(server.address)) == "Hello gene"


@pytest.mark.slow
def test_second_signal() -> None:
    """The second signal ends open calls immediately."""

    async def interrupt(server: Workers) -> int:
        async with ChatClient(server.address) as chat:
            await chat.send("one")
            await chat.receive()
            os.kill(server.pid, signal.SIGINT)
            await asyncio.to_thread(wait_until, lambda: "SIGTERM" in server.stderr(), server)
            os.kill(server.pid, signal.SIGINT)
            status = await asyncio.to_thread(server.wait)
            with pytest.raises(UnavailableError):
                await chat.receive()
        return status

    with Workers("--grace", "3600") as server:
        workers = server.started()
        assert asyncio.run(interrupt(server)) == 0
        assert not any(map(is_running, workers))


@pytest.mark.parametrize("broker", ["memory://", "sqlite:///chat.db"])
def test_broker_of_one_process(broker: str) -> None:
    """Rooms that workers cannot share are rejected, with the fix."""
    done = run("serve", "--workers", "2", "--broker", broker, "--port", "0")
    assert done.status == 2
    assert f"the processes cannot share rooms in {broker.partition(':')[0]}://" in done.stderr
    assert "--broker redis://HOST" in done.stderr


def test_port_taken() -> None:
    """A port that another program listens on is not shared with workers."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = f"{taken.getsockname()[1]}"
        done = run("serve", "--workers", "2", "--no-rooms", "--host", "127.0.0.1", "--port", port)
    assert done.status == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr
