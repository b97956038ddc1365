"""Tests of `chatify-stream rooms`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from chatify_stream import CallError, ChatClient, ChatServer, Status
from chatify_stream.rooms import Retention

from ...e2e.processes import Process
from ...ports import free_port
from ..command_line import COMMAND, SECONDS, Finished, invoke
from ..server_thread import ServerThread
from .rooms_servers import address_of, on_terminal, rooms, rooms_server, rooms_soon

COMMANDS = {
    "list": [],
    "history": ["a"],
    "presence": ["a"],
    "publish": ["a", "--user", "Ada", "x"],
    "disconnect": ["Ada"],
}
POSITION = r"[A-Za-z0-9_-]+/{}"


@pytest.fixture(scope="module")
def operated() -> Iterator[ServerThread]:
    """A server with the Rooms service; each test uses its own rooms."""
    with ServerThread("--rooms-service") as thread:
        yield thread


def publish(server: ServerThread, room: str, *texts: str, user: str = "Ada") -> str:
    """Publishes; the epoch of the room."""
    done = rooms(server, "publish", room, "--user", user, "--", *texts)
    assert (done.status, done.stderr) == (0, "")
    return done.stdout.partition("/")[0]


@asynccontextmanager
async def member(server: ChatServer, room: str, user: str) -> AsyncIterator[ChatClient]:
    """A client that is in a room."""
    metadata = {"chat-room-bin": room.encode(), "chat-user-bin": user.encode()}
    async with ChatClient(address_of(server), metadata=metadata, timeout=SECONDS) as chat:
        await chat.send(f"{user} is here")
        while (await chat.receive()).sender != user:
            pass
        yield chat
        await chat.cancel()


class TestList:
    async def test_rooms(self) -> None:
        """Each line has name, users and offset of a room, separated by tabs and sorted by name."""
        async with rooms_server() as server:
            for room in ("房间", "lobby", "🎉 party"):
                await server.rooms.publish(room, "Ada", "x")
            async with member(server, "lobby", "小明"), member(server, "lobby", "小明"):
                done = await rooms_soon(server, "list")
        assert done == Finished(0, "lobby\t1\t3\n房间\t0\t1\n🎉 party\t0\t1\n", "")

    async def test_json(self) -> None:
        """--json prints one object a line, including the epoch."""
        async with rooms_server() as server:
            position = await server.rooms.publish('a "quoted" 房间', "Ada", "x")
            done = await rooms_soon(server, "list", "--json")
        assert (done.status, done.stderr) == (0, "")
        [line] = done.stdout.splitlines()
        assert json.loads(line) == {
            "name": 'a "quoted" 房间',
            "users": 0,
            "epoch": position.epoch,
            "offset": 1,
        }

    async def test_many(self) -> None:
        """The command prints all 2,500 rooms, or those with the prefix, or up to the limit."""
        names = [f"{'even' if n % 2 == 0 else 'odd'} {n:04}" for n in range(2500)]
        async with rooms_server() as server:
            for name in names:
                await server.rooms.publish(name, "Ada", "x")
            every, some, odd = await asyncio.gather(
                rooms_soon(server, "list"),
                rooms_soon(server, "list", "--limit", "1200"),
                rooms_soon(server, "list", "--prefix", "odd "),
            )
        lines = [f"{name}\t0\t1" for name in sorted(names)]
        assert every.stdout.splitlines() == lines
        assert some.stdout.splitlines() == lines[:1200]
        assert odd.stdout.splitlines() == lines[1250:]
        assert (every.status, every.stderr, some.stderr, odd.stderr) == (0, "", "", "")

    async def test_none(self) -> None:
        """Without rooms nothing is printed, and the status is 0."""
        async with rooms_server() as server:
            for flags in ([], ["--json"], ["--prefix", "没有"]):
                assert await rooms_soon(server, "list", *flags) == Finished(0, "", "")

    async def test_terminal(self) -> None:
        """On a terminal it is a table with a head, whose columns are aligned as they are seen."""
        async with rooms_server() as server:
            for room, number in {"lobby": 1, "房间": 12, "🎉": 1}.items():
                for _ in range(number):
                    await server.rooms.publish(room, "Ada", "x")
            written = await asyncio.to_thread(on_terminal, server, "list")
            none = await asyncio.to_thread(on_terminal, server, "list", "--prefix", "x")
            as_json = await asyncio.to_thread(on_terminal, server, "list", "--json")
        assert written == (
            "NAME   USERS  OFFSET\n"
            "lobby      0       1\n"
            "房间       0      12\n"
            "🎉         0       1\n"
        )
        assert none == "NAME  USERS  OFFSET\n"
        assert [json.loads(line)["name"] for line in as_json.splitlines()] == [
            "lobby",
            "房间",
            "🎉",
        ]


class TestHistory:
    def test_messages(self, operated: ServerThread) -> None:
        """Offset, time in UTC, user and text of each message, with tabs between them."""
        before = datetime.now(UTC)
        publish(operated, "h1", "hello", "你好 🎉", user="小明")
        done = rooms(operated, "history", "h1")
        assert (done.status, done.stderr) == (0, "")
        first, second = [line.split("\t") for line in done.stdout.splitlines()]
        assert (first[0], *first[2:]) == ("1", "小明", "hello")
        assert (second[0], *second[2:]) == ("2", "小明", "你好 🎉")
        for _, written, *_ in (first, second):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", written)
            passed = datetime.fromisoformat(written) - before
            assert -0.001 <= passed.total_seconds() < SECONDS

    def test_json(self, operated: ServerThread) -> None:
        """--json prints one object a line, with all fields of a message."""
        before = int(time.time() * 1000)
        epoch = rooms(
            operated, "publish", "h2", "--user", "小明", "--id", "n1", '"\n\x1b[0m\x9b\x7f\\'
        ).stdout.partition("/")[0]  # fmt: skip
        done = rooms(operated, "history", "h2", "--json")
        [line] = done.stdout.splitlines()
        assert line.isprintable()
        entry = json.loads(line)
        assert before <= entry.pop("sent_at_ms") <= time.time() * 1000
        assert entry == {
            "epoch": epoch,
            "offset": 1,
            "user": "小明",
            "text": '"\n\x1b[0m\x9b\x7f\\',
            "id": "n1",
        }

    def test_which(self, operated: ServerThread) -> None:
        """The flags select messages after or before an offset, a limit and the order."""
        epoch = publish(operated, "h3", *"abcde")
        for flags, expected in [
            ([], "abcde"),
            (["--limit", "2"], "ab"),
            (["--after", "3"], "de"),
            (["--after", "0", "--limit", "1"], "a"),
            (["--after", "9"], ""),
            (["--after", f"{epoch}/3"], "de"),
            (["--after", f"{epoch}/5"], ""),
            (["--backwards"], "edcba"),
            (["--backwards", "--limit", "2"], "ed"),
            (["--backwards", "--before", "3"], "ba"),
            (["--backwards", "--before", "3", "--limit", "1"], "b"),
            (["--backwards", "--before", "1"], ""),
        ]:
            done = rooms(operated, "history", "h3", *flags)
            assert (done.status, done.stderr) == (0, "")
            assert [line[-1] for line in done.stdout.splitlines()] == list(expected), flags

    async def test_huge(self) -> None:
        """A history of 10,000 messages is printed whole, in both orders."""
        async with rooms_server() as server:
            for number in range(1, 10_001):
                await server.rooms.publish("a", "Ada", f"text {number}")
            done, back = await asyncio.gather(
                rooms_soon(server, "history", "a"),
                rooms_soon(server, "history", "a", "--backwards"),
            )
        offsets = [int(line.split("\t")[0]) for line in done.stdout.splitlines()]
        assert offsets == list(range(1, 10_001))
        assert done.stdout.splitlines()[::-1] == back.stdout.splitlines()

    def test_empty(self, operated: ServerThread) -> None:
        """A room without messages prints nothing, with status 0."""
        for flags in ([], ["--backwards"], ["--json"]):
            assert rooms(operated, "history", "h-none", *flags) == Finished(0, "", "")

    def test_one_line_each(self, operated: ServerThread) -> None:
        """Line ends, tabs and control characters in messages are escaped."""
        publish(operated, "h4", "a\tb\r\nc\\d", "\x1b]0;title\x07\x9b31m\u2028\u202e")
        lines = rooms(operated, "history", "h4").stdout.splitlines()
        assert [line.split("\t")[3] for line in lines] == [
            "a\\tb\\r\\nc\\\\d",
            "\\x1b]0;title\\x07\\x9b31m\\u2028\\u202e",
        ]

    def test_terminal(self, operated: ServerThread) -> None:
        """On a terminal it is a table, with the time of where the terminal is."""
        publish(operated, "h5", "hello", user="Ada")
        publish(operated, "h5", "two\nlines \x1b[31m", user="小明")
        head, first, second = on_terminal(operated, "history", "h5").splitlines()
        assert head == "OFFSET  TIME                 USER  TEXT"
        time_ = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
        assert re.fullmatch(rf"     1  {time_}  Ada   hello", first)
        assert re.fullmatch(rf"     2  {time_}  小明  two\\nlines \\x1b\[31m", second)

    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            (["--after", "x"], "--after: 'x' is not allowed; use an offset, or EPOCH/OFF"),
            (["--after", "-1"], "--after: '-1' is not allowed"),
            (["--after", ""], "--after: '' is not allowed"),
            (["--after", "e/"], "--after: 'e/' is not allowed"),
            (["--after", "/1"], "--after: '/1' is not allowed"),
            (["--after", "e/01"], "--after: 'e/01' is not allowed"),
            (["--after", str(2**63)], "--after: '9223372036854775808' is not allowed"),
            (["--after", "一"], "--after: '一' is not allowed"),
            (["--before", "0"], "--before: '0' is not allowed; use an offset from 1"),
            (["--before", "e/1"], "--before: 'e/1' is not allowed"),
            (["--before", "\x1b[31m"], "--before: '\\x1b[31m' is not allowed"),
            (["--before", "3"], "--before: requires --backwards; add it, or use --after"),
            (
                ["--after", "3", "--backwards"],
                "--after: cannot be combined with --backwards; use --before",
            ),
        ],
    )
    def test_wrong_flags(self, flags: list[str], error: str) -> None:
        """Flags that make no sense are status 2, and no server is asked."""
        done = invoke("rooms", "history", "a", "--target", f"127.0.0.1:{free_port()}", *flags)
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: {error}")
        assert done.stderr.count("\n") == 1

    def test_another_epoch(self, operated: ServerThread) -> None:
        """A position of another epoch gives status 5 and the present position of the room."""
        epoch = publish(operated, "h6", "x")
        assert rooms(operated, "history", "h6", "--after", "another/1") == Finished(
            5,
            "",
            "Error: OUT_OF_RANGE: after: the room does not have all messages after this position; "
            f"its newest message is at {epoch}/1, its oldest has the offset 1\n",
        )

    def test_bad_name(self, operated: ServerThread) -> None:
        """If the server rejects the room name, the reason is one line and the status 5."""
        assert rooms(operated, "history", "a\x1b[31m\n") == Finished(
            5,
            "",
            "Error: INVALID_ARGUMENT: the room name 'a\\x1b[31m\\n' has the control character "
            "U+001B, which is not allowed\n",
        )


class TestPresence:
    async def test_users(self) -> None:
        """The users of a room are printed once each, sorted by name; or their number."""
        async with rooms_server() as server:
            async with member(server, "a", "小明"), member(server, "a", "Zoe 🎉"):
                async with member(server, "a", "Ada"), member(server, "a", "Ada"):
                    done, count = await asyncio.gather(
                        rooms_soon(server, "presence", "a"),
                        rooms_soon(server, "presence", "a", "--count"),
                    )
        assert done == Finished(0, "Ada\nZoe 🎉\n小明\n", "")
        assert count == Finished(0, "3\n", "")

    def test_nobody(self, operated: ServerThread) -> None:
        """For an empty room nothing is printed, or 0."""
        assert rooms(operated, "presence", "nobody") == Finished(0, "", "")
        assert rooms(operated, "presence", "nobody", "--count") == Finished(0, "0\n", "")


class TestPublish:
    async def test_reaches_members(self) -> None:
        """A published message reaches the members, and its position is printed."""
        async with rooms_server() as server:
            async with member(server, "大厅", "Ada") as ada:
                done = await rooms_soon(server, "publish", "大厅", "--user", "系统", "你好", "")
                first, second = await ada.receive(), await ada.receive()
        assert [(it.sender, it.message, it.offset) for it in (first, second)] == [
            ("系统", "你好", 2),
            ("系统", "", 3),
        ]
        assert (done.status, done.stderr) == (0, "")
        assert re.fullmatch("\n".join([POSITION.format(2), POSITION.format(3), ""]), done.stdout)

    def test_duplicate(self, operated: ServerThread) -> None:
        """The same id again prints the first position, and that it is a duplicate."""
        args = ["publish", "p1", "--user", "Ada", "--id", "n1", "x"]
        first, again = rooms(operated, *args), rooms(operated, *args)
        assert re.fullmatch(POSITION.format(1) + "\n", first.stdout)
        assert again == Finished(0, first.stdout.rstrip() + "\tduplicate\n", "")
        assert rooms(operated, "publish", "p1", "--user", "Ada", "--id", "n1", "y") == Finished(
            5,
            "",
            "Error: ALREADY_EXISTS: the id 'n1' was published with another text, at offset 1; "
            "a new message needs a new id\n",
        )

    def test_stdin(self, operated: ServerThread) -> None:
        """Without TEXT each line of standard input is a message, in their order."""
        done = rooms(operated, "publish", "p2", "--user", "Ada", stdin="一\n\r\n three\n🎉")
        assert (done.status, done.stderr) == (0, "")
        assert [line.partition("/")[2] for line in done.stdout.splitlines()] == list("1234")
        lines = rooms(operated, "history", "p2", "--json").stdout.splitlines()
        assert [json.loads(line)["text"] for line in lines] == ["一", "", " three", "🎉"]

    @pytest.mark.process
    def test_stdin_at_once(self, operated: ServerThread) -> None:
        """Each line is published when it arrives, before the end of the input."""
        argv = [*COMMAND, "rooms", "publish", "p3", "--user", "Ada", "--target", operated.address]
        with Process(*argv, interactive=True) as process:
            for number in range(1, 4):
                process.write_line("x")
                line = process.read_line()
                assert line is not None
                assert re.fullmatch(POSITION.format(number), line)
            process.close_stdin()
            assert process.wait() == 0

    def test_no_lines(self, operated: ServerThread) -> None:
        """Without TEXT and lines nothing is published."""
        assert rooms(operated, "publish", "p4", "--user", "Ada") == Finished(0, "", "")

    def test_dashes(self, operated: ServerThread) -> None:
        """After -- a TEXT may start with a dash."""
        publish(operated, "p5", "--user", "-x")
        lines = rooms(operated, "history", "p5").stdout.splitlines()
        assert [line.split("\t")[3] for line in lines] == ["--user", "-x"]

    def test_too_large(self, operated: ServerThread) -> None:
        """A text over the limit gives status 5; the texts before it are published."""
        done = rooms(operated, "publish", "p6", "--user", "Ada", "x", "x" * 65537, "y")
        assert done.status == 5
        assert re.fullmatch(POSITION.format(1) + "\n", done.stdout)
        assert done.stderr == (
            "Error: RESOURCE_EXHAUSTED: the text has 65537 bytes; "
            "at most 65536 are allowed in a room\n"
        )

    @pytest.mark.parametrize(
        ("args", "error"),
        [
            (
                ["--id", "1", "x", "y"],
                "--id: requires exactly one TEXT; each message needs its own ID",
            ),
            (["--id", "1"], "--id: requires exactly one TEXT; each message needs its own ID"),
        ],
    )
    def test_id_of_several(self, args: list[str], error: str) -> None:
        """An id for several texts is status 2."""
        assert invoke("rooms", "publish", "a", "--user", "Ada", *args) == Finished(
            2, "", f"Error: {error}\n"
        )

    def test_without_user(self) -> None:
        """The sender is required."""
        done = invoke("rooms", "publish", "a", "x")
        assert (done.status, done.stdout) == (2, "")
        assert "Missing option '--user'" in done.stderr

    @pytest.mark.parametrize(
        ("args", "status", "error"),
        [
            (["a", "--user", "", "x"], 5, "INVALID_ARGUMENT: the user name is empty; use 1 to"),
            (["", "--user", "Ada", "x"], 5, "INVALID_ARGUMENT: the room name is empty; use 1 to"),
            (["a", "--user", "Ada", b"x\xff"], 2, "PublishRequest: text is not valid Unicode"),
            ([b"a\xff", "--user", "Ada", "x"], 2, "PublishRequest: text is not valid Unicode"),
        ],
    )
    def test_bad_names(
        self, operated: ServerThread, args: list[str], status: int, error: str
    ) -> None:
        """Invalid names and texts give an error of one line."""
        done = rooms(operated, "publish", *args)
        assert (done.status, done.stdout) == (status, "")
        assert done.stderr.startswith(f"Error: {error}")
        assert done.stderr.count("\n") == 1

    def test_line_that_is_not_utf8(self, operated: ServerThread) -> None:
        """A line that is not UTF-8 gives status 2; the lines before it are published."""
        done = rooms(operated, "publish", "p7", "--user", "Ada", stdin=b"a\n\xff\n")
        assert (done.status, done.stderr) == (
            2,
            "Error: standard input, line 2: not UTF-8 text; convert it to UTF-8\n",
        )
        assert re.fullmatch(POSITION.format(1) + "\n", done.stdout)


class TestDisconnect:
    async def test_all_rooms(self) -> None:
        """All sessions of a user end, and the user gets the reason."""
        async with rooms_server() as server:
            async with member(server, "a", "小明") as a, member(server, "b", "小明") as b:
                done = await rooms_soon(server, "disconnect", "小明", "--reason", "够了")
                for chat in (a, b):
                    error = await error_of(chat)
                    assert error == (Status.PERMISSION_DENIED, "disconnected: 够了", "no")
        assert done == Finished(0, "2 sessions ended\n", "")

    async def test_one_room(self) -> None:
        """--room limits the sessions to a room, and --reconnect allows the client to return."""
        async with rooms_server() as server:
            async with member(server, "a", "Ada") as a, member(server, "b", "Ada") as b:
                done = await rooms_soon(server, "disconnect", "Ada", "--room", "a", "--reconnect")
                status, text, reconnect = await error_of(a)
                await b.send("still here")
                assert (await b.receive()).message == "still here"
        assert done == Finished(0, "1 session ended\n", "")
        assert (status, text, reconnect) == (
            Status.UNAVAILABLE,
            "disconnected: by an operator; reconnect",
            "yes",
        )

    def test_nobody(self, operated: ServerThread) -> None:
        """A user without a session gives status 0."""
        assert rooms(operated, "disconnect", "Nobody") == Finished(0, "0 sessions ended\n", "")

    def test_refused(self, operated: ServerThread) -> None:
        """If the server rejects the request, the status is 5."""
        done = rooms(operated, "disconnect", "Ada", "--reason", "x" * 257)
        assert done == Finished(
            5,
            "",
            "Error: INVALID_ARGUMENT: the reason has 257 characters; at most 256 are allowed\n",
        )


async def error_of(chat: ChatClient) -> tuple[Status, str | None, str]:
    """Return status and text of the end of a session, and whether to reconnect."""
    with pytest.raises(CallError) as caught:
        await chat.receive()
    return caught.value.status, caught.value.message, caught.value.metadata["chat-reconnect"]


class TestFailures:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_not_turned_on(self, server: ServerThread, command: str) -> None:
        """A server without the Rooms service gives status 5 and the fix."""
        assert rooms(server, command, *COMMANDS[command]) == Finished(
            5,
            "",
            f"Error: {server.address}: the Rooms service is not enabled; start the server with "
            "--rooms-service (if it uses --rooms-port, pass that port in --target)\n",
        )

    def test_other_port(self) -> None:
        """With its own port, the service answers there, and the other port names the fix."""
        port = free_port()
        with ServerThread("--rooms-service", "--rooms-port", str(port)) as server:
            done = invoke("rooms", "list", "--target", f"127.0.0.1:{port}")
            assert done == Finished(0, "", "")
            assert rooms(server, "list").status == 5

    @pytest.mark.parametrize("command", COMMANDS)
    def test_no_server(self, command: str) -> None:
        """A server that is not there is status 4."""
        target = f"127.0.0.1:{free_port()}"
        assert invoke("rooms", command, "--target", target, *COMMANDS[command]) == Finished(
            4, "", f"Error: UNAVAILABLE: cannot connect to {target}: Connection refused\n"
        )

    def test_silent_server(self) -> None:
        """A server that never answers is status 3, after --timeout."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            done = invoke("rooms", "list", "--target", target, "--timeout", "0.5")
        assert done == Finished(
            3, "", "Error: DEADLINE_EXCEEDED: the deadline of the call has passed\n"
        )

    @pytest.mark.process
    def test_interrupted(self) -> None:
        """Ctrl-C gives status 130, without output."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(SECONDS)
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            with Process(*COMMAND, "rooms", "list", "--target", target) as process:
                connection, _ = silent.accept()
                with connection:
                    connection.settimeout(SECONDS)
                    assert connection.recv(1) != b""
                    os.kill(process.pid, signal.SIGINT)
                    assert process.wait() == 130
        assert (process.stdout(), process.stderr()) == ("", "")

    @pytest.mark.process
    async def test_output_closed(self) -> None:
        """A reader of the output that leaves early, as `head` does, gets no traceback."""

        def read_one_line(target: str) -> tuple[bytes, bytes]:
            argv = [*COMMAND, "rooms", "history", "a", "--target", target]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                try:
                    line = process.stdout.readline()
                    process.stdout.close()
                    _, stderr = process.communicate(timeout=SECONDS)
                finally:
                    process.kill()
            return line, stderr

        async with rooms_server() as server:
            for _ in range(200):
                await server.rooms.publish("a", "Ada", "x" * 10_000)
            line, stderr = await asyncio.to_thread(read_one_line, address_of(server))
        assert line.startswith(b"1\t")
        assert stderr == b""

    @pytest.mark.parametrize(
        ("args", "error"),
        [
            (["list", "--target", "http://localhost"], "Error: --target: client.target = "),
            (["list", "--timeout", "0"], "Error: --timeout: client.timeout = '0' is not allowed"),
            (["list", "--limit", "0"], "Invalid value for '--limit'"),
            (["list", "--limit", "x"], "Invalid value for '--limit'"),
            (["list", "extra"], "Got unexpected extra argument"),
            (["history"], "Missing argument 'ROOM'"),
            (["presence"], "Missing argument 'ROOM'"),
            (["publish"], "Missing argument 'ROOM'"),
            (["disconnect"], "Missing argument 'USER'"),
            (["lst"], "No such command 'lst'"),
        ],
    )
    def test_wrong_use(self, args: list[str], error: str) -> None:
        """A command line that makes no sense is status 2, before anything is asked."""
        done = invoke("rooms", *args)
        assert (done.status, done.stdout) == (2, "")
        assert error in done.stderr


async def test_dropped_messages() -> None:
    """Without an epoch, a history starts with the oldest stored message."""
    async with rooms_server(retention=Retention(count=2)) as server:
        for text in "abcd":
            await server.rooms.publish("a", "Ada", text)
        done = await rooms_soon(server, "history", "a", "--after", "1")
    assert [line.split("\t")[3] for line in done.stdout.splitlines()] == ["c", "d"]
