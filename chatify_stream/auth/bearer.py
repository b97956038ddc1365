"""JWT bearer tokens, in the metadata `authorization`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from ..errors import Status, StatusError, UsageError
from .authenticator import Credentials, unauthenticated
from .claims import DEFAULT_RIGHTS, ExpiredTokenError, Policy
from .identity import Identity
from .jws import UnknownKeyError, WrongTokenError, parse, read_json, verify
from .key_store import INTERVAL, KeyStore

__all__ = ["JwtAuthenticator"]

HOW = "send the metadata authorization: Bearer TOKEN"


class JwtAuthenticator:
    """Knows callers by a JSON Web Token that was signed with one of its keys.

        ChatServer(auth=JwtAuthenticator(secret_file="secret", audience="chat"))

    `secret_file` has the secret of HS256, at least 32 bytes at random. `keys` is a JWKS, which may
    have secrets too, or one public key in PEM: a file or, for a JWKS, an `https://` URL. Which key
    a token was signed with is told by its `kid`, so keys are changed by adding the new one, and
    taking the old one away when its last token has expired. From a URL that happens by itself: one
    that is not known is looked for there, at most once in `interval` seconds.

    `audience` is what the claim `aud`, and `issuer` what `iss` has to be. `sub` is the user, `exp`
    has to be there, `nbf` and `iat` may; `leeway` are the seconds that clocks may differ by. The
    claim `rooms` has the rights by patterns of rooms, as `Grants.of` takes them; who has none gets
    `default_rights` in all rooms. `admins` are patterns of users with `admin` everywhere.

    Raises `UsageError` for keys that cannot be used, and where an extra is not installed.
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
            raise UsageError("there is nothing to verify tokens with: pass secret_file= or keys=")
        self._policy = Policy(audience, issuer, leeway, tuple(default_rights), tuple(admins))
        self._store = KeyStore(secrets=secret_file, keys=keys, interval=interval)
        self._clock = clock

    def reload(self) -> bool:
        """Reads the files again, and has a URL asked by the next call; whether a file has changed.

        Raises `UsageError`, and goes on with the old keys then.
        """
        return self._store.reload()

    async def authenticate(self, call: Credentials) -> Identity:
        text = _bearer(call.metadata)
        await self._store.refresh()
        try:
            try:
                return self.identity(text)
            except UnknownKeyError:
                await self._store.refresh(unknown=True)
                return self.identity(text)
        except ExpiredTokenError as error:
            raise unauthenticated(f"the token is not accepted: {error}", come_back=True) from None
        except WrongTokenError as error:
            if not self._store.current():
                raise StatusError(
                    Status.UNAVAILABLE,
                    "tokens cannot be verified now: the keys could not be fetched; try again",
                    metadata={"chat-reconnect": "yes"},
                ) from None
            raise unauthenticated(f"the token is not accepted: {error}") from None

    def identity(self, text: str) -> Identity:
        """Whose token it is, by the keys that are known. Raises `WrongTokenError`."""
        token = parse(text)
        verify(token, self._store.current())
        return self._policy.identity(read_json(token.payload, "payload"), self._clock())


def _bearer(metadata: Mapping[str, str | bytes]) -> str:
    values = _all(metadata, "authorization")
    if not values:
        raise unauthenticated(f"there is no token: {HOW}")
    if len(values) > 1:
        raise unauthenticated(f"there is more than one authorization: {HOW}")
    scheme, _, token = str(values[0]).strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated(f"the authorization is no bearer token: {HOW}")
    return token.strip()


def _all(metadata: Mapping[str, str | bytes], key: str) -> Sequence[str | bytes]:
    getall = getattr(metadata, "getall", None)  # of a MultiDict
    if getall is not None:
        found: list[str | bytes] = getall(key, [])
        return found
    return [metadata[key]] if key in metadata else []
