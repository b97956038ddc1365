"""A chat between pipes: its lines as values, and the command as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chatify_stream import ChatServer, RefusedError, RoomMessage, RoomOptions
from chatify_stream.cli.chat.plain import json_line, tabbed_line
from chatify_stream.cli.chat.visit import Bookmark
from chatify_stream.client import Connected, Event, Gap, Joined, Left, Message, Reconnecting
from chatify_stream.errors import UsageError
from chatify_stream.rooms.position import Position

from ...e2e.processes import Process, ServerProcess
from ...ports import free_port
from ..command_line import COMMAND, Finished, invoke, run
from ..server_thread import ServerThread

HERE = Position("e", 7)
SENT_AT = datetime(2026, 3, 1, 12, 3, 4, 50_000, tzinfo=UTC)


def message(text: str, sender: str = "ada") -> Message:
    return Message(HERE, sender, text, "id", SENT_AT, False)


class TestLines:
    @pytest.mark.parametrize(
        ("event", "line"),
        [
            (message("hi 小明"), "7\t2026-03-01T12:03:04.050Z\tada\thi 小明"),
            (
                message("a\tb\n\\\x1b", "e\u202e"),
                r"7|2026-03-01T12:03:04.050Z|e\u202e|a\tb\n\\\x1b",
            ),
            (Joined("ada"), None),
            (Left("ada"), None),
            (Connected("s", HERE, True), None),
            (Reconnecting(1, 0.5, UsageError("away")), None),
            (Gap(HERE, HERE), None),
        ],
    )
    def test_tabbed(self, event: Event, line: str | None) -> None:
        """A message is offset, time, user and text; nothing else is a line."""
        assert tabbed_line(event) == (None if line is None else line.replace("|", "\t"))

    @pytest.mark.parametrize(
        ("event", "entry"),
        [
            (
                message("a\x1b\u2028"),
                {
                    "event": "message",
                    "epoch": "e",
                    "offset": 7,
                    "sent_at_ms": 1772366584050,
                    "user": "ada",
                    "text": "a\x1b\u2028",
                    "id": "id",
                },
            ),
            (Joined("ada"), {"event": "joined", "user": "ada"}),
            (Left("ada"), {"event": "left", "user": "ada"}),
            (
                Connected("s", HERE, None),
                {"event": "connected", "epoch": "e", "offset": 7, "recovered": None},
            ),
            (
                Reconnecting(2, 0.12345, UsageError("away")),
                {"event": "reconnecting", "attempt": 2, "delay": 0.123, "error": "away"},
            ),
            (
                Gap(Position("d", 3), HERE),
                {"event": "gap", "expected": "d/3", "newest": "e/7"},
            ),
        ],
    )
    def test_json(self, event: Event, entry: dict[str, object]) -> None:
        """Every event is an object in one line, escaped for a terminal."""
        line = json_line(event)
        assert json.loads(line) == entry
        assert line.isprintable()


def chat(target: str, *args: str | bytes, stdin: str | bytes = b"") -> Finished:
    return invoke("chat", "--target", target, *args, stdin=stdin)


def texts(output: str) -> list[str]:
    return [line.split("\t")[3] for line in output.splitlines()]


@contextmanager
def chatting(target: str, *args: str) -> Iterator[Process]:
    """A command whose standard input stays open."""
    with Process(*COMMAND, "chat", "--target", target, *args, interactive=True) as process:
        yield process


def read_texts(process: Process, count: int) -> list[str]:
    return [str(process.read_line()).split("\t")[3] for _ in range(count)]


class TestSending:
    def test_lines(self, server: ServerThread) -> None:
        """Each line is a message, whatever its first character; the command ends after the last."""
        args = [server.address, "--room", "lines", "--user", "ada"]
        done = chat(*args, stdin="hi\n\n/quit\n//x\n a\tb \n小明🎉")
        assert (done.status, done.stderr) == (0, "")
        assert texts(done.stdout) == ["hi", "", "/quit", "//x", r" a\tb ", "小明🎉"]
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == list("123456")
        assert {line.split("\t")[2] for line in done.stdout.splitlines()} == {"ada"}

    def test_many_lines(self, server: ServerThread) -> None:
        """More messages than may be on their way are all sent, in their order."""
        lines = [f"{number}" for number in range(3000)]
        done = chat(server.address, "--room", "many", "--user", "ada", stdin="\n".join(lines))
        assert (done.status, done.stderr) == (0, "")
        assert texts(done.stdout) == lines

    def test_default_user(self, server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without --user, the user is the login name."""
        monkeypatch.setenv("LOGNAME", "grace")
        done = chat(server.address, "--room", "login", stdin="hi\n")
        assert done.stdout.split("\t")[2] == "grace"

    def test_too_long(self, server: ServerThread) -> None:
        """The error for a line that exceeds the size of a message contains its number."""
        long = "x" * 70_000
        done = chat(server.address, "--room", "long", "--user", "ada", stdin=f"a\n{long}\n")
        assert done.status == 2
        assert done.stderr.startswith("Error: standard input, line 2: the message has 70")
        assert done.stderr.endswith(" bytes; at most 65536 are allowed in a room\n")

    def test_not_utf8(self, server: ServerThread) -> None:
        """The error for a line that is not UTF-8 contains its number."""
        done = chat(server.address, "--room", "utf8", "--user", "ada", stdin=b"a\n\xff\n")
        assert (done.status, done.stderr) == (
            2,
            "Error: standard input, line 2: not UTF-8 text; convert it to UTF-8\n",
        )

    @pytest.mark.process
    async def test_refused(self) -> None:
        """A rejected message is reported with its line and the reason; the others are sent."""

        async def no_shouting(message: RoomMessage) -> str:
            if message.text.isupper():
                raise RefusedError("do not shout\x1b[2J")
            return message.text

        async with ChatServer(rooms=RoomOptions(on_message=no_shouting)) as server:
            await server.start("127.0.0.1", 0)
            args = [f"127.0.0.1:{server.port}", "--room", "r", "--user", "ada"]
            done = await asyncio.to_thread(run, "chat", "--target", *args, stdin="a\nB\nc\n")
        assert (done.status, texts(done.stdout)) == (5, ["a", "c"])
        log, error = done.stderr.splitlines()
        assert log.endswith(r"standard input, line 2: rejected: do not shout\x1b[2J")
        assert error == "Error: 1 message was rejected"


class TestReading:
    def test_first_visit(self, server: ServerThread) -> None:
        """Without input, the first visit prints as many of the newest messages as --history."""
        room = [server.address, "--room", "first"]
        chat(*room, "--user", "ada", stdin="\n".join("abcdef"))
        done = chat(*room, "--user", "grace", "--history", "3")
        assert (done.status, texts(done.stdout), done.stderr) == (0, ["d", "e", "f"], "")
        assert chat(*room, "--user", "eve", "--history", "0") == Finished(0, "", "")

    def test_next_visit(self, server: ServerThread) -> None:
        """Later visits print the new messages, and with --fresh the newest ones."""
        room = [server.address, "--room", "next"]
        chat(*room, "--user", "grace", "--history", "0")
        chat(*room, "--user", "ada", stdin="\n".join(f"{n}" for n in range(40)))
        done = chat(*room, "--user", "grace")
        assert texts(done.stdout) == [f"{n}" for n in range(40)]
        assert chat(*room, "--user", "grace") == Finished(0, "", "")
        fresh = chat(*room, "--user", "grace", "--fresh", "--history", "2")
        assert texts(fresh.stdout) == ["38", "39"]

    @pytest.mark.process
    def test_killed(self, server: ServerThread, state: Path) -> None:
        """A user whose process was killed gets exactly the 20 messages missed, in order."""
        room = [server.address, "--room", "killed"]
        with chatting(*room, "--user", "ada", "--listen") as reader:
            chat(*room, "--user", "grace", stdin="a\nb\n")
            assert read_texts(reader, 2) == ["a", "b"]
            chat(*room, "--user", "grace", stdin="c\n")
            assert read_texts(reader, 1) == ["c"]  # so "b" is remembered, and "c" may be
            reader.kill()
        remembered = Bookmark(state, server.address, "killed", "ada").read()
        assert remembered is not None
        assert remembered.offset in (2, 3)
        missed = [f"missed {number}" for number in range(20)]
        chat(*room, "--user", "grace", stdin="\n".join(missed))
        done = chat(*room, "--user", "ada")
        expected = ["a", "b", "c", *missed][remembered.offset :]
        assert (done.status, texts(done.stdout), done.stderr) == (0, expected, "")

    @pytest.mark.process
    def test_json(self, server: ServerThread) -> None:
        """With --json every event is an object, including joins and leaves."""
        room = [server.address, "--room", "json"]
        with chatting(*room, "--user", "ada", "--json", "--listen") as reader:
            assert json.loads(str(reader.read_line()))["event"] == "connected"
            chat(*room, "--user", "grace", stdin="hi\n")
            events = [json.loads(str(reader.read_line())) for _ in range(3)]
        assert [event["event"] for event in events] == ["joined", "message", "left"]
        assert {event["user"] for event in events} == {"grace"}

    @pytest.mark.process
    def test_listening(self, server: ServerThread) -> None:
        """With --listen the end of standard input is not the end."""
        room = [server.address, "--room", "listening"]
        with chatting(*room, "--user", "ada", "--listen") as reader:
            reader.write_line("mine")
            assert read_texts(reader, 1) == ["mine"]
            reader.close_stdin()
            chat(*room, "--user", "grace", stdin="later\n")
            assert read_texts(reader, 1) == ["later"]


class TestTrouble:
    @pytest.mark.parametrize(
        ("args", "error"),
        [
            (["--room", ""], "the room name is empty; use 1 to 128 characters"),
            (["--room", "r" * 129], "the room name has 129 characters; at most 128 are allowed"),
            (
                ["--room", "r", "--user", "a\x1b"],
                r"the user name 'a\x1b' has the control character",
            ),
            (["--room", "r", "--target", "no port:x"], "--target: client.target = 'no port:x' is"),
        ],
    )
    def test_wrong_use(self, args: list[str], error: str) -> None:
        """Invalid names and wrong flags give one line and status 2."""
        done = invoke("chat", "--user", "ada", *args)
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: {error}")
        assert done.stderr.count("\n") == 1

    def test_no_room(self) -> None:
        """A room has to be named."""
        done = invoke("chat", "--user", "ada")
        assert done.status == 2
        assert "Missing option '--room'" in done.stderr

    def test_no_server(self) -> None:
        """If the server cannot be reached at the start, the result is one line and status 4."""
        target = f"127.0.0.1:{free_port()}"
        done = chat(target, "--room", "r", "--user", "ada", stdin="a\n")
        assert (done.status, done.stdout) == (4, "")
        assert done.stderr.startswith(f"Error: UNAVAILABLE: cannot connect to {target}: ")
        assert done.stderr.count("\n") == 1

    def test_waiting_for_the_server(self) -> None:
        """With --wait-for-ready the command waits for the server, until --timeout."""
        target = f"127.0.0.1:{free_port()}"
        args = ["--room", "r", "--user", "ada", "--wait-for-ready", "--timeout", "0.5"]
        done = chat(target, *args)
        assert (done.status, done.stdout, done.stderr) == (
            3,
            "",
            "Error: DEADLINE_EXCEEDED: no connection to the server for 0.5 s\n",
        )

    def test_no_rooms(self) -> None:
        """A server that serves no rooms is an answer with an error."""
        with ServerThread("--no-rooms") as server:
            done = chat(server.address, "--room", "r", "--user", "ada")
        assert (done.status, done.stdout) == (5, "")
        assert done.stderr.startswith("Error: UNIMPLEMENTED: ")

    @pytest.mark.process
    def test_server_restarts(self, tmp_path: Path) -> None:
        """After the server restarts, the chat misses no message and sends all of its own."""
        port = free_port()
        serve = ["serve", "--port", f"{port}", "--broker", f"sqlite:///{tmp_path / 'chat.db'}"]
        with ServerProcess(*serve) as server:
            with chatting(server.address, "--room", "r", "--user", "ada") as process:
                process.write_line("before")
                assert read_texts(process, 1) == ["before"]
                server.kill()
                process.write_line("while away")
                with ServerProcess(*serve):
                    assert read_texts(process, 1) == ["while away"]
                    chat(server.address, "--room", "r", "--user", "grace", stdin="after\n")
                    assert read_texts(process, 1) == ["after"]
                    process.close_stdin()
                    assert process.wait() == 0

    @pytest.mark.process
    def test_server_stays_away(self) -> None:
        """If the server stays away, the command ends after --timeout with status 3."""
        with ServerProcess("serve") as server:
            room = ["--room", "r", "--user", "ada", "--timeout", "1"]
            with chatting(server.address, *room, "--listen") as process:
                process.write_line("a")
                assert read_texts(process, 1) == ["a"]
                server.kill()
                assert process.wait() == 3
        assert (
            process.stderr()
            .splitlines()[-1]
            .startswith(
                "Error: DEADLINE_EXCEEDED: no connection to the server for 1 s: UNAVAILABLE: "
            )
        )

    @pytest.mark.process
    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupted(self, server: ServerThread, number: signal.Signals, status: int) -> None:
        """Ctrl-C and SIGTERM leave the room without output."""
        room = ["--room", f"interrupted {number}", "--user", "ada", "--listen"]
        with chatting(server.address, *room) as process:
            process.write_line("a")
            assert read_texts(process, 1) == ["a"]
            os.kill(process.pid, number)
            assert process.wait() == status
        assert process.stderr() == ""

    @pytest.mark.process
    def test_output_that_cannot_be_written(self, server: ServerThread) -> None:
        """A full disk gives one line and status 1, and unwritten messages count as unseen."""
        room = [server.address, "--room", "full"]
        chat(*room, "--user", "grace", stdin="a\nb\n")
        shell = ["sh", "-c", '"$@" > /dev/full', "sh", *COMMAND]
        done = run("chat", "--target", *room, "--user", "ada", command=shell)
        assert (done.status, done.stderr) == (1, "Error: cannot write: No space left on device\n")
        assert texts(chat(*room, "--user", "ada").stdout) == ["a", "b"]

    def test_nowhere_to_remember(self, server: ServerThread, state: Path) -> None:
        """If the position cannot be saved, one warning is printed and the chat continues."""
        state.parent.mkdir(parents=True)
        state.write_text("a file where the folder should be")
        done = chat(server.address, "--room", "nowhere", "--user", "ada", stdin="a\nb\n")
        assert (done.status, texts(done.stdout)) == (0, ["a", "b"])
        [line] = done.stderr.splitlines()
        assert "cannot save or read the position in the room: " in line
