"""JSON Web Signatures (RFC 7515), compact: taken apart strictly, and verified.

Rules: nothing of a token is believed before its signature is verified with a key that is of the
type of its algorithm, and nothing of it gets into an error. A token has one form: other spellings
of the same bytes are refused. HMACs are compared by PyJWT, with `hmac.compare_digest`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from .keys import Key

__all__ = [
    "Token",
    "UnknownKeyError",
    "WrongTokenError",
    "parse",
    "read_json",
    "read_unverified",
    "verify",
]

_PART = re.compile(rb"[A-Za-z0-9_-]+", re.ASCII)

TYPES = ("jwt", "at+jwt")
"""Of tokens for access (RFC 7519, RFC 9068); others are for something else."""


class WrongTokenError(Exception):
    """A token that is not accepted; the text says why, in words for its owner."""


class UnknownKeyError(WrongTokenError):
    """It was signed with a key that is not among those that are known."""


class Token(NamedTuple):
    """A token that was taken apart; nothing of it is verified."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def key_id(self) -> str | None:
        key_id: str | None = self.header.get("kid")
        return key_id


def parse(text: str) -> Token:
    """Raises `WrongTokenError`."""
    parts = text.encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        raise WrongTokenError("it is no JSON Web Token: it has not three parts")
    header_part, payload_part, signature_part = parts
    header = read_json(_decode(header_part), "header")
    if not isinstance(header.get("alg"), str):
        raise WrongTokenError("its header names no algorithm")
    if not isinstance(header.get("kid", ""), str):
        raise WrongTokenError("the kid in its header is no text")
    if "crit" in header:
        raise WrongTokenError("its header has crit, of which nothing is understood here")
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in TYPES:
        raise WrongTokenError("it is not for access: the typ in its header is not JWT or at+jwt")
    signed = header_part + b"." + payload_part
    return Token(header, _decode(payload_part), signed, _decode(signature_part))


def verify(token: Token, keys: Sequence[Key]) -> None:
    """Raises `WrongTokenError`, and `UnknownKeyError` where another key might verify it."""
    if token.algorithm.lower() == "none":
        raise WrongTokenError("it is not signed")
    named = [key for key in keys if None in (token.key_id, key.id) or key.id == token.key_id]
    if not named:
        raise UnknownKeyError("it is signed with a key that is not known here")
    fitting = [key for key in named if token.algorithm in key.algorithms]
    if not fitting:
        allowed = sorted({algorithm for key in named for algorithm in key.algorithms})
        raise WrongTokenError(
            f"it is signed with an algorithm that its key is not for; allowed: {', '.join(allowed)}"
        )
    if any(key.verifies(token.algorithm, token.signed, token.signature) for key in fitting):
        return
    if any(key.id is not None and key.id == token.key_id for key in named):
        raise WrongTokenError("its signature is not that of the key that it names")
    raise UnknownKeyError("its signature is not that of a key that is known here")


def read_unverified(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, for people to look at. Raises `WrongTokenError`."""
    token = parse(text)
    return token.header, read_json(token.payload, "payload")


def read_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object in UTF-8, with no name in it twice. Raises `WrongTokenError`."""
    try:
        text = data.decode()  # json.loads would take UTF-16 and surrogates for JSON, too
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise WrongTokenError(f"its {what} is no JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_number(_text: str) -> float:
    raise ValueError  # NaN and Infinity, which only Python takes for JSON


def _decode(part: bytes) -> bytes:
    try:
        if _PART.fullmatch(part):
            data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
            # The last character may have bits that stand for nothing.
            if base64.urlsafe_b64encode(data).rstrip(b"=") == part:
                return data
    except binascii.Error:
        pass
    raise WrongTokenError("it is no JSON Web Token: its parts are not base64url")
