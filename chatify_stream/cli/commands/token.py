"""`chatify-stream token`: create and inspect tokens, for development."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import click

from ... import auth
from ...config import Settings
from ...config.kinds import Seconds
from ...errors import StatusError
from ..exit_codes import CALL_FAILED, CommandError, report_errors
from ..options import read_seconds, with_settings
from ..output import safe

MAX_TTL = 3650 * 86400


def _read_rooms(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[str]]:
    rooms: dict[str, list[str]] = {}
    for text in texts:
        pattern, separator, rights = text.rpartition("=")
        if not separator or not pattern or not set(rights.split(",")) <= set(auth.RIGHTS):
            raise CommandError(
                f"--room: {text!r} is not allowed; use PATTERN=RIGHT,... with the rights "
                f"{', '.join(auth.RIGHTS)}, such as 'team-*=join,read'"
            )
        rooms[pattern] = rights.split(",")
    return rooms


@click.group()
def token() -> None:
    """Create and inspect tokens, for development.

    Keys and claims come from the settings of the server, such as auth.secret_file, unless a flag
    overrides them.
    """


@token.command("secret")
@click.argument("file", type=click.Path(path_type=Path))
@report_errors
def make_secret(file: Path) -> None:
    """Write a new secret to FILE, which must not exist yet. Only you can read the file."""
    auth.make_secret_file(file)


@token.command("mint")
@click.option("--user", required=True, metavar="NAME", help="User name (claim sub).")
@click.option(
    "--room",
    "rooms",
    multiple=True,
    metavar="PATTERN=RIGHT,...",
    callback=_read_rooms,
    help="Rights in the rooms that match PATTERN. Can be repeated.  "
    "[default: auth.default_rights of the server]",
)
@click.option("--admin", is_flag=True, help="Grant the right admin in all rooms.")
@click.option(
    "--ttl",
    default="3600",
    metavar="SECONDS",
    callback=read_seconds(Seconds(maximum=MAX_TTL)),
    show_default=True,
    help="Lifetime of the token, in seconds.",
)
@click.option(
    "--key", type=click.Path(), help="Private key (PEM) to sign with, instead of a secret."
)
@click.option("--kid", metavar="ID", help="Key ID for the header (kid).")
@with_settings("auth.secret_file", "auth.audience", "auth.issuer")
def mint_token(
    user: str,
    rooms: dict[str, list[str]],
    admin: bool,
    ttl: float,
    key: str | None,
    kid: str | None,
    settings: Settings,
) -> None:
    """Print a new token."""
    own = settings.auth
    if admin:
        rooms = rooms | {"*": ["admin"]}
    auth.Identity(user, auth.Grants.of(rooms))  # raises UsageError if they are not valid
    now = int(time.time())
    claims: dict[str, Any] = {"sub": user, "iat": now, "exp": int(now + ttl), "jti": token_hex(8)}
    claims |= {"rooms": rooms} if rooms else {}
    claims |= {} if own.audience is None else {"aud": own.audience}
    claims |= {} if own.issuer is None else {"iss": own.issuer}
    secret = own.secret_file if key is None else None
    if secret is None and key is None:
        raise CommandError(
            "no signing key; set --auth-secret-file or --key "
            "(`chatify-stream token secret FILE` creates a secret)"
        )
    click.echo(auth.mint(claims, secret=secret, key=key, key_id=kid))


@token.command("inspect")
@click.argument("text", metavar="[TOKEN]", required=False)
@with_settings("auth.secret_file", "auth.keys", "auth.audience", "auth.issuer", "auth.leeway")
def inspect_token(text: str | None, settings: Settings) -> None:
    """Print the contents of a token, and whether it is valid.

    Without TOKEN, read it from standard input, where other users of this machine cannot see it.
    Without keys the token is not verified.

    Exit status: 0 the token is valid, or was not verified; 2 wrong flags or configuration; 5 the
    token is not valid.
    """
    own = settings.auth
    text = (sys.stdin.read() if text is None else text).strip()
    try:
        header, claims = auth.read_unverified(text)
    except auth.InvalidTokenError as error:
        raise CommandError(f"not valid: {error}", CALL_FAILED) from None
    for name, part in (("header", header), ("claims", claims)):
        click.echo(f"{name}: {safe(json.dumps(part, ensure_ascii=False))}")
    if own.secret_file is None and own.keys is None:
        click.echo("not verified: no keys are configured")
        return
    authenticator = auth.JwtAuthenticator(
        secret_file=own.secret_file,
        keys=own.keys,
        audience=own.audience,
        issuer=own.issuer,
        leeway=own.leeway,
    )
    credentials = auth.Credentials("", {"authorization": f"Bearer {text}"})
    try:
        identity = asyncio.run(authenticator.authenticate(credentials))
    except StatusError as error:
        raise CommandError(f"not valid: {error.message}", CALL_FAILED) from None
    until = datetime.fromtimestamp(identity.expires_at or 0, UTC).isoformat(timespec="seconds")
    admin = ", an administrator" if identity.is_admin else ""
    click.echo(f"valid until {until}: {safe(identity.user)}{admin}")
