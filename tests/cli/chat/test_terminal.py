"""`chatify-stream chat` in a real pseudo-terminal, as its user sees it."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from chatify_stream import ChatServer, RefusedError, RoomClient, RoomMessage, RoomOptions
from chatify_stream.cli.chat.lines import color_of
from chatify_stream.cli.chat.visit import Bookmark

from ...e2e.processes import ServerProcess
from ...ports import free_port
from ..command_line import run
from .terminals import Terminal

ENTER, ESCAPE, UP, TAB = "\r", "\x1b", "\x1b[A", "\t"
CTRL_C, CTRL_D = "\x03", "\x04"
READY = "; /help lists the commands"
TIME = r"\d\d:\d\d"


def terminal(target: str, room: str, user: str, *args: str, **options: int) -> Terminal:
    return Terminal("chat", "--target", target, "--room", room, "--user", user, *args, **options)


def say(target: str, room: str, user: str, *texts: str) -> None:
    done = run("chat", "--target", target, "--room", room, "--user", user, stdin="\n".join(texts))
    assert done.status == 0, done.stderr


def messages(user: str, shown: Terminal) -> list[str]:
    """Return the texts of a user, from all rows that a terminal has shown."""
    return [
        match[1] for row in shown.rows() if (match := re.fullmatch(rf"{TIME} {user}: (.*)", row))
    ]


class TestTalking:
    def test_two_terminals(self, server: ServerProcess) -> None:
        """Two users in two terminals see each other's messages, joins and leaves."""
        with terminal(server.address, "talk", "ada") as ada:
            ada.wait_for(f"in talk as ada{READY}", "talk · 1 here")
            with terminal(server.address, "talk", "小明") as ming:
                ada.wait_for("小明 has joined", "talk · 2 here")
                ming.wait_for("talk · 2 here")
                ada.type(f"hello{ENTER}")
                ming.wait_for("ada: hello")
                ming.type(f"你好，世界 🎉{ENTER}")
                ada.wait_for("小明: 你好，世界 🎉")
                ada.type(f"bye{ENTER}")
                ming.wait_for("ada: bye")
                for each in (ada, ming):
                    each.wait_for("ada: hello", "小明: 你好，世界 🎉", "ada: bye")
                    assert messages("ada", each) == ["hello", "bye"]
                    assert messages("小明", each) == ["你好，世界 🎉"]
                ming.type("/quit" + ENTER)
                assert ming.wait() == 0
            ada.wait_for("小明 has left", "talk · 1 here")

    def test_killed(self, server: ServerProcess, state: Path) -> None:
        """A user whose process was killed gets exactly the 20 messages missed, in order."""
        with terminal(server.address, "lost", "ada") as ada:
            ada.wait_for(READY)
            with terminal(server.address, "lost", "grace") as grace:
                grace.wait_for(READY)
                for text in ("one", "two", "three"):
                    grace.type(text + ENTER)
                    ada.wait_for(f"grace: {text}")
                ada.kill()
                for number in range(20):
                    grace.type(f"missed {number}{ENTER}")
                grace.wait_for("grace: missed 19")
        remembered = Bookmark(state, server.address, "lost", "ada").read()
        assert remembered is not None
        # "three" was shown, but perhaps not remembered: then it comes twice, and is not lost.
        assert remembered.offset in (2, 3)
        expected = ["three", *(f"missed {number}" for number in range(20))][remembered.offset - 2 :]
        with terminal(server.address, "lost", "ada") as ada:
            ada.wait_for("grace: missed 19")
            assert messages("grace", ada) == expected
            assert f"{len(expected)} new messages since your last visit" in ada.rows()

    def test_left(self, server: ServerProcess) -> None:
        """A returning user gets the messages sent since, or a notice that there are none.

        After leaving, the terminal keeps everything but the prompt.
        """
        with terminal(server.address, "left", "ada") as ada:
            ada.wait_for(READY)
            ada.type(f"seen{ENTER}")
            ada.wait_for("ada: seen")
            ada.type(CTRL_D)
            assert ada.wait() == 0
            assert ada.rows()[-1].endswith("ada: seen")
        with terminal(server.address, "left", "ada") as ada:
            ada.wait_for("no new messages since your last visit", "left · 1 here")
            ada.type(CTRL_D)
            assert ada.wait() == 0
        say(server.address, "left", "grace", "news")
        with terminal(server.address, "left", "ada") as ada:
            ada.wait_for("1 new message since your last visit", "grace: news")
            assert messages("ada", ada) == []

    def test_history(self, server: ServerProcess) -> None:
        """The first visit shows as many of the newest messages as --history says."""
        say(server.address, "history", "grace", *"abcde")
        with terminal(server.address, "history", "ada", "--history", "2") as ada:
            ada.wait_for("grace: e")
            assert messages("grace", ada) == ["d", "e"]


class TestCommands:
    def test_commands(self, server: ServerProcess) -> None:
        """Each command does what /help says, and an unknown one lists the commands."""
        say(server.address, "commands", "grace", *"abc")
        with terminal(server.address, "commands", "ada", "--history", "0", lines=50) as ada:
            ada.wait_for("commands · 1 here")
            ada.type("/who" + ENTER)
            ada.wait_for("1 here: ada")
            ada.type("/history 2" + ENTER)
            ada.wait_for("── now ──")
            assert messages("grace", ada) == ["b", "c"]
            ada.type("/help" + ENTER)
            ada.wait_for("/history [N]  show the newest N messages again")
            ada.type("/nope" + ENTER)
            ada.wait_for("/nope: unknown command; the commands are /who, /history [N], /room NAME")
            ada.type("/history x" + ENTER)
            ada.wait_for("/history: 'x' is not allowed; enter a number from 1 to 1000")
            ada.type("//etc/hosts" + ENTER)
            ada.wait_for("ada: /etc/hosts")
            ada.type("/quit" + ENTER)
            assert ada.wait() == 0

    def test_rooms(self, server: ServerProcess) -> None:
        """/room moves to another room; text entered afterwards is sent there."""
        with terminal(server.address, "kitchen", "grace") as grace:
            grace.wait_for(READY)
            with terminal(server.address, "hall", "ada") as ada:
                ada.wait_for("hall · 1 here")
                ada.type(f"in the hall{ENTER}/room kitchen{ENTER}in the kitchen{ENTER}")
                ada.wait_for("in kitchen as ada", "ada: in the kitchen", "kitchen · 2 here")
                assert messages("ada", ada) == ["in the hall", "in the kitchen"]
                grace.wait_for("ada has joined", "ada: in the kitchen")
                ada.type(f"/room {'x' * 129}{ENTER}")
                ada.wait_for("the room name has 129 characters; at most 128 are allowed")
                ada.type(f"/room hall{ENTER}")
                ada.wait_for("no new messages since your last visit", "hall · 1 here")
                grace.wait_for("ada has left")

    def test_room_that_cannot_be_entered(self) -> None:
        """A room that is closed to the user leaves them where they are."""

        async def only_the_lobby(join: object) -> None:
            if getattr(join, "room", "") != "lobby":
                raise RefusedError("this room is closed")

        def talk(target: str) -> None:
            with terminal(target, "lobby", "ada") as ada:
                ada.wait_for(READY)
                ada.type(f"/room cellar{ENTER}")
                ada.wait_for("cannot enter cellar: PERMISSION_DENIED: this room is closed")
                ada.type(f"still here{ENTER}")
                ada.wait_for("ada: still here", "lobby · 1 here")

        with_server(RoomOptions(on_join=only_the_lobby), talk)

    def test_completion(self, server: ServerProcess) -> None:
        """Tab completes commands and the names of the users in the room."""
        with terminal(server.address, "tab", "ada-lovelace") as ada:
            ada.wait_for("tab · 1 here")
            ada.type(f"hi ada{TAB}!{ENTER}")
            ada.wait_for("ada-lovelace: hi ada-lovelace!")
            ada.type(f"/w{TAB}{ENTER}")
            ada.wait_for("1 here: ada-lovelace")


class TestTyping:
    def test_history_of_the_line(self, server: ServerProcess) -> None:
        """The Up key recalls entered text."""
        with terminal(server.address, "up", "ada") as ada:
            ada.wait_for(READY)
            ada.type(f"again{ENTER}")
            ada.wait_for("ada: again")
            ada.type(f"{UP}!{ENTER}")
            ada.wait_for("ada: again!")

    def test_paste(self, server: ServerProcess) -> None:
        """Pasted lines are one message, as are lines entered with Alt-Enter."""
        with terminal(server.address, "paste", "ada") as ada:
            ada.wait_for(READY)
            ada.paste("first\r\nsecond\r\n\r\n")
            ada.wait_for("> first", "  second")
            ada.type(ENTER)
            ada.wait_for("ada: first", "      second")
            ada.type(f"third{ESCAPE}{ENTER}fourth{ENTER}")
            ada.wait_for("ada: third", "      fourth")
            assert messages("ada", ada) == ["first", "third"]

    def test_empty_line(self, server: ServerProcess) -> None:
        """A line of spaces is not sent."""
        with terminal(server.address, "empty", "ada") as ada:
            ada.wait_for(READY)
            ada.type(f"{ENTER}   {ENTER}something{ENTER}")
            ada.wait_for("ada: something")
            assert messages("ada", ada) == ["something"]

    def test_ctrl_c(self, server: ServerProcess) -> None:
        """Ctrl-C clears the line, and leaves when that is empty."""
        with terminal(server.address, "ctrl-c", "ada") as ada:
            ada.wait_for(READY)
            ada.type("not to be sent")
            ada.wait_for("> not to be sent")
            ada.type(CTRL_C)
            ada.wait_until(lambda: not any("not to be sent" in row for row in ada.screen()))
            ada.type(f"sent{ENTER}")
            ada.wait_for("ada: sent")
            ada.type(CTRL_C)
            assert ada.wait() == 0
            assert ada.has_its_modes_back
            assert messages("ada", ada) == ["sent"]

    def test_ctrl_d(self, server: ServerProcess) -> None:
        """Ctrl-D deletes a character, and leaves when there is none."""
        with terminal(server.address, "ctrl-d", "ada") as ada:
            ada.wait_for(READY)
            ada.type(f"ab\x01{CTRL_D}{ENTER}")
            ada.wait_for("ada: b")
            ada.type(CTRL_D)
            assert ada.wait() == 0
            assert ada.has_its_modes_back

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
    def test_signals(self, server: ServerProcess, number: signal.Signals, status: int) -> None:
        """SIGTERM leaves, SIGINT acts as Ctrl-C; the terminal gets its modes back."""
        with terminal(server.address, "signals", f"ada {number}") as ada:
            ada.wait_for(READY)
            ada.signal(number)
            assert ada.wait() == status
            assert ada.has_its_modes_back


@pytest.mark.slow
class TestLooks:
    def test_colors(self, server: ServerProcess) -> None:
        """A sender has the same color everywhere, and the user's own name is bold."""
        with terminal(server.address, "colors", "ada") as ada:
            ada.wait_for(READY)
            with terminal(server.address, "colors", "grace") as grace:
                grace.wait_for(READY)
                ada.type(f"hello{ENTER}")
                for each in (ada, grace):
                    each.wait_for("ada: hello")
                    assert f"#{each.cell('ada: hello').fg}" == color_of("ada")
                    assert each.cell("ada: hello").bold is (each is ada)
                    assert each.cell("hello").fg == "default"

    def test_no_color(self, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        """With NO_COLOR there is none."""
        monkeypatch.setenv("NO_COLOR", "1")
        with terminal(server.address, "no color", "ada") as ada:
            ada.wait_for(READY)
            ada.type(f"hello{ENTER}")
            ada.wait_for("ada: hello", "no color · 1 here")
            assert ada.cell("ada: hello").fg == "default"
            assert not re.search(rb"\x1b\[[\d;]*[34][\d;]*m", ada.output)

    def test_dumb(self, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal that can do nothing gets nothing but lines."""
        monkeypatch.setenv("TERM", "dumb")
        with terminal(server.address, "dumb", "ada") as ada:
            ada.type("hello\n")
            ada.wait_until(
                lambda: any(row.endswith("hello") and "ada" in row for row in ada.rows())
            )
            ada.type(CTRL_D)
            assert ada.wait() == 0
            assert b"\x1b" not in ada.output

    def test_narrow(self, server: ServerProcess) -> None:
        """In a narrow terminal, long lines are wrapped, and text never starts a row."""
        text = f"{'word ' * 20}{'x' * 70} 你好，世界！你好，世界！你好 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉 end"
        with terminal(server.address, "narrow", "ada", columns=30, lines=40) as ada:
            ada.wait_for("narrow · 1 here")
            say(server.address, "narrow", "grace", text)
            ada.wait_for("end")
            rows = ada.rows()
            first = next(at for at, row in enumerate(rows) if "grace: " in row)
            last = next(at for at, row in enumerate(rows) if row.endswith("end"))
            rows = rows[first : last + 1]
            assert rows[0].split(" ", 1)[1] == "grace: word word word"
            assert all(row.startswith(" " * 6) for row in rows[1:])
            shown = "".join(row[6:] for row in rows).removeprefix("grace: ")
            assert shown.replace(" ", "") == text.replace(" ", "")

    @pytest.mark.parametrize("columns", [1, 2, 5, 10])
    def test_hardly_a_terminal(self, server: ServerProcess, columns: int) -> None:
        """In a terminal that is too narrow for anything, the chat works and ends normally."""
        room = f"hardly {columns}"
        with terminal(server.address, room, "ada", columns=columns, lines=5) as ada:
            ada.wait_until(lambda: b"\x1b[6n" in ada.output)
            ada.type(f"hi 你{ENTER}")
            shown = Terminal("chat", "--target", server.address, "--room", room, "--user", "eve")
            with shown as eve:
                eve.wait_for("ada: hi 你")
            ada.type(CTRL_D)
            assert ada.wait() == 0

    def test_resize(self, server: ServerProcess) -> None:
        """After a resize, new lines are wrapped to the new width, and the input line is shown."""
        with terminal(server.address, "resize", "ada", columns=100) as ada:
            ada.wait_for("resize · 1 here")
            ada.type("typed before")
            ada.wait_for("> typed before")
            ada.resize(40, 12)
            ada.wait_until(lambda: ada.screen()[-1:] == [" resize · 1 here"])
            say(server.address, "resize", "grace", "word " * 12)
            ada.wait_for("grace has left", "> typed before")
            assert [row[6:] for row in ada.rows() if "word" in row] == [
                "grace: word word word word word",
                "word word word word word word",
                "word",
            ]
            ada.type(f", and after{ENTER}")
            ada.wait_for("ada: typed before, and after")


class TestHostile:
    TEXTS = (
        "\x1b]0;title\x07",
        "\x1b[2J\x1b[H\x1b[31mred",
        "\x9b2J\x90q\x9c",
        "a\rb\x08c\x0e\x7f",
        "\u202egpj.exe",
        "x\n12:03 ada: faked",
    )

    def test_texts(self, server: ServerProcess) -> None:
        """Text from other users reaches the terminal only as text."""
        with terminal(server.address, "hostile", "ada", lines=40) as ada:
            ada.wait_for("hostile · 1 here")
            for text in self.TEXTS:
                publish(server.address, "hostile", "eve\u202e", text)
            ada.wait_for("ada: faked")
            assert [row[6:] for row in ada.rows() if "eve" in row and "has" not in row] == [
                r"eve\u202e: \x1b]0;title\x07",
                r"eve\u202e: \x1b[2J\x1b[H\x1b[31mred",
                r"eve\u202e: \x9b2J\x90q\x9c",
                r"eve\u202e: a\x0db\x08c\x0e\x7f",
                r"eve\u202e: \u202egpj.exe",
                r"eve\u202e: x",
            ]
            assert "      12:03 ada: faked" in ada.rows()
            for bad in ("\x1b]0;", "\x1b[31m", "\x9b", "\x90", "\x08c", "\x0e", "\u202e"):
                assert bad.encode() not in ada.output

    def test_names(self, server: ServerProcess) -> None:
        """Nor do the names of others, wherever they are shown."""
        with terminal(server.address, "hostile names", "ada") as ada:
            ada.wait_for("hostile names · 1 here")
            with terminal(server.address, "hostile names", "e\u202evil\u2066") as evil:
                evil.wait_for(r"in hostile names as e\u202evil\u2066")
                ada.wait_for(r"e\u202evil\u2066 has joined", "· 2 here")
                ada.type(f"/who{ENTER}")
                ada.wait_for(r"2 here: ada, e\u202evil\u2066")
                evil.type(CTRL_D)
                ada.wait_for(r"e\u202evil\u2066 has left")
                for each in (ada, evil):
                    assert "\u202e".encode() not in each.output

    def test_name_as_long_as_a_row(self, server: ServerProcess) -> None:
        """A long name is cut, and cannot make its text look like another line."""
        name = "e".ljust(40 - len("12:03 ")) + "12:03 ada: faked"
        with terminal(server.address, "long name", "ada", columns=40) as ada:
            ada.wait_for("long name · 1 here")
            publish(server.address, "long name", name, "hi")
            ada.wait_until(lambda: any(row.endswith(": hi") for row in ada.rows()))
            assert not any(row.startswith("12:03 ada") for row in ada.rows())


@pytest.mark.slow
class TestTrouble:
    def test_no_server(self) -> None:
        """If the server cannot be reached at the start, the result is one line and status 4."""
        target = f"127.0.0.1:{free_port()}"
        with terminal(target, "r", "ada", columns=200) as ada:
            assert ada.wait() == 4
            ada.wait_until(lambda: len(ada.rows()) == 1)
            assert ada.rows()[0].startswith(f"Error: UNAVAILABLE: cannot connect to {target}: ")
            assert ada.has_its_modes_back

    def test_server_restarts(self, tmp_path: Path) -> None:
        """After the server restarts, pending messages are sent and none is missed."""
        serve = [
            *("serve", "--port", f"{free_port()}"),
            *("--broker", f"sqlite:///{tmp_path / 'chat.db'}"),
        ]
        with ServerProcess(*serve) as server:
            say(server.address, "r", "ada", "the visit before")
            with terminal(server.address, "r", "ada") as ada:
                ada.wait_for("no new messages since your last visit", "r · 1 here")
                server.kill()
                ada.wait_for("r · reconnecting: ")
                ada.type(f"while away{ENTER}and this{ENTER}")
                ada.wait_for("… while away", "… and this")
                assert messages("ada", ada) == []
                with ServerProcess(*serve):
                    ada.wait_for("ada: while away", "ada: and this", "r · 1 here")
                    say(server.address, "r", "grace", "welcome back")
                    ada.wait_for("grace: welcome back")
                    assert messages("ada", ada) == ["while away", "and this"]
                    assert not any("…" in row for row in ada.screen())
                    assert len([row for row in ada.rows() if "since your last" in row]) == 1

    def test_server_forgets(self) -> None:
        """If the server restarts without its messages, one line says so."""
        port = f"{free_port()}"
        with ServerProcess("serve", "--port", port) as server:
            with terminal(server.address, "r", "ada") as ada:
                ada.wait_for("r · 1 here")
                ada.type(f"lost{ENTER}")
                ada.wait_for("ada: lost")
                server.kill()
                with ServerProcess("serve", "--port", port):
                    ada.wait_for("the room was reset; its earlier messages are lost", "r · 1 here")

    def test_many_pending(self) -> None:
        """Of many that are pending, the first are shown, and how many more there are."""
        with ServerProcess("serve") as server, terminal(server.address, "r", "ada") as ada:
            ada.wait_for("r · 1 here")
            server.kill()
            ada.wait_for("r · reconnecting: ")
            ada.type("".join(f"{'long ' * 40}{number}{ENTER}" for number in range(5)))
            ada.wait_for("… and 2 more")
            assert len([row for row in ada.screen() if row.startswith("… long long")]) == 3

    def test_leaving_what_is_pending(self) -> None:
        """Leaving waits for pending messages; Ctrl-C leaves now and shows them."""
        with ServerProcess("serve") as server, terminal(server.address, "r", "ada") as ada:
            ada.wait_for("r · 1 here")
            server.kill()
            ada.wait_for("r · reconnecting: ")
            ada.type(f"never sent{ENTER}")
            ada.wait_for("… never sent")
            ada.type(CTRL_D)
            ada.wait_for("r · leaving after all messages are sent; Ctrl-C leaves now")
            ada.type(CTRL_C)
            assert ada.wait() == 4
            ada.wait_for("possibly not sent:", "never sent")
            ada.wait_for("Error: the chat ended before the server received all messages")
            assert ada.has_its_modes_back

    def test_too_long(self, server: ServerProcess) -> None:
        """A message that is too long is not sent, and the chat goes on."""
        with terminal(server.address, "too long", "ada") as ada:
            ada.wait_for(READY)
            ada.paste("x" * 70_000)
            ada.type(ENTER)
            ada.wait_for("not sent: the message has 70038 bytes; at most 65536 are allowed")
            ada.type(f"short{ENTER}")
            ada.wait_for("ada: short")

    def test_refused(self) -> None:
        """A rejected message is reported with the reason, and the chat continues."""

        async def no_shouting(message: RoomMessage) -> str:
            if message.text.isupper():
                raise RefusedError("do not shout\x1b[2J")
            return message.text

        def talk(target: str) -> None:
            with terminal(target, "r", "ada") as ada:
                ada.wait_for(READY)
                ada.type(f"HELLO{ENTER}")
                ada.wait_for(r"not sent: do not shout\x1b[2J", "HELLO")
                ada.type(f"hello{ENTER}")
                ada.wait_for("ada: hello")
                assert messages("ada", ada) == ["hello"]

        with_server(RoomOptions(on_message=no_shouting), talk)

    def test_sent_away(self) -> None:
        """A disconnected user sees the reason, and the command ends with status 5."""
        with ServerProcess("serve", "--rooms-service") as server:
            with terminal(server.address, "r", "ada") as ada:
                ada.wait_for("r · 1 here")
                args = ["--target", server.address, "ada", "--reason", "enough\x1b[2J"]
                run("rooms", "disconnect", *args)
                assert ada.wait() == 5
                ada.wait_for(r"Error: PERMISSION_DENIED: disconnected: enough\x1b[2J")
                assert ada.has_its_modes_back

    def test_nowhere_to_remember(self, server: ServerProcess, state: Path) -> None:
        """If the position cannot be saved, a line above the prompt says so."""
        state.parent.mkdir(parents=True)
        state.write_text("a file where the folder should be")
        with terminal(server.address, "unkept", "ada", columns=200) as ada:
            ada.wait_for("cannot save or read the position in the room")
            ada.type(f"hello{ENTER}")
            ada.wait_for("ada: hello")


def publish(target: str, room: str, user: str, text: str) -> None:
    """Publish a text of any characters, which lines of standard input cannot contain."""

    async def talk() -> None:
        async with RoomClient(target, room=room, user=user) as chat:
            await chat.send(text)

    asyncio.run(talk())


def with_server(options: RoomOptions, talk: Callable[[str], None]) -> None:
    """Calls `talk` with the address of a server that runs here."""

    async def serve() -> None:
        async with ChatServer(rooms=options) as server:
            await server.start("127.0.0.1", 0)
            await asyncio.to_thread(talk, f"127.0.0.1:{server.port}")

    asyncio.run(serve())
