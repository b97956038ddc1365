"""`chatify-stream send`, as a process."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from chatify_stream import ChatServer, Rate, Session, Status, StatusError, UsageLimits

from ...e2e.processes import Process, ServerProcess
from ..command_line import COMMAND, SECONDS, Finished, invoke, run
from ..server_thread import ServerThread

INTERVAL = "use a number of seconds from 0, up to 86400"


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A bound port without a listener, so that connections to it are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def send(server: ServerThread, *args: str | bytes, stdin: str | bytes = b"") -> Finished:
    return invoke("send", "--target", server.address, *args, stdin=stdin)


def sending(server: ServerThread, *args: str) -> Process:
    """A command whose standard input stays open."""
    return Process(*COMMAND, "send", "--target", server.address, *args, interactive=True)


def replies(*texts: str) -> Finished:
    """A command that was answered with Hello and each text, and succeeded."""
    return Finished(0, "".join(f"Hello {text}\n" for text in texts), "")


class TestTexts:
    def test_texts(self, server: ServerThread) -> None:
        """Each TEXT is a message, and the replies are printed in order."""
        assert send(server, "Ada", "Grace", "Ada") == replies("Ada", "Grace", "Ada")

    @pytest.mark.parametrize(
        "text",
        [
            "小明",
            "🎉👨‍👩‍👧",
            "",
            " ",
            "two words",
            "a\nb",
            pytest.param("x" * 100_000, id="100 kB"),
        ],
    )
    def test_any_text(self, server: ServerThread, text: str) -> None:
        """A TEXT may be anything, empty too."""
        assert send(server, text) == replies(text)

    def test_dashes(self, server: ServerThread) -> None:
        """After -- a TEXT may start with a dash."""
        assert send(server, "--", "-a", "--count", "--", "-") == replies("-a", "--count", "--", "-")

    def test_dash_without_dashes(self, server: ServerThread) -> None:
        """Without -- a TEXT with a dash is an unknown flag."""
        done = send(server, "-a")
        assert (done.status, done.stdout) == (2, "")
        assert "No such option" in done.stderr

    def test_count(self, server: ServerThread) -> None:
        """--count alone sends numbered messages."""
        assert send(server, "--count", "3") == replies("Message 0", "Message 1", "Message 2")

    def test_many(self, server: ServerThread) -> None:
        """A thousand messages are all answered, in order."""
        assert send(server, "--count", "1000") == replies(*(f"Message {n}" for n in range(1000)))

    def test_texts_and_count(self, server: ServerThread) -> None:
        """--count with TEXTs repeats all of them."""
        assert send(server, "a", "b", "--count", "2") == replies("a", "b", "a", "b")

    @pytest.mark.parametrize("args", [["Ada"], ["--count", "1"]])
    def test_stdin_is_left_alone(self, server: ServerThread, args: list[str]) -> None:
        """With TEXT or --count standard input is not read."""
        text = args[0] if len(args) == 1 else "Message 0"
        assert send(server, *args, stdin="from stdin\n") == replies(text)

    def test_invalid_utf8(self, server: ServerThread) -> None:
        """A TEXT that is not UTF-8 is rejected in one line."""
        done = send(server, b"a\xff")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == (
            "Error: ChatReq: text is not valid Unicode, surrogates not allowed at character 1\n"
        )


class TestStandardInput:
    @pytest.mark.parametrize(
        ("stdin", "texts"),
        [
            ("", []),
            ("\n", [""]),
            ("a\n", ["a"]),
            ("a", ["a"]),
            ("a\nb\n", ["a", "b"]),
            ("a\r\nb\r\n", ["a", "b"]),
            ("a\nb\r\nc", ["a", "b", "c"]),
            ("a\r", ["a"]),
            ("\n\na\n\n", ["", "", "a", ""]),
            (" a \n", [" a "]),
            ("小明\n🎉\n", ["小明", "🎉"]),
            ("a\rb\x0cc\u2028d\n", ["a\rb\x0cc\u2028d"]),
            ("\0\n", ["\0"]),
        ],
    )
    def test_lines(self, server: ServerThread, stdin: str, texts: list[str]) -> None:
        """Without TEXT each line is a message, without its end, which the last may lack."""
        assert send(server, stdin=stdin) == replies(*texts)

    def test_many_lines(self, server: ServerThread) -> None:
        """More lines than any buffer holds are all answered, in order."""
        lines = [f"小明 {number}" for number in range(20_000)]
        assert send(server, stdin="\n".join(lines)) == replies(*lines)

    def test_long_line(self, server: ServerThread) -> None:
        """A line longer than any buffer is one message."""
        line = "名" * 1_000_000
        assert send(server, stdin=line) == replies(line)

    @pytest.mark.parametrize(
        ("stdin", "number"), [(b"\xff", 1), (b"a\nb\xe5\n", 2), (b"\n\n\xc3", 3)]
    )
    def test_invalid_utf8(self, server: ServerThread, stdin: bytes, number: int) -> None:
        """The error for a line that is not UTF-8 contains its number."""
        done = send(server, stdin=stdin)
        assert done.status == 2
        assert (
            done.stderr
            == f"Error: standard input, line {number}: not UTF-8 text; convert it to UTF-8\n"
        )

    @pytest.mark.process
    def test_replies_as_they_come(self, server: ServerThread) -> None:
        """A reply is printed before the next line is read."""
        with sending(server) as process:
            for text in ("a", "小明"):
                process.write_line(text)
                assert process.read_line() == f"Hello {text}"
            process.close_stdin()
            assert process.wait() == 0
        assert (process.stdout(), process.stderr()) == ("Hello a\nHello 小明\n", "")

    @pytest.mark.process
    def test_closed(self, server: ServerThread) -> None:
        """A closed standard input counts as empty."""
        shell = ("sh", "-c", 'exec "$@" <&-', "sh")
        done = run("send", "--target", server.address, command=[*shell, *COMMAND])
        assert done == replies()


class TestInterval:
    @pytest.mark.parametrize("interval", ["0", "0.001"])
    def test_all_are_sent(self, server: ServerThread, interval: str) -> None:
        """With an interval all is sent as without."""
        done = send(server, "--interval", interval, "--count", "3")
        assert done == replies("Message 0", "Message 1", "Message 2")

    @pytest.mark.process
    def test_waits(self, server: ServerThread) -> None:
        """The first message is sent immediately, the second one after the interval."""
        with sending(server, "--interval", "86400", "a", "b") as process:
            assert process.read_line() == "Hello a"
            os.kill(process.pid, signal.SIGINT)
            assert process.wait() == 130
        assert process.stdout() == "Hello a\n"

    def test_not_after_the_last(self, server: ServerThread) -> None:
        """After the last message nothing is waited for."""
        assert send(server, "--interval", "86400", "a") == replies("a")

    @pytest.mark.parametrize("interval", ["-1", "nan", "inf", "x", "", "86401"])
    def test_wrong(self, interval: str) -> None:
        """An interval that is not a time is rejected in one line."""
        done = invoke("send", "--interval", interval, "a")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == f"Error: --interval: {interval!r} is not allowed; {INTERVAL}\n"


class TestFailures:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_no_server(self, refusing_port: int, host: str) -> None:
        """A server that is not there is status 4."""
        done = invoke("send", "--target", f"{host}:{refusing_port}", "a")
        assert (done.status, done.stdout) == (4, "")
        assert done.stderr == (
            f"Error: UNAVAILABLE: cannot connect to {host}:{refusing_port}: Connection refused\n"
        )

    def test_several_servers(self, refusing_port: int, server: ServerThread) -> None:
        """The first reachable target is used; if none is, the error names each."""
        dead = f"127.0.0.1:{refusing_port}"
        done = invoke("send", "--target", f"{dead},{server.address}", "a")
        assert (done.status, done.stdout) == (0, "Hello a\n")
        done = invoke("send", "--target", f"{dead},localhost:{refusing_port}", "a")
        assert (done.status, done.stdout) == (4, "")
        assert done.stderr == (
            "Error: UNAVAILABLE: cannot connect to any of 2 addresses: "
            f"{dead}: Connection refused; localhost:{refusing_port}: Connection refused\n"
        )

    def test_waiting_for_ready(self, refusing_port: int) -> None:
        """With --wait-for-ready a server that is not there is status 3, when the time is over."""
        dead = f"127.0.0.1:{refusing_port}"
        done = invoke("send", "--target", dead, "--wait-for-ready", "--timeout", "0.5", "a")
        assert (done.status, done.stdout) == (3, "")
        assert done.stderr == (
            "Error: DEADLINE_EXCEEDED: the deadline of the call has passed: "
            f"cannot connect to {dead}: Connection refused\n"
        )

    def test_unknown_host(self) -> None:
        """A host that is not known is status 4."""
        done = invoke("send", "--target", "host.invalid:1", "a")
        assert (done.status, done.stdout) == (4, "")
        assert re.fullmatch(
            r"Error: UNAVAILABLE: cannot connect to host\.invalid:1: unknown host "
            r"\(.+\)\n",
            done.stderr,
        )

    @pytest.mark.process
    def test_connection_lost(self) -> None:
        """If the server dies during the call, earlier replies are printed and the status is 4."""
        with ServerProcess("serve") as server, sending(server) as process:
            process.write_line("a")
            assert process.read_line() == "Hello a"
            server.kill()
            assert process.wait() == 4
        assert process.stderr() == (
            f"Error: UNAVAILABLE: the connection to {server.address} was lost\n"
        )

    @pytest.mark.process
    def test_server_stops(self) -> None:
        """A server that shuts down under the call is status 4."""
        with ServerProcess("serve", "--grace", "0") as server, sending(server) as process:
            process.write_line("a")
            assert process.read_line() == "Hello a"
            server.terminate()
            assert process.wait() == 4
        assert process.stderr() == "Error: UNAVAILABLE: the server is shutting down\n"

    @pytest.mark.process
    def test_timeout(self, server: ServerThread) -> None:
        """A call that is still open when the --timeout is over is status 3."""
        with sending(server, "--timeout", "0.5") as process:
            assert process.wait() == 3
        assert process.stderr() == (
            "Error: DEADLINE_EXCEEDED: the deadline of the call has passed\n"
        )

    def test_silent_server(self) -> None:
        """A server that accepts the connection and never answers gives status 3."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            done = invoke("send", "--target", target, "--timeout", "0.5", "a")
        assert (done.status, done.stdout) == (3, "")
        assert done.stderr == "Error: DEADLINE_EXCEEDED: the deadline of the call has passed\n"

    def test_too_large(self) -> None:
        """A message over the server's limit is status 5."""
        with ServerThread("--max-message-size", "10") as server:
            done = send(server, "123456789")
        assert (done.status, done.stdout) == (5, "")
        assert done.stderr == (
            "Error: RESOURCE_EXHAUSTED: the message has 11 bytes; at most 10 are allowed\n"
        )

    async def test_error_status(self) -> None:
        """An error that the server answers is status 5; the replies before it are printed."""

        def reply(name: str) -> str:
            if name == "nobody":
                raise StatusError(Status.NOT_FOUND, "没有 no nobody")
            return f"Hello {name}"

        async with ChatServer(reply=reply) as server:
            await server.start("127.0.0.1", 0)
            target = f"127.0.0.1:{server.port}"
            done = await asyncio.to_thread(invoke, "send", "--target", target, "a", "nobody", "b")
        assert done == Finished(5, "Hello a\n", "Error: NOT_FOUND: 没有 no nobody\n")

    async def test_too_many_messages(self) -> None:
        """All that was within the limit is printed, and then which limit it was, and for how long.

        Messages that are on their way by then do not hide it.
        """
        usage = UsageLimits(messages_per_session=Rate(200, 0.001))
        async with ChatServer(usage=usage) as server:
            await server.start("127.0.0.1", 0)
            target = f"127.0.0.1:{server.port}"
            done = await asyncio.to_thread(invoke, "send", "--target", target, "--count", "5000")
        assert (done.status, done.stdout) == (
            5,
            replies(*map("Message {}".format, range(200))).stdout,
        )
        assert re.fullmatch(
            "Error: RESOURCE_EXHAUSTED: too many messages of a session: the limit is "
            r"200, then 0\.001/s; try again in [\d.]+ s\n",
            done.stderr,
        )

    async def test_ended_early(self) -> None:
        """A server that ends the call, though with OK, before all was sent is status 5."""

        async def handler(session: Session) -> None:
            await session.receive()
            await session.send("enough")

        async with ChatServer(handler=handler) as server:
            await server.start("127.0.0.1", 0)
            target = f"127.0.0.1:{server.port}"
            args = ["--target", target, "--interval", "86400", "a", "b"]
            done = await asyncio.to_thread(invoke, "send", *args)
        assert done == Finished(
            5, "enough\n", "Error: the server ended the call before all messages were sent\n"
        )

    async def test_not_grpc(self) -> None:
        """A server of another kind is status 5."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            args = ["--target", target, "--log-level", "warning", "a"]
            done = await asyncio.to_thread(invoke, "send", *args)
        assert (done.status, done.stdout) == (5, "")
        assert done.stderr.startswith(f"Error: INTERNAL: {target} does not speak gRPC (")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("args", "error"),
        [
            (["--target", "http://localhost"], "--target: client.target = 'http://localhost' is"),
            (["--timeout", "0"], "--timeout: client.timeout = '0' is not allowed; "),
            (["--connect-timeout", "none"], "--connect-timeout: client.connect_timeout = 'none'"),
            (["--config", "no.toml"], "no.toml: cannot be read: No such file or directory"),
        ],
    )
    def test_wrong_settings(self, args: list[str], error: str) -> None:
        """A wrong flag or file is status 2, before anything is sent."""
        done = invoke("send", *args, "a")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: {error}")
        assert done.stderr.count("\n") == 1


class TestInterrupted:
    @pytest.mark.process
    def test_interrupted(self, server: ServerThread) -> None:
        """Ctrl-C gives status 130, without output."""
        with sending(server) as process:
            process.write_line("a")
            assert process.read_line() == "Hello a"
            os.kill(process.pid, signal.SIGINT)
            assert process.wait() == 130
        assert (process.stdout(), process.stderr()) == ("Hello a\n", "")

    @pytest.mark.process
    def test_interrupted_while_connecting(self) -> None:
        """Ctrl-C also ends a call without an answer."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(SECONDS)
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            with Process(*COMMAND, "send", "--target", target, "a") as process:
                connection, _ = silent.accept()
                with connection:
                    connection.settimeout(SECONDS)
                    assert connection.recv(1) != b""
                    os.kill(process.pid, signal.SIGINT)
                    assert process.wait() == 130
        assert (process.stdout(), process.stderr()) == ("", "")

    @pytest.mark.process
    def test_output_closed(self, server: ServerThread) -> None:
        """A reader of the output that leaves early, as `head` does, gets no traceback."""
        argv = [*COMMAND, "send", "--target", server.address]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(b"a\n")
                process.stdin.flush()
                assert process.stdout.readline() == b"Hello a\n"
                process.stdout.close()
                _, stderr = process.communicate(b"b\n", timeout=SECONDS)
            finally:
                process.kill()
        assert (process.returncode, stderr) == (1, b"")


@pytest.mark.process
def test_a_terminal_that_is_not_utf8() -> None:
    """If the output is not UTF-8, unsupported characters are escaped."""
    with ServerThread() as server:
        ran = subprocess.run(
            [*COMMAND, "send", "--target", server.address, "世é"],
            capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": "latin-1"},
            timeout=60,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [b"Hello", b"\\u4e16\xe9"]


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written() -> None:
    """A full disk gives one line and status 1."""
    with ServerThread() as server, open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*COMMAND, "send", "--target", server.address, "Ada"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "Error: cannot write: No space left on device\n")


@pytest.mark.process
def test_a_line_without_an_end() -> None:
    """A line without an end is rejected before it fills the memory."""
    with (
        ServerThread() as server,
        subprocess.Popen(
            [*COMMAND, "send", "--target", server.address],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as sender,
    ):
        assert sender.stdin is not None
        assert sender.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            for _ in range(80):
                sender.stdin.write(bytes(1024 * 1024))
        with contextlib.suppress(BrokenPipeError):
            sender.stdin.close()
        assert sender.stderr.read() == (
            b"Error: standard input, line 1: longer than 67108864 bytes; "
            b"split it into shorter lines\n"
        )
        assert sender.wait(60) == 2
