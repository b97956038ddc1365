"""Create tokens and secrets for development; production tokens come from your identity provider."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .keys import NEEDS_JWT, NEEDS_KEYS, public_key, read_key_file, secret_file

SECRET_BYTES = 48


def make_secret_file(path: str | Path) -> None:
    """Write a new secret to a new file that only its owner can read. Raises `UsageError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path}: already exists; choose another name, or delete the file first"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot write: {error.strerror}") from error
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")


def mint(
    claims: Mapping[str, Any],
    *,
    secret: str | Path | None = None,
    key: str | Path | None = None,
    key_id: str | None = None,
) -> str:
    """Return a token with `claims`, signed with a secret or a private key.

    `secret` is the path of a secret, `key` the path of a private key in PEM; pass exactly one.
    `key_id` becomes the token's `kid`. Raises `UsageError`.
    """
    if (secret is None) is (key is None):
        raise UsageError("a token is signed with a secret or a key; pass exactly one of them")
    try:
        import jwt
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_JWT.format(name=error.name)) from error
    headers = None if key_id is None else {"kid": key_id}
    if secret is not None:
        return jwt.encode(dict(claims), secret_file(secret).material, "HS256", headers)
    data = read_key_file(str(key))
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_KEYS) from error
    try:
        material: Any = load_pem_private_key(data, None)
        public = material.public_key()
    except Exception as error:  # of various classes
        raise UsageError(f"{key}: not a private key in PEM without a passphrase") from error
    return jwt.encode(dict(claims), material, public_key(None, public).algorithms[0], headers)
