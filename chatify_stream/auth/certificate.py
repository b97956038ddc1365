"""Authentication by client certificates, which TLS has already verified."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from ..errors import UsageError
from .claims import DEFAULT_RIGHTS, Policy
from .identity import Credentials, Identity, unauthenticated

CertificateUser = Literal["cn", "dns", "email", "uri"]

_ALTERNATIVES = {"dns": "DNS", "email": "email", "uri": "URI"}


class CertificateAuthenticator:
    """Authenticates callers by the client certificate of their connection.

    The server's TLS options must request client certificates. `user` selects the field of the
    certificate that holds the user name: the subject's common name (`cn`) or a subject alternative
    name (`dns`, `email`, `uri`). The certificate must contain exactly one such name. Users that
    match a pattern of `admins` get `admin` in all rooms, all others `default_rights`. Calls end
    when the certificate expires. Raises `UsageError`.
    """

    def __init__(
        self,
        *,
        user: CertificateUser = "cn",
        default_rights: Sequence[str] = DEFAULT_RIGHTS,
        admins: Sequence[str] = (),
    ) -> None:
        if user not in get_args(CertificateUser):
            fields = ", ".join(get_args(CertificateUser))
            raise UsageError(f"user={user!r}: unknown field; use {fields}")
        self._user = user
        self._policy = Policy(default_rights=tuple(default_rights), admins=tuple(admins))

    async def authenticate(self, call: Credentials) -> Identity:
        """Return the identity in the client certificate; does not wait."""
        if not call.certificate:
            raise unauthenticated(
                "no client certificate; connect over TLS with a certificate that this server trusts"
            )
        names = self._names(call.certificate)
        if len(names) != 1:
            raise unauthenticated(
                f"client certificate: {len(names)} names in the field {self._user}; "
                "use a certificate with exactly one"
            )
        [user] = names
        end = call.certificate.get("notAfter")
        expires_at = None if end is None else ssl.cert_time_to_seconds(end)
        try:
            return Identity(user, self._policy.grants_of(user, None), expires_at, "certificate")
        except UsageError as error:
            raise unauthenticated(f"client certificate rejected: {error}") from None

    def _names(self, certificate: Mapping[str, Any]) -> list[str]:
        if self._user == "cn":
            parts = [pair for group in certificate.get("subject", ()) for pair in group]
            return [value for name, value in parts if name == "commonName"]
        kind = _ALTERNATIVES[self._user]
        return [value for name, value in certificate.get("subjectAltName", ()) if name == kind]
