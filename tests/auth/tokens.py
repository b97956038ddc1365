"""Keys and tokens for the tests; each kind of key is made once."""

import base64
import hmac
import json
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of thirty-two bytes, or more"
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {"sub": "ada", "exp": NOW + 60}


@cache
def private_key(algorithm: str) -> Any:
    match algorithm:
        case "RS256" | "PS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    raise AssertionError(algorithm)


def public_pem(algorithm: str) -> bytes:
    return (
        private_key(algorithm)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def private_pem(algorithm: str) -> bytes:
    return private_key(algorithm).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def jwk(algorithm: str, **more: Any) -> dict[str, Any]:
    """The public key, or the secret, as a JWK."""
    if algorithm.startswith("HS"):
        return {"kty": "oct", "k": b64(SECRET.encode())} | more
    made = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(
        private_key(algorithm).public_key(), as_dict=True
    )
    made.pop("key_ops", None)
    return made | more


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def signed(
    claims: dict[str, Any] | None = None,
    algorithm: str = "HS256",
    secret: str = SECRET,
    **header: Any,
) -> str:
    key = secret if algorithm.startswith("HS") else private_key(algorithm)
    return jwt.encode(CLAIMS if claims is None else claims, key, algorithm, header or None)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Any, payload: Any, secret: bytes = SECRET.encode()) -> str:
    """Signed with HS256, whatever the header says. Bytes go in as they are."""
    parts = (x if isinstance(x, bytes) else json.dumps(x).encode() for x in (header, payload))
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def secret_path(folder: Path, secret: str = SECRET) -> str:
    path = folder / "secret"
    path.write_text(secret + "\n")
    return str(path)
