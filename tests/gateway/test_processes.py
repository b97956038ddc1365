"""Test `chatify-stream gateway` as a process, while the chat server stops and restarts."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from chatify_stream import ChatServer

from ..cli.command_line import run, run_without
from ..e2e.processes import ListeningProcess, Process, ServerProcess
from .gateways import SECONDS, error, gateway_process, http_client, request

DEADLINE_PASSED = error(504, "DEADLINE_EXCEEDED", "the deadline of the call has passed")
SHUTTING_DOWN = error(503, "UNAVAILABLE", "the gateway is shutting down")
STOP_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def greeting(name: str) -> tuple[int, dict[str, str]]:
    return 200, {"message": f"Hello {name}"}


def ask(gateway: ListeningProcess, name: str = "Ada") -> tuple[int, dict[str, object]]:
    """Return the status and body of the response for a name."""
    response = request(gateway, f"/helloworld/{name}")
    return response.status_code, response.json()


@contextmanager
def kept_alive(gateway: ListeningProcess) -> Iterator[socket.socket]:
    """Open a connection that had a response and is kept alive."""
    with socket.create_connection((gateway.host, gateway.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"SERVING"}'):
            received = connection.recv(1024)
            assert received, f"closed after {answer!r}"
            answer += received
        assert b"connection: close" not in answer.lower()
        yield connection


async def end_of(process: Process) -> int:
    """Wait for the process to end, and return its exit status."""
    return await asyncio.to_thread(process.wait)


@pytest.mark.slow
class TestChatServer:
    async def test_200_at_once(self, gateway: ServerProcess) -> None:
        """200 concurrent requests each get their own reply."""
        names = [f"小明 {number}" for number in range(200)]
        async with http_client(gateway.address) as client:
            responses = await asyncio.gather(*(client.get(f"/helloworld/{name}") for name in names))
        assert [(each.status_code, each.json()) for each in responses] == list(map(greeting, names))

    def test_restarted(self) -> None:
        """While the chat server is down the status is 503; after its restart requests succeed."""
        with ServerProcess("serve") as chat, gateway_process(chat.address) as gateway:
            assert ask(gateway) == greeting("Ada")
            chat.kill()
            refused = f"cannot connect to {chat.address}: Connection refused"
            lost = f"the connection to {chat.address} was lost"
            code, body = ask(gateway)
            assert (code, body["reason"]) == (503, "UNAVAILABLE")
            assert body["message"] in (refused, lost)
            assert ask(gateway) == (503, error(503, "UNAVAILABLE", refused))
            with ServerProcess("serve", "--port", str(chat.port)):
                assert ask(gateway) == greeting("Ada")
            assert ask(gateway)[0] == 503
        assert "Traceback" not in gateway.stderr()

    def test_not_there_at_start(self) -> None:
        """The gateway starts before the chat server and finds it later."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            target = f"127.0.0.1:{port}"
            gateway = gateway_process(target)
            gateway.start()
            try:
                assert ask(gateway) == (
                    503,
                    error(503, "UNAVAILABLE", f"cannot connect to {target}: Connection refused"),
                )
                assert request(gateway, "/healthz").status_code == 200
                taken.close()
                with ServerProcess("serve", "--port", str(port)):
                    assert ask(gateway) == greeting("Ada")
            finally:
                gateway.stop()

    def test_suspended(self) -> None:
        """While the chat server is suspended the status is 504; afterwards requests succeed."""
        with (
            ServerProcess("serve") as chat,
            gateway_process(chat.address, "--timeout", "2") as gateway,
        ):
            assert ask(gateway) == greeting("Ada")
            os.kill(chat.pid, signal.SIGSTOP)
            try:
                assert ask(gateway) == (504, DEADLINE_PASSED)
                assert request(gateway, "/healthz").status_code == 200
            finally:
                os.kill(chat.pid, signal.SIGCONT)
            with gateway_process(chat.address) as patient:
                assert ask(patient) == greeting("Ada")

    def test_suspended_before_the_first_request(self) -> None:
        """A server that only accepts connections gives status 504."""
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            gateway_process(f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.5") as gateway,
        ):
            assert ask(gateway) == (504, DEADLINE_PASSED)

    def test_silent_then_there(self) -> None:
        """A silent server gives 504 once, then 503 immediately, until a chat server is there."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            gateway = gateway_process(f"127.0.0.1:{port}", "--timeout", "1")
            with gateway:
                assert ask(gateway) == (504, DEADLINE_PASSED)
                text = f"cannot connect to 127.0.0.1:{port}: no answer within 1 s"
                while (answer := ask(gateway)) == (504, DEADLINE_PASSED):
                    pass  # the attempt has not ended yet
                assert answer == (503, error(503, "UNAVAILABLE", text))
                silent.close()
                with ServerProcess("serve", "--port", str(port)):
                    while (answer := ask(gateway))[0] == 503:
                        pass
                    assert answer == greeting("Ada")

    def test_several(self) -> None:
        """Two chat servers take turns; when one is killed, the other serves all requests."""
        with (
            ServerProcess("serve", "--reply", "first") as first,
            ServerProcess("serve", "--reply", "second") as second,
            gateway_process(
                f"{first.address},{second.address}", "--balancing", "round_robin"
            ) as gateway,
        ):
            answers = set()
            while answers != {"first", "second"}:
                answers.add(ask(gateway)[1]["message"])
            first.kill()
            while [ask(gateway)[1] for _ in range(4)] != [{"message": "second"}] * 4:
                pass  # it may be noticed late

    def test_unknown_host(self) -> None:
        """An unknown host name gives status 503 with the reason."""
        with gateway_process("host.invalid:1") as gateway:
            code, body = ask(gateway)
        assert (code, body["reason"]) == (503, "UNAVAILABLE")
        assert str(body["message"]).startswith("cannot connect to host.invalid:1: unknown host (")

    def test_stopped_in_order(self) -> None:
        """After a stop and restart of the chat server, requests succeed."""
        with ServerProcess("serve") as chat, gateway_process(chat.address) as gateway:
            assert ask(gateway) == greeting("Ada")
            assert chat.stop() == 0
            assert ask(gateway)[0] == 503
            with ServerProcess("serve", "--port", str(chat.port), "--reply", "Again {name}"):
                assert ask(gateway) == (200, {"message": "Again Ada"})


class TestListening:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_host(self, chat: ServerProcess, host: str) -> None:
        """The gateway prints its address and port once."""
        with gateway_process(chat.address, "--host", host) as gateway:
            assert (gateway.host, gateway.port > 0) == (host, True)
            assert ask(gateway) == greeting("Ada")
        assert gateway.exit_code == 0
        assert gateway.stdout() == f"listening on {host}:{gateway.port}\n"

    @pytest.mark.parametrize("source", ["flag", "variable", "file"])
    def test_sources(self, chat: ServerProcess, tmp_path: Path, source: str) -> None:
        """Flags, environment variables and the file configure the gateway alike."""
        file = tmp_path / "chat.toml"
        target = chat.address if source == "file" else "127.0.0.1:1"
        file.write_text(f'[gateway]\nhost = "127.0.0.1"\nport = 0\ntarget = "{target}"\n')
        args = [sys.executable, "-m", "chatify_stream", "gateway", "--config", str(file)]
        env = {"CHATIFY_STREAM_GATEWAY_TIMEOUT": f"{SECONDS:g}"}
        if source == "variable":
            env["CHATIFY_STREAM_GATEWAY_TARGET"] = chat.address
        if source == "flag":
            args += ["--target", chat.address]
        with ListeningProcess(*args, env=env) as gateway:
            assert ask(gateway) == greeting("Ada")


class TestStopping:
    @STOP_SIGNALS
    def test_no_client(self, chat: ServerProcess, number: signal.Signals) -> None:
        """A signal stops the gateway with exit status 0, and only that is logged."""
        with gateway_process(chat.address) as gateway:
            os.kill(gateway.pid, number)
            assert gateway.wait() == 0
        first, last = gateway.stderr().splitlines()
        assert first.endswith(
            f"{number.name} received: stopping within 10 s; send it again to stop immediately"
        )
        assert last.endswith("stopped")

    @STOP_SIGNALS
    def test_kept_alive(self, chat: ServerProcess, number: signal.Signals) -> None:
        """A kept-alive connection does not delay the stop, and is closed."""
        with (
            gateway_process(chat.address, "--grace", "600") as gateway,
            kept_alive(gateway) as idle,
        ):
            assert ask(gateway) == greeting("Ada")
            os.kill(gateway.pid, number)
            assert gateway.wait() == 0
            assert idle.recv(1024) == b""
        assert "Traceback" not in gateway.stderr()

    @pytest.fixture
    async def asked(self) -> asyncio.Event:
        """Wait until a request has reached the chat server."""
        return asyncio.Event()

    @pytest.fixture
    async def released(self) -> asyncio.Event:
        """Let the chat server answer."""
        return asyncio.Event()

    @pytest.fixture
    async def hanging(
        self, asked: asyncio.Event, released: asyncio.Event
    ) -> AsyncIterator[ChatServer]:
        """A chat server whose replies wait until they are released."""

        async def reply(name: str) -> str:
            asked.set()
            await released.wait()
            return f"Hello {name}"

        async with ChatServer(reply=reply) as server, asyncio.timeout(SECONDS):
            await server.start("127.0.0.1", 0)
            yield server

    @asynccontextmanager
    async def stopping(
        self, hanging: ChatServer, asked: asyncio.Event, *args: str
    ) -> AsyncIterator[tuple[ServerProcess, asyncio.Task[tuple[int, dict[str, object]]]]]:
        """A gateway that got its first signal during a request, and that request."""
        target = f"127.0.0.1:{hanging.port}"
        with gateway_process(target, *args) as gateway, kept_alive(gateway) as idle:
            answer = asyncio.create_task(asyncio.to_thread(ask, gateway))
            await asked.wait()
            gateway.terminate()
            assert await asyncio.to_thread(idle.recv, 1024) == b""
            yield gateway, answer
            assert await end_of(gateway) == 0
        assert "Traceback" not in gateway.stderr()
        assert "ERROR" not in gateway.stderr()

    async def test_answers_during_grace(
        self, hanging: ChatServer, asked: asyncio.Event, released: asyncio.Event
    ) -> None:
        """After the first signal an open request gets its response, then the gateway ends."""
        async with self.stopping(hanging, asked, "--grace", "600") as (gateway, answer):
            assert gateway.exit_code is None
            released.set()
            assert await answer == greeting("Ada")

    async def test_end_of_grace(self, hanging: ChatServer, asked: asyncio.Event) -> None:
        """A request that is open at the end of the grace period gets a 503."""
        async with self.stopping(hanging, asked, "--grace", "0.5") as (_, answer):
            assert await answer == (503, SHUTTING_DOWN)

    @STOP_SIGNALS
    async def test_second_signal(
        self, hanging: ChatServer, asked: asyncio.Event, number: signal.Signals
    ) -> None:
        """A second signal stops the gateway immediately."""
        async with self.stopping(hanging, asked, "--grace", "600") as (gateway, answer):
            assert gateway.exit_code is None
            os.kill(gateway.pid, number)
            assert await answer == (503, SHUTTING_DOWN)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("args", "line"),
        [
            (
                ["--port", "70000"],
                r"--port: gateway\.port = '70000' is not allowed; use a whole number "
                "from 0 to 65535",
            ),
            (["--host", "a b"], r"--host: gateway\.host = 'a b' is not allowed; .*"),
            (["--host", "a..b"], r"--host: gateway\.host = 'a\.\.b' is not allowed; .*"),
            (["--timeout", "0"], r"--timeout: gateway\.timeout = '0' is not allowed; .*"),
            (["--timeout", "none"], r"--timeout: gateway\.timeout = 'none' is not allowed; .*"),
            (
                ["--target", "http://localhost"],
                r"--target: gateway\.target = 'http://localhost' is not allowed; .*",
            ),
            (
                ["--host", "host.invalid"],
                r"cannot listen on host\.invalid:8010: unknown host \(.+\)",
            ),
            (
                ["--host", "203.0.113.1", "--port", "0"],
                r"cannot listen on 203\.0\.113\.1:0: not an address of this machine",
            ),
            (["--config", "no.toml"], r"no\.toml: cannot be read: No such file or directory"),
        ],
    )
    def test_flag_or_file(self, tmp_path: Path, args: list[str], line: str) -> None:
        """A wrong flag, file or address is one line on standard error and status 2."""
        done = run("gateway", *args, cwd=tmp_path)
        assert (done.status, done.stdout) == (2, "")
        assert re.fullmatch(f"Error: {line}\n", done.stderr), done.stderr

    def test_port_in_use(self, gateway: ServerProcess) -> None:
        """A port in use is reported."""
        done = run("gateway", "--host", gateway.host, "--port", str(gateway.port))
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == (
            f"Error: cannot listen on {gateway.address}: "
            "the port is in use by another program; stop it or use another port\n"
        )

    @pytest.mark.parametrize("package", ["starlette", "uvicorn"])
    def test_without_extra(self, package: str) -> None:
        """Without a package of the extra, the error says what to install."""
        done = run_without(package, "gateway", "--host", "127.0.0.1", "--port", "0")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == (
            f"Error: the gateway needs {package}: pip install 'chatify-stream[gateway]'\n"
        )
