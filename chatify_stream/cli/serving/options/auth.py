"""`[auth]`: who may call."""

from __future__ import annotations

from ....address import is_loopback
from ....auth import Authenticator, CertificateAuthenticator, JwtAuthenticator
from ....config import AuthSettings, Settings
from ....errors import ConfigError, ConfigProblem, UsageError

__all__ = ["auth_of", "believes_everybody", "reloaded_auth"]


def auth_of(settings: AuthSettings) -> Authenticator | None:
    """The settings as the server takes them; None where nobody is asked. Raises `ConfigError`."""
    try:
        return _auth_of(settings)
    except UsageError as error:
        raise ConfigError([ConfigProblem("auth", str(error))]) from error


def _auth_of(settings: AuthSettings) -> Authenticator | None:
    if settings.mode == "jwt":
        if settings.secret_file is None and settings.keys is None:
            raise UsageError(
                'auth.mode = "jwt" needs auth.secret_file or auth.keys, to verify tokens with'
            )
        return JwtAuthenticator(
            secret_file=settings.secret_file,
            keys=settings.keys,
            audience=settings.audience,
            issuer=settings.issuer,
            leeway=settings.leeway,
            default_rights=settings.default_rights,
            admins=settings.admins,
        )
    if settings.secret_file is not None or settings.keys is not None:
        raise UsageError('auth.secret_file and auth.keys are for auth.mode = "jwt"')
    if settings.mode == "certificate":
        return CertificateAuthenticator(
            user=settings.certificate_user,
            default_rights=settings.default_rights,
            admins=settings.admins,
        )
    return None


def reloaded_auth(
    auth: Authenticator | None, old: AuthSettings, new: AuthSettings
) -> tuple[Authenticator | None, bool]:
    """What counts from now on, and whether keys have changed in their files.

    Raises `ConfigError` or `UsageError`; the old one is then as it was.
    """
    if old != new:
        return auth_of(new), False
    return auth, isinstance(auth, JwtAuthenticator) and auth.reload()


def believes_everybody(settings: Settings) -> str | None:
    """A warning for a server that others reach, and that asks nobody who they are."""
    if settings.auth.mode != "off" or is_loopback(settings.server.host):
        return None
    return (
        f"nobody is asked who they are, and {settings.server.host} is not this machine alone: "
        "whoever reaches the port can read and write in every room, under any name; "
        "auth.mode changes that"
    )
