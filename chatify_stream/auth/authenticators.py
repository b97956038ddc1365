"""Authentication by JWT bearer tokens in the metadata, and by client certificates."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from ..errors import Status, StatusError, UsageError
from ..rooms.metadata import encode_trailers
from .claims import DEFAULT_RIGHTS, ExpiredTokenError, Policy
from .identity import Credentials, Identity, unauthenticated
from .jws import InvalidTokenError, UnknownKeyError, parse, read_json, verify
from .key_store import INTERVAL, KeyStore

FIX = "send the metadata authorization: Bearer TOKEN"

CertificateUser = Literal["cn", "dns", "email", "uri"]

_ALTERNATIVES = {"dns": "DNS", "email": "email", "uri": "URI"}


class JwtAuthenticator:
    """Authenticates callers by a JSON Web Token that is signed with one of the configured keys.

        ChatServer(auth=JwtAuthenticator(secret_file="secret", audience="chat"))

    Keys:

    - `secret_file`: file that holds an HS256 secret of at least 32 random bytes.
    - `keys`: a JWKS, which may contain secrets too, or one public key in PEM: a file or, for a
      JWKS, an `https://` URL. The token's `kid` selects the key. To rotate keys, add the new key,
      and remove the old key when its last token has expired. A URL is fetched again for an unknown
      `kid`, at most once in `interval` seconds.

    Claims:

    - `aud` must contain `audience`, and `iss` must equal `issuer`. `sub` is the user. `exp` is
      required, `nbf` and `iat` are optional. `leeway` is the accepted clock difference in seconds.
    - `rooms` maps room patterns to rights, see `Grants.of`. A token without this claim gets
      `default_rights` in all rooms. Users that match a pattern of `admins` get `admin` everywhere.

    Raises `UsageError` for unusable keys and for a missing extra.
    """

    def __init__(
        self,
        *,
        secret_file: str | None = None,
        keys: str | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        leeway: float = 10.0,
        default_rights: Sequence[str] = DEFAULT_RIGHTS,
        admins: Sequence[str] = (),
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if secret_file is None and keys is None:
            raise UsageError("no key to verify tokens with; pass secret_file= or keys=")
        self._policy = Policy(audience, issuer, leeway, tuple(default_rights), tuple(admins))
        self._store = KeyStore(secrets=secret_file, keys=keys, interval=interval)
        self._clock = clock

    def reload(self) -> bool:
        """Read the key files again; return whether a file changed. The next call fetches the URL.

        Raises `UsageError` and keeps the old keys if a file cannot be used.
        """
        return self._store.reload()

    async def authenticate(self, call: Credentials) -> Identity:
        """Return the identity in the call's token; wait for a key fetch if its key is unknown."""
        text = _bearer(call.metadata)
        await self._store.refresh()
        try:
            try:
                return self.identity(text)
            except UnknownKeyError:
                await self._store.refresh(unknown=True)
                return self.identity(text)
        except ExpiredTokenError as error:
            raise unauthenticated(f"token rejected: {error}", new_token_helps=True) from None
        except InvalidTokenError as error:
            if not self._store.current():
                raise StatusError(
                    Status.UNAVAILABLE,
                    "tokens cannot be verified: the keys could not be fetched; try again later",
                    metadata=encode_trailers(reconnect=True),
                ) from None
            raise unauthenticated(f"token rejected: {error}") from None

    def identity(self, text: str) -> Identity:
        """Verify a token with the current keys; return its identity. Raises `InvalidTokenError`."""
        token = parse(text)
        verify(token, self._store.current())
        return self._policy.identity(read_json(token.payload, "payload"), self._clock())


def _bearer(metadata: Mapping[str, str | bytes]) -> str:
    values = [value for key, value in metadata.items() if key.lower() == "authorization"]
    if not values:
        raise unauthenticated(f"no token; {FIX}")
    if len(values) > 1:
        raise unauthenticated(f"more than one authorization; {FIX}")
    scheme, _, token = str(values[0]).strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated(f"authorization: not a bearer token; {FIX}")
    return token.strip()


class CertificateAuthenticator:
    """Authenticates callers by the client certificate of their connection, verified by TLS.

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
