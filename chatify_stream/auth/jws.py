"""Parse, verify and create compact JSON Web Signatures (RFC 7515).

No part of a token is trusted before its signature is verified with a key of the type that its
algorithm requires, and no part of a token appears in an error. A token has exactly one accepted
spelling: other encodings of the same bytes are rejected. PyJWT compares HMACs with
`hmac.compare_digest`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UsageError
from .keys import NEEDS_JWT, NEEDS_KEYS, Key, public_key, read_key_file, secret_file

_PART = re.compile(rb"[A-Za-z0-9_-]+", re.ASCII)

TYPES = ("jwt", "at+jwt")
"""Values of `typ` for access tokens (RFC 7519, RFC 9068); other types have other purposes."""


class InvalidTokenError(Exception):
    """The token is rejected; the text tells its owner why."""


class UnknownKeyError(InvalidTokenError):
    """The token is signed with an unknown key."""


class Token(NamedTuple):
    """A parsed token. Nothing in it is verified."""

    header: dict[str, Any]
    algorithm: str
    key_id: str | None
    payload: bytes
    signed: bytes
    signature: bytes


def parse(text: str) -> Token:
    """Split and decode a token without verifying it. Raises `InvalidTokenError`."""
    parts = text.encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        raise InvalidTokenError("not a JSON Web Token: expected three parts")
    header_part, payload_part, signature_part = parts
    header = read_json(_decode(header_part), "header")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidTokenError("the header names no algorithm")
    if "kid" in header and not isinstance(key_id, str):
        raise InvalidTokenError("the kid in the header is not a string")
    if "crit" in header:
        raise InvalidTokenError("the header contains crit; no critical extension is supported")
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in TYPES:
        raise InvalidTokenError("not an access token: typ in the header is not JWT or at+jwt")
    payload, signed = _decode(payload_part), header_part + b"." + payload_part
    return Token(header, algorithm, key_id, payload, signed, _decode(signature_part))


def verify(token: Token, keys: Sequence[Key]) -> None:
    """Verify the signature of `token` with one of `keys`.

    Raises `InvalidTokenError`, or `UnknownKeyError` if a key that is not in `keys` might verify it.
    """
    if token.algorithm.lower() == "none":
        raise InvalidTokenError("not signed")
    named = [key for key in keys if None in (token.key_id, key.id) or key.id == token.key_id]
    if not named:
        raise UnknownKeyError("signed with an unknown key")
    fitting = [key for key in named if token.algorithm in key.algorithms]
    if not fitting:
        allowed = sorted({algorithm for key in named for algorithm in key.algorithms})
        raise InvalidTokenError(
            f"signed with an algorithm that does not fit its key; use {', '.join(allowed)}"
        )
    if any(key.verifies(token.algorithm, token.signed, token.signature) for key in fitting):
        return
    if any(key.id is not None and key.id == token.key_id for key in named):
        raise InvalidTokenError("the signature does not match the key that the token names")
    raise UnknownKeyError("the signature matches no known key")


def read_unverified(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token, unverified, for display. Raises `InvalidTokenError`."""
    token = parse(text)
    return token.header, read_json(token.payload, "payload")


def read_json(data: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in `data`: UTF-8, no name twice. Raises `InvalidTokenError`."""
    try:
        text = data.decode()  # json.loads also accepts UTF-16 and surrogates
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidTokenError(f"the {what} is not a JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_number(_text: str) -> float:
    raise ValueError  # NaN and Infinity, which are JSON only for Python


def _decode(part: bytes) -> bytes:
    try:
        if _PART.fullmatch(part):
            data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
            # The last character may contain unused bits.
            if base64.urlsafe_b64encode(data).rstrip(b"=") == part:
                return data
    except binascii.Error:
        pass
    raise InvalidTokenError("not a JSON Web Token: the parts are not base64url")


def mint(
    claims: Mapping[str, Any],
    *,
    secret: str | Path | None = None,
    key: str | Path | None = None,
    key_id: str | None = None,
) -> str:
    """Return a token with `claims`, signed with a secret or a private key, for development.

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
