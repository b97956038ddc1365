"""`chatify-stream serve`, as a process."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chatify_stream import (
    Channel,
    ChatClient,
    ConfigError,
    Limits,
    Rate,
    Retention,
    RetentionRule,
    RoomOptions,
    Status,
    StatusError,
    UnavailableError,
    UsageLimits,
)
from chatify_stream.cli.serving.options import address_header, options_from, room_options
from chatify_stream.config import (
    LimitSettings,
    RoomSettings,
    ServerSettings,
    Setting,
    Settings,
    UsageSettings,
    all_settings,
    kinds,
)
from chatify_stream.messages.grpc.health.v1 import (
    HealthCheckRequest,
    HealthCheckResponseServingStatus,
    HealthStub,
)

from ...e2e.processes import ListeningProcess, Process, ServerProcess
from ...support.frames import GOAWAY, PING
from ...wire.raw import frame, frame_client
from ..command_line import COMMAND, invoke
from ..server_thread import ServerThread

SECONDS = 60.0
STOP_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


async def reply_of(address: str, text: str) -> str:
    """Return the reply of the server at `address`."""
    async with ChatClient(address, timeout=SECONDS) as chat:
        await chat.send(text)
        reply = await chat.close_and_recv()
    assert reply is not None
    return reply.message


@asynccontextmanager
async def watched(server: ListeningProcess) -> AsyncIterator[AsyncIterator[str]]:
    """Yield the health statuses of a server; NOT_SERVING means that it is stopping."""
    async with Channel(server.host, server.port) as channel:
        responses = HealthStub(channel).watch(HealthCheckRequest(), timeout=SECONDS)
        statuses = (HealthCheckResponseServingStatus(each.status).name async for each in responses)
        assert await anext(statuses) == "SERVING"
        yield statuses


async def end_of(process: Process) -> int:
    """The exit status of a process that ends by itself."""
    return await asyncio.to_thread(process.wait)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class TestListening:
    @pytest.mark.process
    @pytest.mark.parametrize(
        ("host", "shown"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("0.0.0.0", "0.0.0.0"),
            pytest.param(
                "::1",
                "[::1]",
                marks=pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 loopback"),
            ),
        ],
    )
    async def test_host(self, host: str, shown: str) -> None:
        """The server prints the configured host and its port, once."""
        with ServerProcess("serve", "--host", host) as server:
            assert (server.host, server.port > 0) == (shown, True)
            target = f"127.0.0.1:{server.port}" if host == "0.0.0.0" else server.address
            assert await reply_of(target, "Ada") == "Hello Ada"
        assert server.exit_code == 0
        assert server.stdout() == f"listening on {shown}:{server.port}\n"

    @pytest.mark.process
    def test_given_port(self) -> None:
        """The server listens on the configured port, even directly after another server did."""
        with ServerProcess("serve") as first:
            port = first.port
        with ServerProcess("serve", "--port", str(port)) as second:
            assert second.port == port

    @pytest.mark.process
    def test_log(self) -> None:
        """The log goes to standard error, and contains only the shutdown."""
        with ServerProcess("serve") as server:
            pass
        first, last = server.stderr().splitlines()
        assert first.endswith(
            "SIGTERM received: stopping within 10 s; send it again to stop immediately"
        )
        assert last.endswith("stopped")


class TestStopping:
    @pytest.mark.process
    @STOP_SIGNALS
    def test_no_client(self, number: signal.Signals) -> None:
        """A signal stops it with status 0."""
        with ServerProcess("serve") as server:
            os.kill(server.pid, number)
            assert server.wait() == 0
        assert f"{number.name} received: stopping" in server.stderr()
        assert "Traceback" not in server.stderr()

    @pytest.mark.process
    @STOP_SIGNALS
    def test_idle_connection(self, number: signal.Signals) -> None:
        """An idle client does not delay the shutdown, and is disconnected."""
        with (
            ServerProcess("serve", "--grace", "600") as server,
            socket.create_connection((server.host, server.port), timeout=SECONDS) as idle,
        ):
            assert idle.recv(1) != b""  # the server has taken the connection
            os.kill(server.pid, number)
            assert server.wait() == 0
            while idle.recv(1024):
                pass
        assert "Traceback" not in server.stderr()

    @pytest.mark.process
    @STOP_SIGNALS
    async def test_open_stream(self, number: signal.Signals) -> None:
        """A stream that stays open is ended when the grace is over."""
        with ServerProcess("serve", "--grace", "1") as server:
            async with ChatClient(server.address, timeout=SECONDS) as chat:
                await chat.send("Ada")
                assert await chat.receive() is not None
                os.kill(server.pid, number)
                with pytest.raises(UnavailableError) as caught:
                    await chat.receive()
            assert await end_of(server) == 0
        assert str(caught.value) == "UNAVAILABLE: the server is shutting down"
        assert "Traceback" not in server.stderr()

    @pytest.mark.process
    @pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
    async def test_second_signal(self, second: signal.Signals) -> None:
        """A second signal stops the server immediately, whatever the grace period."""
        with ServerProcess("serve", "--grace", "600") as server:
            async with (
                ChatClient(server.address, timeout=SECONDS) as chat,
                watched(server) as statuses,
            ):
                await chat.send("Ada")
                assert await chat.receive() is not None
                os.kill(server.pid, signal.SIGTERM)
                assert await anext(statuses) == "NOT_SERVING"
                assert server.exit_code is None
                os.kill(server.pid, second)
                with pytest.raises(UnavailableError):
                    await chat.receive()
                assert await end_of(server) == 0
        assert "Traceback" not in server.stderr()

    @pytest.mark.process
    async def test_answers_during_grace(self) -> None:
        """After the first signal open streams get their answers, and new clients none."""
        with ServerProcess("serve", "--grace", "600") as server:
            async with ChatClient(server.address, timeout=SECONDS) as chat:
                await chat.send("Ada")
                assert await chat.receive() is not None
                async with watched(server) as statuses:
                    os.kill(server.pid, signal.SIGTERM)
                    assert await anext(statuses) == "NOT_SERVING"
                with pytest.raises(UnavailableError, match="Connection refused"):
                    await reply_of(server.address, "too late")
                await chat.send("小明")
                reply = await chat.close_and_recv()
            assert reply is not None
            assert reply.message == "Hello 小明"
            assert await end_of(server) == 0


class TestWrongUse:
    @pytest.mark.parametrize(
        ("args", "line"),
        [
            (
                ["--port", "70000"],
                r"--port: server\.port = '70000' is not allowed; use a whole number from "
                "0 to 65535",
            ),
            (["--port", "http"], r"--port: server\.port = 'http' is not allowed; .*"),
            (["--port", ""], r"--port: server\.port = '' is not allowed; .*"),
            (["--host", "a b"], r"--host: server\.host = 'a b' is not allowed; .*"),
            (["--host", "a..b"], r"--host: server\.host = 'a\.\.b' is not allowed; .*"),
            (["--host", "a" * 64], r"--host: server\.host = 'a{64}' is not allowed; .*"),
            (
                ["--host", "host.invalid"],
                r"cannot listen on host\.invalid:9000: unknown host \(.+\)",
            ),
            (
                ["--host", "203.0.113.1", "--port", "0"],
                r"cannot listen on 203\.0\.113\.1:0: not an address of this machine",
            ),
            (
                ["--reply", "Hi {nam}"],
                r"--reply: server\.reply = 'Hi \{nam\}' is not allowed; use a text with "
                r"\{name\} in place of the message \(unknown field \{nam\}; .*\)",
            ),
            (["--reply", "{"], r"--reply: server\.reply = '\{' is not allowed; .*"),
            (["--paths", "/Chat"], r"--paths: server\.paths = '/Chat' is not allowed; .*"),
            (["--grace", "nan"], r"--grace: server\.grace = 'nan' is not allowed; .*"),
            (["--log-level", "loud"], r"--log-level: log\.level = 'loud' is not allowed; .*"),
            (
                ["--port", "x", "--grace", "x"],
                r"--port: .* \(and 1 more\)",
            ),
            (
                ["--max-message-size", "10 MB"],
                r"--max-message-size: limits\.max_message_size = '10 MB' is not allowed; use "
                "a whole number of bytes from 1 to 2147483647",
            ),
            (["--config", "no.toml"], r"no\.toml: cannot be read: No such file or directory"),
            (["--config", "."], r"\.: cannot be read: Is a directory"),
            (["--config", "broken.toml"], r"broken\.toml: not valid TOML: .*"),
            (
                ["--config", "unknown.toml"],
                r"unknown\.toml: server\.prot = 1 is not a setting; did you mean port\?",
            ),
        ],
    )
    def test_flag_or_file(self, tmp_path: Path, args: list[str], line: str) -> None:
        """A wrong flag, file or address gives one line on standard error and status 2."""
        tmp_path.joinpath("broken.toml").write_text("[server", encoding="utf-8")
        tmp_path.joinpath("unknown.toml").write_text("[server]\nprot = 1\n", encoding="utf-8")
        done = invoke("serve", *args, cwd=tmp_path)
        assert (done.status, done.stdout) == (2, "")
        assert re.fullmatch(f"Error: {line}\n", done.stderr), done.stderr

    def test_port_in_use(self) -> None:
        """A port that another program uses is reported."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = invoke("serve", "--host", "127.0.0.1", "--port", str(port))
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == (
            f"Error: cannot listen on 127.0.0.1:{port}: "
            "the port is in use by another program; stop it or use another port\n"
        )

    def test_variable(self) -> None:
        """The error for a wrong variable contains its name."""
        done = invoke("serve", env={"CHATIFY_STREAM_SERVER_PORTS": "1"})
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr == (
            "Error: CHATIFY_STREAM_SERVER_PORTS: '1' is not a setting; did you mean "
            "CHATIFY_STREAM_SERVER_PORT?\n"
        )

    def test_not_utf8(self) -> None:
        """A reply that is not UTF-8 is refused here, not at the first message."""
        done = invoke("serve", "--reply", b"\xff{name}")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.endswith("(not UTF-8 text)\n")
        assert done.stderr.count("\n") == 1


class TestSettings:
    async def test_reply(self) -> None:
        """--reply is the template of every answer."""
        with ServerThread("--reply", "你好 {name}，{{{name}}}!") as server:
            assert await reply_of(server.address, "{name}") == "你好 {name}，{{name}}!"

    async def test_max_message_size(self) -> None:
        """--max-message-size limits messages: one byte more is rejected."""
        with ServerThread("--max-message-size", "10") as server:
            assert await reply_of(server.address, "12345678") == "Hello 12345678"
            with pytest.raises(StatusError) as caught:
                await reply_of(server.address, "123456789")
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert caught.value.message == "the message has 11 bytes; at most 10 are allowed"

    async def test_a_limit_by_variable(self) -> None:
        """With CHATIFY_STREAM_LIMITS_MAX_CONNECTIONS=1 a second connection is closed."""
        with ServerThread(env={"CHATIFY_STREAM_LIMITS_MAX_CONNECTIONS": "1"}) as server:
            async with ChatClient(server.address, timeout=SECONDS) as chat:
                await chat.send("Ada")
                assert await chat.receive() is not None
                reader, writer = await asyncio.open_connection(server.host, server.port)
                async with asyncio.timeout(SECONDS):
                    assert await reader.read() == b""
                writer.close()

    async def test_a_limit_by_file(self, tmp_path: Path) -> None:
        """With pings = "2, then 0.001/s", a client that sends four at once is disconnected."""
        file = tmp_path / "chat.toml"
        file.write_text('[limits]\npings = "2, then 0.001/s"\n', encoding="utf-8")
        with ServerThread("--config", str(file)) as server:
            async with frame_client(server.port) as client:
                client.send(frame(PING, 0, 0, bytes(8)) * 4)
                assert (await client.wait_for(GOAWAY))[8:] == b"too_many_pings"

    @pytest.mark.process
    @pytest.mark.parametrize("source", ["flag", "variable", "file"])
    async def test_sources(self, tmp_path: Path, source: str) -> None:
        """Flags, variables and the file configure the server alike."""
        file = tmp_path / "chat.toml"
        file.write_text('[server]\nhost = "127.0.0.1"\nport = 0\nreply = "file {name}"\n')
        args, env = ["serve"], {"CHATIFY_STREAM_CONFIG": str(file)}
        if source != "file":
            env["CHATIFY_STREAM_SERVER_REPLY"] = "variable {name}"
        if source == "flag":
            args += ["--reply", "flag {name}"]
        with ListeningProcess(*COMMAND, *args, env=env) as server:
            assert await reply_of(server.address, "Ada") == f"{source} Ada"

    async def test_service_links(self) -> None:
        """The variables of a Kubernetes service of our name do not keep it from starting."""
        links = {
            "CHATIFY_STREAM_SERVICE_HOST": "10.0.0.1",
            "CHATIFY_STREAM_SERVICE_PORT": "9000",
            "CHATIFY_STREAM_PORT": "tcp://10.0.0.1:9000",
            "CHATIFY_STREAM_PORT_9000_TCP": "tcp://10.0.0.1:9000",
        }
        with ServerThread(env=links) as server:
            assert await reply_of(server.address, "Ada") == "Hello Ada"

    @pytest.mark.process
    async def test_json_log(self) -> None:
        """Every line of the log, from debug on, is a JSON object of the same form."""
        with ServerProcess("serve", "--log-format", "json", "--log-level", "debug") as server:
            assert await reply_of(server.address, "小明") == "Hello 小明"
        entries = [json.loads(line) for line in server.stderr().splitlines()]
        for entry in entries:
            assert list(entry) == ["time", "level", "logger", "message"]
            assert datetime.fromisoformat(entry["time"]).utcoffset() == timedelta(0)
            assert entry["level"] in ("debug", "info", "warning", "error")
        assert ("info", "chatify_stream.cli.serving.run", "stopped") in [
            (entry["level"], entry["logger"], entry["message"]) for entry in entries
        ]

    @pytest.mark.process
    def test_log_level(self) -> None:
        """Below the log level nothing is written."""
        with ServerProcess("serve", "--log-level", "warning") as server:
            pass
        assert (server.exit_code, server.stderr()) == (0, "")


LIMITS = [setting for setting in all_settings() if setting.section == "limits"]


def extremes(setting: Setting) -> list[object]:
    """The least and the most that a setting may be, and None where it may."""
    match setting.kind:
        case kinds.Integer(minimum, maximum, optional=optional):
            return [minimum, maximum, *[None] * optional]
        case kinds.Seconds(optional=optional):
            return [5e-324, 86400.0, *[None] * optional]
        case kinds.Rate(maximum, optional=optional):
            return [(1, 5e-324), (maximum, float(maximum)), *[None] * optional]
    raise AssertionError(f"no extremes for {setting.name}: add them here")


class TestLimits:
    def test_defaults(self) -> None:
        """The settings have every limit of the server, in the same order, and its defaults."""
        settings, limits = LimitSettings(), Limits()
        names = [field.name for field in dataclasses.fields(limits)]
        assert [field.name for field in dataclasses.fields(settings)] == names
        ours = options_from(settings, Limits)
        assert {name: getattr(ours, name) for name in names} == {
            name: getattr(limits, name) for name in names
        }

    @pytest.mark.parametrize("setting", LIMITS, ids=lambda setting: setting.key)
    def test_each(self, setting: Setting) -> None:
        """The server gets and accepts every allowed value of a setting."""
        for value in extremes(setting):
            limits = options_from(LimitSettings(**{setting.key: value}), Limits)
            expected = Rate(*value) if isinstance(value, tuple) else value
            defaults = options_from(LimitSettings(), Limits)
            assert limits == dataclasses.replace(defaults, **{setting.key: expected})


USAGE = [setting for setting in all_settings() if setting.section == "usage"]


class TestUsage:
    def test_defaults(self) -> None:
        """The settings have every limit of use, in the same order, and its defaults."""
        names = [field.name for field in dataclasses.fields(UsageLimits)]
        assert [setting.key for setting in USAGE] == [*names, "address_header"]
        assert options_from(UsageSettings(), UsageLimits) == UsageLimits()

    @pytest.mark.parametrize("setting", USAGE[:-1], ids=lambda setting: setting.key)
    def test_each(self, setting: Setting) -> None:
        """The server gets and accepts every allowed value of a setting."""
        for value in extremes(setting):
            expected = Rate(*value) if isinstance(value, tuple) else value
            limits = options_from(UsageSettings(**{setting.key: value}), UsageLimits)
            assert limits == dataclasses.replace(UsageLimits(), **{setting.key: expected})

    def test_the_header(self) -> None:
        """The header is trusted from trusted proxies only, and at least one is required."""
        usage = UsageSettings(address_header="x-forwarded-for")
        assert address_header(Settings()) is None
        server = ServerSettings(trusted_proxies=("10.0.0.0/8",))
        header = address_header(Settings(usage=usage, server=server))
        assert header is not None
        assert header.client("10.0.0.1", ["192.0.2.1"]) == "192.0.2.1"
        with pytest.raises(ConfigError, match=r"server\.trusted_proxies"):
            address_header(Settings(usage=usage))


class TestRooms:
    def test_defaults(self) -> None:
        """The settings have the defaults that a server in a program has."""
        assert room_options(RoomSettings()) == dataclasses.replace(
            RoomOptions(), retention_rules=[]
        )

    def test_each(self) -> None:
        """The server gets the value of every setting."""
        options = room_options(
            RoomSettings(
                broker="sqlite:///x.db",
                retention_count=1,
                retention_age=2.0,
                retention=(("a*", 3, 4.0), ("b", 0, 5.0)),
                max_message_size=6,
                max_outbox=7,
                service=True,
                port=8,
                host="::1",
            )
        )
        assert options == RoomOptions(
            broker="sqlite:///x.db",
            retention=Retention(1, 2.0),
            retention_rules=[
                RetentionRule("a*", Retention(3, 4.0)),
                RetentionRule("b", Retention(0, 5.0)),
            ],
            max_message_size=6,
            max_outbox=7,
            service=True,
            service_port=8,
            service_host="::1",
        )

    def test_off(self) -> None:
        """Rooms can be turned off."""
        assert room_options(RoomSettings(enabled=False)) is None

    @pytest.mark.process
    async def test_off_by_flag(self) -> None:
        """`--no-rooms` refuses calls of rooms."""
        with ServerProcess("serve", "--no-rooms") as server:
            async with Channel("127.0.0.1", server.port) as channel:
                chat = ChatClient(channel, metadata={"chat-room": "lobby"})
                with pytest.raises(StatusError, match="rooms are disabled") as caught:
                    async with chat:
                        await chat.receive()
                assert caught.value.status is Status.UNIMPLEMENTED

    @pytest.mark.process
    def test_the_port_of_the_service(self) -> None:
        """The Rooms service prints its port if it has its own."""
        with ServerProcess("serve", "--rooms-service", "--rooms-port", "0") as server:
            line = server.read_line()
            assert line is not None
            assert re.fullmatch(r"the rooms service on 127\.0\.0\.1:[1-9][0-9]*", line)

    @pytest.mark.parametrize(
        ("url", "text"),
        [
            (
                "redis",
                """use "memory://", "sqlite:///PATH" or "redis://HOST" ('redis' is not a broker)""",
            ),
            ("sqlite://chat.db", "the path must follow three slashes"),
            ("sqlite:///", "the path of the file is missing"),
            ("memory://x", "unexpected 'x'; use"),
        ],
    )
    def test_a_broker_that_is_none(self, url: str, text: str) -> None:
        """The error for an invalid broker URL lists the kinds of brokers."""
        ran = invoke("serve", "--broker", url)
        assert ran.status == 2
        assert text in ran.stderr
        assert "--broker: rooms.broker" in ran.stderr

    def test_a_broker_that_cannot_be_used(self, tmp_path: Path) -> None:
        """A file that cannot be created gives one line and status 2."""
        ran = invoke("serve", "--port", "0", "--broker", f"sqlite:///{tmp_path}/no/such/chat.db")
        assert ran.status == 2
        assert ran.stdout == ""
        assert ran.stderr.count("\n") == 1
        assert "no/such" in ran.stderr
