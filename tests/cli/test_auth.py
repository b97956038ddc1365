"""`serve` with authentication, and the client commands with tokens."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatify_stream import ChatClient, Status, StatusError
from chatify_stream.auth import CertificateAuthenticator, JwtAuthenticator
from chatify_stream.cli.client_options import token_from_file, token_from_settings
from chatify_stream.cli.serving.options import (
    authenticator,
    open_access_warning,
    reload_authenticator,
)
from chatify_stream.config import (
    AuthSettings,
    ClientSettings,
    ServerSettings,
    Settings,
    load,
    render_effective,
)
from chatify_stream.errors import ConfigError, UnavailableError, UsageError

from ..auth.tokens import secret_path, signed
from ..e2e.processes import ServerProcess
from .command_line import Finished, invoke
from .server_thread import ServerThread

ADMIN = {"*": ["admin"]}


def token(user: str = "ada", secret: str | None = None, **claims: Any) -> str:
    more = {} if secret is None else {"secret": secret}
    return signed({"sub": user, "exp": 2**32, **claims}, **more)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server that requires a token."""
    secret = secret_path(tmp_path_factory.mktemp("auth"))
    with ServerThread(
        "--auth-mode", "jwt", "--auth-secret-file", secret, "--rooms-service"
    ) as server:
        yield server


def test_sending(guarded: ServerThread, tmp_path: Path) -> None:
    """The token comes from a flag or from a file."""
    file = tmp_path / "token"
    file.write_text(token() + "\n")
    target = ("send", "--target", guarded.address)
    hello = Finished(0, "Hello Ada\n", "")
    assert invoke(*target, "--token", token(), "Ada") == hello
    assert invoke(*target, "--token-file", file, "Ada") == hello
    none = invoke(*target, "Ada")
    assert none.status == 5
    assert none.stderr == (
        "Error: UNAUTHENTICATED: no token; send the metadata authorization: Bearer TOKEN\n"
    )


def test_rooms(guarded: ServerThread) -> None:
    """The operator commands require an administrator."""
    target = ("--target", guarded.address, "--token")
    admin, user = token("root", rooms=ADMIN), token()
    assert invoke("rooms", "presence", "lobby", "--count", *target, admin) == Finished(0, "0\n", "")
    refused = invoke("rooms", "list", *target, user)
    assert refused.status == 5
    assert (
        "PERMISSION_DENIED: /chatify.rooms.v1.Rooms/ListRooms needs the right admin in all rooms"
        in refused.stderr
    )


def test_chat(guarded: ServerThread, tmp_path: Path) -> None:
    """In a room the user comes from the token; another name is rejected."""
    room = ("chat", "--room", "talk", "--target", guarded.address, "--token", token("Grace"))
    env = {"XDG_STATE_HOME": str(tmp_path)}
    said = invoke(*room, stdin="hi\n", env=env)
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.split("\t")[2:] == ["Grace", "hi\n"]
    other = invoke(*room, "--user", "Ada", stdin="hi\n", env=env)
    assert other.status == 5
    assert "the requested user name is not that of the caller; request 'Grace'" in other.stderr


async def is_let_in(server: ServerProcess, shown: str) -> bool:
    try:
        async with ChatClient(server.address, token=shown) as chat:
            await chat.send("Ada")
            return await chat.close_and_recv() is not None
    except StatusError as error:
        return error.status is not Status.UNAUTHENTICATED


@pytest.mark.process
async def test_reloading_keys(tmp_path: Path) -> None:
    """SIGHUP reloads the secret; the log says so, without secrets and tokens."""
    path = Path(secret_path(tmp_path))
    after = "the next secret, of thirty-two bytes"
    with ServerProcess("serve", "--auth-mode", "jwt", "--auth-secret-file", str(path)) as server:

        async def reload(what: str) -> None:
            os.kill(server.pid, signal.SIGHUP)
            while what not in server.stderr():
                assert server.exit_code is None, server.stderr()
                await asyncio.sleep(0.01)

        assert await is_let_in(server, token())
        assert not await is_let_in(server, token(secret=after))
        path.write_text(after)
        await reload("reloaded: the token keys")
        assert await is_let_in(server, token(secret=after))
        assert not await is_let_in(server, token())
        path.write_text("short")
        await reload("auth: not reloaded")
        assert await is_let_in(server, token(secret=after))
        logged = server.stderr()
    assert after not in logged
    assert token().rpartition(".")[2] not in logged
    assert "secret: 5 bytes, at least 32 required" in logged


def test_no_token_is_shown() -> None:
    """A token is never shown, whether it is used, invalid or misspelled."""
    secret, wrong = "s3cret", "s3cret s3cret"
    shown = render_effective(load(None, {"CHATIFY_STREAM_CLIENT_TOKEN": secret}))
    assert 'token = "(hidden)"' in shown
    assert secret not in shown
    for variable in ("CLIENT_TOKN", "AUTH_TOKEN", "CLIENT_TOKEN"):
        with pytest.raises(ConfigError) as info:
            load(None, {f"CHATIFY_STREAM_{variable}": wrong})
        assert secret not in f"{info.value} {info.value!r}"
    assert "client.token = '(hidden)' is not allowed; use printable" in str(info.value)


@pytest.mark.parametrize(
    ("mode", "host", "is_said"),
    [
        ("off", "0.0.0.0", True),
        ("off", "chat.example", True),
        ("off", "::", True),
        ("off", "127.0.0.1", False),
        ("off", "::1", False),
        ("off", "localhost", False),
        ("certificate", "0.0.0.0", False),
    ],
)
def test_warning(mode: Any, host: str, is_said: bool) -> None:
    """A reachable server without authentication warns when it starts."""
    settings = Settings(server=ServerSettings(host=host), auth=AuthSettings(mode=mode))
    warning = open_access_warning(settings)
    assert (warning is not None) is is_said
    assert warning is None or f"authentication is off and the server listens on {host}: " in warning


@pytest.mark.process
def test_the_warning_is_logged() -> None:
    """The warning is one line of the log."""
    with ServerProcess("serve", "--host", "0.0.0.0") as server:
        server.stop()
        lines = [line for line in server.stderr().splitlines() if "authentication is off" in line]
    assert len(lines) == 1
    assert "WARNING" in lines[0]


def test_authenticators(tmp_path: Path) -> None:
    """Each mode has its authenticator."""
    secret = secret_path(tmp_path)
    assert authenticator(AuthSettings()) is None
    assert isinstance(authenticator(AuthSettings(mode="jwt", secret_file=secret)), JwtAuthenticator)
    assert isinstance(authenticator(AuthSettings(mode="certificate")), CertificateAuthenticator)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (AuthSettings(mode="jwt"), 'auth: auth.mode = "jwt" requires a key; set auth.secret_file'),
        (AuthSettings(keys="x"), 'auth: auth.secret_file and auth.keys require auth.mode = "jwt"'),
        (AuthSettings(mode="jwt", keys="/nowhere"), "auth: /nowhere: cannot read: No such file"),
        (AuthSettings(mode="jwt", keys="http://x/"), "auth: 'http://x/': not secure; use https"),
    ],
)
def test_wrong_settings(settings: AuthSettings, why: str) -> None:
    """Contradicting settings and unusable keys raise an error."""
    with pytest.raises(ConfigError) as info:
        authenticator(settings)
    assert str(info.value).startswith(why)


def test_reloaded(tmp_path: Path) -> None:
    """New settings create a new authenticator; the same settings reload their files."""
    old = AuthSettings(mode="jwt", secret_file=secret_path(tmp_path))
    auth = authenticator(old)
    assert reload_authenticator(auth, old, old) == (auth, False)
    secret_path(tmp_path, "another secret, of thirty-two bytes")
    assert reload_authenticator(auth, old, old) == (auth, True)
    changed, _ = reload_authenticator(auth, old, AuthSettings(mode="certificate"))
    assert isinstance(changed, CertificateAuthenticator)
    assert reload_authenticator(None, AuthSettings(), AuthSettings()) == (None, False)


def test_token_file(tmp_path: Path) -> None:
    """The file is read for each call; without a token in it, the call fails."""
    file = tmp_path / "token"
    read = token_from_file(str(file))
    with pytest.raises(UnavailableError, match="cannot be read: No such file or directory"):
        read()
    for text, given in {"abc": "abc", " abc\r\n": "abc"}.items():
        file.write_text(text)
        assert read() == given
    for text in ("", "\n", "x" * 20_000):
        file.write_text(text)
        with pytest.raises(UnavailableError, match="must contain a token of at most 16384 bytes"):
            read()


def test_two_tokens() -> None:
    """A token is a text or a file, not both."""
    assert token_from_settings(ClientSettings()) is None
    assert token_from_settings(ClientSettings(token="a")) == "a"
    with pytest.raises(
        UsageError, match=r"client\.token: cannot be combined with client\.token_file"
    ):
        token_from_settings(ClientSettings(token="a", token_file="b"))
