"""The keys of a server that asks for tokens, and tokens of every kind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["HS256", "PUBLIC", "SECRET", "bearer", "claims", "public_bytes", "text", "token"]

SECRET = b"a secret of the attacks, in tests alone"
"""That of the server."""

_PUBLIC_KEY = ec.generate_private_key(ec.SECP256R1()).public_key()

HS256 = {"alg": "HS256", "typ": "JWT"}


def public_bytes(encoding: Encoding) -> bytes:
    """The public key of the server, which everybody may know; that of ES256."""
    return _PUBLIC_KEY.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


PUBLIC = public_bytes(Encoding.PEM)


def text(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    all_ = {"sub": "mallory", "iat": now, "exp": now + 3600} | changes
    return {name: value for name, value in all_.items() if value is not None}


def token(body: Any, header: Any = None, secret: bytes = SECRET) -> str:
    """Signed, whatever it says."""
    signed = f"{text(HS256 if header is None else header)}.{text(body)}"
    return f"{signed}.{text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def bearer(user: str = "mallory") -> tuple[str, str]:
    """The metadata of somebody whom the server knows."""
    return "authorization", f"Bearer {token(claims(sub=user))}"
