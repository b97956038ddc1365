"""Verification keys from secret files, JWKS (RFC 7517) and PEM.

A key verifies only algorithms of its own type, whatever a token claims, so a public key is never
used as a secret. Weak keys are rejected. Errors never show the content of a file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UsageError

MIN_SECRET = 32
"""Bytes: the size of a SHA-256 hash (RFC 7518, 3.2)."""

MIN_RSA_BITS = 2048
MAX_KEYS = 100
MAX_FILE_SIZE = 1024 * 1024
"""Bytes."""

SECRET_BYTES = 48
"""Bytes of a new secret."""

NEEDS_JWT = "tokens require {name}; pip install 'chatify-stream[auth]'"
NEEDS_KEYS = "RSA, EC and Ed keys require cryptography; pip install 'chatify-stream[auth-keys]'"

_SECRET = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True)
class Key:
    """A secret or a public key."""

    id: str | None
    algorithms: tuple[str, ...]
    material: Any = field(repr=False)
    """The key in the form that PyJWT uses."""

    def verifies(self, algorithm: str, data: bytes, signature: bytes) -> bool:
        """Return whether this key made the signature; `algorithm` is one of `algorithms`."""
        return bool(_algorithms()[algorithm].verify(data, self.material, signature))


def secret_key(secret: bytes, key_id: str | None = None, algorithm: str = "HS256") -> Key:
    """Return the key of a secret. Raises `UsageError` if it is too short or not random bytes."""
    if len(secret) < MIN_SECRET:
        raise UsageError(
            f"secret: {len(secret)} bytes, at least {MIN_SECRET} required; "
            "create one with `chatify-stream token secret FILE`"
        )
    if secret.lstrip().startswith((b"-----BEGIN", b"ssh-")):
        raise UsageError("not a secret but a key; a secret consists of random bytes")
    _algorithms()
    return Key(key_id, (algorithm,), secret)


def secret_file(path: str | Path) -> Key:
    """Return the key of the secret in a file, without trailing line ends. Raises `UsageError`."""
    data = read_key_file(path)
    try:
        return secret_key(data.rstrip(b"\r\n"))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


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


def key_file(path: str | Path) -> list[Key]:
    """Return the keys in a file: a JWKS or one public key in PEM. Raises `UsageError`."""
    data = read_key_file(path)
    try:
        return [pem_key(data)] if data.lstrip().startswith(b"-----BEGIN") else jwks_keys(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def pem_key(data: bytes) -> Key:
    """Return the key of a public key in PEM. Raises `UsageError`."""
    if b"PRIVATE KEY" in data:
        raise UsageError("private key; pass the public key, which is enough to verify tokens")
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_KEYS) from error
    _algorithms()
    try:
        key = load_pem_public_key(data)
    except Exception as error:  # of various classes
        raise UsageError("not a public key in PEM") from error
    return public_key(None, key)


def public_key(key_id: str | None, key: Any) -> Key:
    """Return the key of a `cryptography` public key; raise `UsageError` for weak or unfit keys."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    match key:
        case rsa.RSAPublicKey() if key.key_size < MIN_RSA_BITS:
            raise UsageError(f"RSA key: {key.key_size} bits; at least {MIN_RSA_BITS} required")
        case rsa.RSAPublicKey():
            return Key(key_id, _RSA, key)
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return Key(key_id, (_CURVES[key.curve.name],), key)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return Key(key_id, ("EdDSA",), key)
    raise UsageError("unsupported key; use RSA, EC on P-256, P-384 or P-521, Ed25519 or Ed448")


def jwks_keys(data: bytes) -> list[Key]:
    """Return the keys of a JWKS; keys for encryption and of unknown types are skipped.

    Raises `UsageError` if `data` is not a JWKS, a key is invalid, or no key is left.
    """
    try:
        entries = json.loads(data)["keys"]
    except (ValueError, RecursionError, LookupError, TypeError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UsageError('not a JWKS; expected JSON such as {"keys": [{"kty": ...}]}')
    if len(entries) > MAX_KEYS:
        raise UsageError(f"JWKS: {len(entries)} keys; at most {MAX_KEYS} are accepted")
    keys = [key for entry in entries if (key := _jwk(entry)) is not None]
    if not keys:
        raise UsageError("JWKS: no key to verify signatures with")
    return keys


def _jwk(entry: Mapping[str, Any]) -> Key | None:
    key_id, kind, algorithm = (entry.get(name) for name in ("kid", "kty", "alg"))
    if key_id is not None and not isinstance(key_id, str):
        raise UsageError("JWKS: the kid of a key is not a string")
    if entry.get("use", "sig") != "sig" or kind not in ("oct", "RSA", "EC", "OKP"):
        return None
    known = _algorithms()
    name = {"oct": "HS256", "RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[kind]
    if name not in known:
        raise UsageError(NEEDS_KEYS)
    try:
        # Some files contain private parts; the public part is enough to verify.
        material: Any = known[name].from_jwk({k: v for k, v in entry.items() if k != "d"})
        if kind == "oct":
            key = secret_key(material, key_id, algorithm or "HS256")
            return key if algorithm in (None, *_SECRET) else None
        key = public_key(key_id, material)
    except UsageError as error:
        raise UsageError(f"key {key_id!r}: {error}") from None
    except Exception as error:  # of various classes
        raise UsageError(f"key {key_id!r}: not a valid JWK") from error
    if algorithm is None:
        return key
    return replace(key, algorithms=(algorithm,)) if algorithm in key.algorithms else None


def read_key_file(path: str | Path) -> bytes:
    """Return the content of a key file. Raises `UsageError` if it is unreadable or too large."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r}: not a valid path") from error
    if len(data) > MAX_FILE_SIZE:
        raise UsageError(f"{path}: larger than {MAX_FILE_SIZE} bytes")
    return data


@cache
def _algorithms() -> Mapping[str, Any]:
    """Return PyJWT's algorithms by name; PyJWT is imported only when tokens are used."""
    try:
        from jwt.algorithms import get_default_algorithms
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_JWT.format(name=error.name)) from error
    return {name: each for name, each in get_default_algorithms().items() if name != "none"}
