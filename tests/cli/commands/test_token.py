"""`chatify-stream token`: secrets, tokens and their contents."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chatify_stream.cli import main

from ...auth.key_server import serving_keys
from ...auth.tokens import SECRET, jwk, jwks, private_pem, public_pem, secret_path, signed


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return secret_path(tmp_path)


def token(runner: CliRunner, *args: str, stdin: str | None = None) -> Result:
    return runner.invoke(main, ["token", *args], input=stdin)


def minted(runner: CliRunner, *args: str) -> str:
    done = token(runner, "mint", *args)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def claims_of(shown: Result) -> dict[str, Any]:
    line = next(each for each in shown.stdout.splitlines() if each.startswith("claims: "))
    claims: dict[str, Any] = json.loads(line.removeprefix("claims: "))
    return claims


def test_secret(runner: CliRunner, tmp_path: Path) -> None:
    """A secret is new, for its owner's eyes, and never overwritten."""
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        assert token(runner, "secret", str(file)).exit_code == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text().strip()) == 64
    assert files[0].read_text() != files[1].read_text()
    again = token(runner, "secret", str(files[0]))
    assert (again.exit_code, again.stdout) == (2, "")
    assert (
        again.stderr
        == f"Error: {files[0]}: already exists; choose another name, or delete the file first\n"
    )
    nowhere = token(runner, "secret", str(tmp_path / "no" / "where"))
    assert "cannot write: No such file or directory" in nowhere.stderr


def test_mint(runner: CliRunner, secret: str) -> None:
    """A token contains the requested claims, and is valid with the secret."""
    text = minted(
        runner,
        *("--user", "Ada", "--auth-secret-file", secret, "--ttl", "60", "--kid", "k"),
        *("--room", "lobby=join,send", "--room", "a=b=read", "--admin"),
        *("--auth-audience", "chat", "--auth-issuer", "me"),
    )
    keys = ("--auth-secret-file", secret, "--auth-audience", "chat", "--auth-issuer", "me")
    shown = token(runner, "inspect", *keys, stdin=text + "\n")
    assert shown.exit_code == 0, shown.stderr
    claims = claims_of(shown)
    assert claims["exp"] - claims["iat"] == 60
    assert claims["rooms"] == {"lobby": ["join", "send"], "a=b": ["read"], "*": ["admin"]}
    assert (claims["sub"], claims["aud"], claims["iss"]) == ("Ada", "chat", "me")
    assert '"kid": "k"' in shown.stdout
    assert shown.stdout.splitlines()[-1].endswith(": Ada, an administrator")
    assert SECRET not in shown.output


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_mint_with_a_key(runner: CliRunner, tmp_path: Path, algorithm: str) -> None:
    """A private key signs, and its public key verifies."""
    (tmp_path / "key").write_bytes(private_pem(algorithm))
    (tmp_path / "public").write_bytes(public_pem(algorithm))
    text = minted(runner, "--user", "ada", "--key", str(tmp_path / "key"))
    shown = token(runner, "inspect", text, "--auth-keys", str(tmp_path / "public"))
    assert shown.exit_code == 0, shown.stderr
    assert f'"alg": "{algorithm}"' in shown.stdout
    assert "rooms" not in claims_of(shown)
    assert shown.stdout.splitlines()[-1].startswith("valid until 20")


def test_settings(runner: CliRunner, secret: str, tmp_path: Path) -> None:
    """Settings of the server replace flags."""
    config = tmp_path / "chat.toml"
    config.write_text(f'[auth]\nmode = "jwt"\nsecret_file = "{secret}"\naudience = "chat"\n')
    text = minted(runner, "--user", "ada", "--config", str(config))
    shown = token(runner, "inspect", text, "--config", str(config))
    assert (shown.exit_code, claims_of(shown)["aud"]) == (0, "chat")


def test_inspect_without_keys(runner: CliRunner) -> None:
    """Without keys the contents are shown, without a verdict."""
    shown = token(runner, "inspect", signed({"sub": "\x1b[2J"}))
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert shown.stdout.splitlines()[-1] == "not verified: no keys are configured"


def test_inspect_with_a_url(runner: CliRunner) -> None:
    """Keys may come from the URL that the server uses."""
    text = signed({"sub": "ada", "exp": 2**31}, kid="1")
    with serving_keys() as server:
        server.answer = (200, jwks(jwk("HS256", kid="1")))
        shown = token(runner, "inspect", text, "--auth-keys", server.url)
    assert shown.stdout.splitlines()[-1] == "valid until 2038-01-19T03:14:18+00:00: ada"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.b", "not valid: not a JSON Web Token: expected three parts"),
        (
            signed({"sub": "ada", "exp": 1}),
            "not valid: token rejected: expired; request a new token",
        ),
        (
            signed({"sub": "ada", "exp": 2**31}, secret="x" * 32),
            "not valid: token rejected: the signature matches no known key",
        ),
    ],
)
def test_inspect_what_is_not_valid(runner: CliRunner, secret: str, text: str, why: str) -> None:
    """An invalid token gives status 5 and the reason."""
    shown = token(runner, "inspect", text, "--auth-secret-file", secret)
    assert (shown.exit_code, shown.stderr) == (5, f"Error: {why}\n")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--user", "ada"], "no signing key; set --auth-secret-file or --key"),
        (["--user", "", "--key", "x"], "the user name is empty"),
        (["--user", "a", "--ttl", "0"], "--ttl: '0' is not allowed; use a number of"),
        (["--user", "a", "--room", "lobby"], "--room: 'lobby' is not allowed; use PAT"),
        (["--user", "a", "--room", "=join"], "--room: '=join' is not allowed"),
        (["--user", "a", "--room", "a=own"], "--room: 'a=own' is not allowed"),
        (["--user", "a", "--key", "/nowhere"], "/nowhere: cannot read: No such file"),
        (["--user", "a", "--key", "/dev/null"], "/dev/null: not a private key in PEM"),
        (["--user", "a", "--auth-secret-file", "/dev/null"], "secret: 0 bytes"),
    ],
)
def test_wrong_use(runner: CliRunner, args: list[str], why: str) -> None:
    """Claims that cannot be signed or would not be accepted are rejected."""
    done = token(runner, "mint", *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
