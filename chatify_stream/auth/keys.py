"""The keys that tokens are verified with, from files of secrets, JWKS (RFC 7517) and PEM.

Rules: a key is for the algorithms of its own type alone, whatever a token says, so that a public
key is never taken for a secret. Weak keys are refused. No error shows what is in a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = [
    "LEAST_SECRET",
    "NEEDS_JWT",
    "NEEDS_KEYS",
    "Key",
    "jwks_keys",
    "key_file",
    "pem_key",
    "public_key",
    "read_key_file",
    "secret_file",
    "secret_key",
]

LEAST_SECRET = 32
"""Bytes; as many as a SHA-256 has (RFC 7518, 3.2)."""

LEAST_RSA_BITS = 2048
MOST_KEYS = 100
LARGEST_FILE = 1024 * 1024
"""Bytes."""

NEEDS_JWT = "tokens need {name}: pip install 'chatify-stream[auth]'"
NEEDS_KEYS = "RSA, EC and Ed keys need cryptography: pip install 'chatify-stream[auth-keys]'"

_SECRET = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True)
class Key:
    """One key: a secret, or a public key."""

    id: str | None
    algorithms: tuple[str, ...]
    material: Any = field(repr=False)
    """As PyJWT takes it."""

    def verifies(self, algorithm: str, data: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. `algorithm` is one of its own."""
        return bool(_algorithms()[algorithm].verify(data, self.material, signature))


def secret_key(secret: bytes, key_id: str | None = None, algorithm: str = "HS256") -> Key:
    """Raises `UsageError` for a secret that is too short."""
    if len(secret) < LEAST_SECRET:
        raise UsageError(
            f"the secret has {len(secret)} bytes; {LEAST_SECRET} are the least, at random: "
            "`chatify-stream token secret FILE` makes one"
        )
    if secret.lstrip().startswith((b"-----BEGIN", b"ssh-")):
        raise UsageError("that is a key, and no secret: a secret is bytes at random")
    _algorithms()
    return Key(key_id, (algorithm,), secret)


def secret_file(path: str | Path) -> Key:
    """The secret in a file, without the line end behind it. Raises `UsageError`."""
    data = read_key_file(path)
    try:
        return secret_key(data.rstrip(b"\r\n"))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def key_file(path: str | Path) -> list[Key]:
    """The keys in a file: a JWKS, or one public key in PEM. Raises `UsageError`."""
    data = read_key_file(path)
    try:
        return [pem_key(data)] if data.lstrip().startswith(b"-----BEGIN") else jwks_keys(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def pem_key(data: bytes) -> Key:
    """A public key in PEM. Raises `UsageError`."""
    if b"PRIVATE KEY" in data:
        raise UsageError("that is a private key; give the public one, which verifies alone")
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_KEYS) from error
    _algorithms()
    try:
        key = load_pem_public_key(data)
    except Exception as error:  # of many classes
        raise UsageError("that is no public key in PEM") from error
    return public_key(None, key)


def public_key(key_id: str | None, key: Any) -> Key:
    """One of cryptography's. Raises `UsageError` for what is weak, or not for signatures."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    match key:
        case rsa.RSAPublicKey() if key.key_size < LEAST_RSA_BITS:
            raise UsageError(f"the RSA key has {key.key_size} bits; {LEAST_RSA_BITS} are the least")
        case rsa.RSAPublicKey():
            return Key(key_id, _RSA, key)
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVE_NAMES:
            return Key(key_id, (_CURVES[_CURVE_NAMES[key.curve.name]],), key)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return Key(key_id, ("EdDSA",), key)
    raise UsageError("the key is not RSA, EC on P-256, P-384 or P-521, or Ed25519 or Ed448")


def jwks_keys(data: bytes) -> list[Key]:
    """The keys of a JWKS. Those for encryption and of unknown types are passed over.

    Raises `UsageError` for what is no JWKS, for a key that is wrong, and where none is left.
    """
    try:
        entries = json.loads(data)["keys"]
    except (ValueError, RecursionError, LookupError, TypeError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UsageError('that is no JWKS, which is JSON such as {"keys": [{"kty": ...}]}')
    if len(entries) > MOST_KEYS:
        raise UsageError(f"the JWKS has {len(entries)} keys; at most {MOST_KEYS} are taken")
    keys = [key for entry in entries if (key := _jwk(entry)) is not None]
    if not keys:
        raise UsageError("the JWKS has no key to verify with")
    return keys


def _jwk(entry: Mapping[str, Any]) -> Key | None:
    key_id, kind, algorithm = (entry.get(name) for name in ("kid", "kty", "alg"))
    if key_id is not None and not isinstance(key_id, str):
        raise UsageError("the kid of a key is no text")
    if entry.get("use", "sig") != "sig" or kind not in ("oct", "RSA", "EC", "OKP"):
        return None
    known = _algorithms()
    name = {"oct": "HS256", "RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[kind]
    if name not in known:
        raise UsageError(NEEDS_KEYS)
    try:
        # A private part, which some files have, is left alone: the public one verifies.
        material: Any = known[name].from_jwk({k: v for k, v in entry.items() if k != "d"})
        if kind == "oct":
            key = secret_key(material, key_id, algorithm or "HS256")
            return key if algorithm in (None, *_SECRET) else None
        key = public_key(key_id, material)
    except UsageError as error:
        raise UsageError(f"the key {key_id!r}: {error}") from None
    except Exception as error:  # of many classes
        raise UsageError(f"the key {key_id!r} is no valid JWK") from error
    if algorithm is None:
        return key
    algorithms: Sequence[str] = [each for each in key.algorithms if each == algorithm]
    return Key(key_id, tuple(algorithms), material) if algorithms else None


def read_key_file(path: str | Path) -> bytes:
    """Raises `UsageError` for what cannot be read, or is too large."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is no path of a file") from error
    if len(data) > LARGEST_FILE:
        raise UsageError(f"{path} has more than {LARGEST_FILE} bytes")
    return data


@cache
def _algorithms() -> Mapping[str, Any]:
    """PyJWT's, by their names; imported when there are tokens to verify."""
    try:
        from jwt.algorithms import get_default_algorithms
    except ModuleNotFoundError as error:
        raise UsageError(NEEDS_JWT.format(name=error.name)) from error
    return {name: each for name, each in get_default_algorithms().items() if name != "none"}
