"""Authentication and rights: identities, tokens and policy, independent of the transport."""

from .authenticators import CertificateAuthenticator, CertificateUser, JwtAuthenticator
from .claims import DEFAULT_RIGHTS
from .identity import RIGHTS, Authenticator, Credentials, Grants, Identity, unauthenticated
from .jws import InvalidTokenError, mint, read_unverified
from .keys import make_secret_file

__all__ = [
    "DEFAULT_RIGHTS",
    "RIGHTS",
    "Authenticator",
    "CertificateAuthenticator",
    "CertificateUser",
    "Credentials",
    "Grants",
    "Identity",
    "InvalidTokenError",
    "JwtAuthenticator",
    "make_secret_file",
    "mint",
    "read_unverified",
    "unauthenticated",
]
