"""Client certificates: the user is what the certificate says, and TLS has verified that."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ..errors import UsageError
from .authenticator import Credentials, unauthenticated
from .claims import DEFAULT_RIGHTS, Policy
from .identity import Identity

__all__ = ["CertificateAuthenticator", "CertificateUser"]

CertificateUser = Literal["cn", "dns", "email", "uri"]

_ALTERNATIVES = {"dns": "DNS", "email": "email", "uri": "URI"}


class CertificateAuthenticator:
    """Knows callers by the certificate of their connection; the server's TLS has to ask for it.

    `user` says what in it is the user: the common name of its subject (`cn`), or its alternative
    name of a kind (`dns`, `email`, `uri`); there has to be one. `admins` are patterns of users with
    `admin` in all rooms, `default_rights` the rights of everybody else. Calls end when the
    certificate expires. Raises `UsageError`.
    """

    def __init__(
        self,
        *,
        user: CertificateUser = "cn",
        default_rights: Sequence[str] = DEFAULT_RIGHTS,
        admins: Sequence[str] = (),
    ) -> None:
        if user not in get_args(CertificateUser):
            raise UsageError(f"user= is one of {', '.join(get_args(CertificateUser))}: {user!r}")
        self._user = user
        self._policy = Policy(default_rights=tuple(default_rights), admins=tuple(admins))

    async def authenticate(self, call: Credentials) -> Identity:
        if not call.certificate:
            raise unauthenticated(
                "there is no client certificate: connect by TLS with one that this server trusts"
            )
        names = self._names(call.certificate)
        if len(names) != 1:
            raise unauthenticated(
                f"the client certificate has {len(names)} names of the kind {self._user}; "
                "it has to have one, which is the user"
            )
        user = names[0]
        expires_at = call.certificate.get("notAfter")
        try:
            return Identity(
                user,
                self._policy.grants_of(user, None),
                None if expires_at is None else ssl.cert_time_to_seconds(expires_at),
                "certificate",
            )
        except UsageError as error:
            raise unauthenticated(f"the client certificate cannot be used: {error}") from None

    def _names(self, certificate: Mapping[str, Any]) -> list[str]:
        if self._user == "cn":
            parts = [pair for group in certificate.get("subject", ()) for pair in group]
            return [value for name, value in parts if name == "commonName"]
        kind = _ALTERNATIVES[self._user]
        return [value for name, value in certificate.get("subjectAltName", ()) if name == kind]
