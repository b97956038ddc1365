"""No secret is in what the server writes or tells: log at debug level, errors, metrics.

Secrets are planted wherever one may come in: in metadata, right and malformed, in the texts of
messages, in keys and tokens, in URLs with passwords; then all output is searched for them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from h2.events import ConnectionTerminated, StreamEnded, StreamReset

from chatify_stream import CallError, Channel, ChatClient
from chatify_stream.cli import main
from chatify_stream.messages.chatify.rooms.v1 import PublishRequest, RoomsStub

from .cli.command_line import COMMAND, run
from .e2e.processes import ListeningProcess
from .wire.raw import (
    GREETING,
    ClosedByPeer,
    frame_client,
    framed,
    raw_client,
    request_headers,
)

SECONDS = 60.0
SECRET = "pl4nted"
"""In every secret, however it is cut, quoted or escaped."""


def secret(name: str) -> str:
    return f"{SECRET}-{name}"


def occurrences(output: str) -> list[str]:
    """Every place of a secret in it, with what stands around."""
    return [output[max(0, m.start() - 80) : m.end() + 30] for m in re.finditer(SECRET, output)]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """Tokens are asked for, of a key that is in a file."""
    key = tmp_path / "key"
    key.write_text(secret("key-of-tokens-that-is-long-enough"))
    file = tmp_path / "chat.toml"
    file.write_text(
        f'[auth]\nmode = "jwt"\nsecret_file = {json.dumps(str(key))}\n'
        '[log]\naccess = true\nrate = "100000, then 100000/s"\n[rooms]\nservice = true\n'
    )
    return file


def token(configuration: Path, *flags: str) -> str:
    """One that the server takes."""
    done = run("token", "mint", "--config", str(configuration), *flags)
    assert done.status == 0, done.stderr
    return done.stdout.strip()


async def call(target: str, text: str, metadata: Mapping[str, str | bytes], **options: str) -> str:
    """What the failure of a chat says; empty where it did not fail."""
    try:
        async with ChatClient(target, timeout=SECONDS, metadata=metadata, **options) as chat:
            await chat.send(text)
            await chat.half_close()
            async for _ in chat:
                pass
    except CallError as error:
        return f"{error.status} {error.message} {dict(error.metadata)}"
    return ""


async def send_headers(port: int, *, bearer: str = "", **headers: str) -> None:
    """Makes a call with these headers, right or wrong, and waits for the end of whatever comes."""
    async with raw_client(port) as client:
        authorization = bearer or f"Bearer {secret('raw')}"
        fields = request_headers("/service.v1.Service/Chat", authorization=authorization, **headers)
        client.h2.send_headers(1, fields)
        client.h2.send_data(1, framed(b"\xff" + secret("body").encode()), end_stream=True)
        client.flush()
        with suppress(ClosedByPeer):
            await client.wait_for(StreamEnded | StreamReset | ConnectionTerminated)


async def begin_with(port: int, data: bytes) -> None:
    """Connects, sends this, and waits for the end of the connection."""
    async with frame_client(port, b"") as client:
        client.send(data)
        with suppress(ConnectionError):
            await client.reader.read()


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_none_is_told(configuration: Path, log_format: str) -> None:
    """Neither in the log at debug level, with the access log, nor in metrics, nor to others."""
    good = token(configuration, "--user", "ada", "--room", "*=admin,join,read,send")
    told = []
    server = ListeningProcess(
        *COMMAND,
        *("serve", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"),
        *("--config", str(configuration), "--log-level", "debug", "--log-format", log_format),
        merge_stderr=True,
    )
    with server:
        while not (line := server.read_line(SECONDS) or "").startswith("metrics on "):
            assert line
        metrics = line.removeprefix("metrics on ")
        bearers = [f"Bearer {good}", f"Bearer {secret('token')}", secret("scheme")]
        for bearer in bearers:
            for room in ({}, {"chat-room": "lobby"}, {"chat-room": "lobby", "chat-resume": "?"}):
                plain = {"authorization": bearer, "x-other": secret("other"), **room}
                told.append(await call(server.address, secret("text"), plain))
            told.append(await call(server.address, secret("t"), {"authorization-bin": b"pl4nted"}))
        async with Channel(server.host, server.port) as channel:
            request = PublishRequest(room="lobby", user="ada", text=secret("published"), id="1")
            with suppress(CallError):
                stub = RoomsStub(channel, metadata={"authorization": bearers[0]})
                await stub.publish(request)
        for headers in (
            {},
            {"x_secret": f" {secret('with spaces')} "},
            {"X_Secret": secret("upper")},
            {"x_bin": secret("!!no base64")},
            {"grpc_timeout": secret("timeout")},
            {"grpc_encoding": secret("encoding")},
            {"content_type": secret("type")},
            {"te": secret("te")},
            {"x_secret": f"{SECRET}\n{SECRET}"},
            {"chat_room": "lobby", "chat_user": "ada", "chat_history": secret("number")},
        ):
            for bearer in (bearers[0], ""):
                await send_headers(server.port, bearer=bearer, **headers)
        await begin_with(server.port, f"GET /?t={SECRET} HTTP/1.1\r\n\r\n".encode())
        await begin_with(server.port, GREETING[:24] + f"....{SECRET}-{SECRET}".encode())
        with configuration.open("a") as file:
            file.write(f"broker = 'redis://ada:{secret('password')}@host:no-port/x'\n")
        os.kill(server.pid, signal.SIGHUP)
        while "problems" not in (line := server.read_line(SECONDS) or ""):
            assert line
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=SECONDS) as answer:
            told.append(answer.read().decode())
        server.terminate()
        assert server.wait() == 0
        output = server.stdout()
    assert "session closed" in output
    assert "ada" in output
    assert good.rpartition(".")[2] not in output
    assert occurrences(output) == []
    assert occurrences("\n".join(told)) == []


BROKERS = [
    f"redis://ada:{secret('password')}@host:no-port/x",
    f"unknown://ada:{secret('password')}@host",
]


@pytest.mark.parametrize("broker", BROKERS)
def test_a_wrong_setting(broker: str) -> None:
    """What is wrong with a URL is told without its password."""
    result = CliRunner().invoke(main, ["config", "show", "--broker", broker])
    assert result.exit_code == 2
    assert occurrences(result.output) == []


@pytest.mark.slow
def test_errors_at_the_start(tmp_path: Path) -> None:
    """What cannot be used is told without its password, or what is in its file."""
    key = tmp_path / "key"
    key.write_text(secret("short"))
    for args in (
        ("--broker", f"redis://ada:{secret('password')}@127.0.0.1:1/0"),
        ("--auth-mode", "jwt", "--auth-secret-file", str(key)),
        ("--tls-cert", str(key)),
    ):
        done = run("serve", "--host", "127.0.0.1", "--port", "0", *args)
        assert done.status == 2
        assert occurrences(done.stdout + done.stderr) == []
