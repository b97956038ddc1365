"""Who calls, and what they may do: identities, tokens, policy. Knows nothing of the wire."""

from __future__ import annotations

from .authenticator import Authenticator, Credentials, unauthenticated
from .bearer import JwtAuthenticator
from .certificate import CertificateAuthenticator, CertificateUser
from .claims import DEFAULT_RIGHTS
from .identity import RIGHTS, Grants, Identity
from .jws import WrongTokenError, read_unverified
from .mint import make_secret_file, mint

__all__ = [
    "DEFAULT_RIGHTS",
    "RIGHTS",
    "Authenticator",
    "CertificateAuthenticator",
    "CertificateUser",
    "Credentials",
    "Grants",
    "Identity",
    "JwtAuthenticator",
    "WrongTokenError",
    "make_secret_file",
    "mint",
    "read_unverified",
    "unauthenticated",
]
