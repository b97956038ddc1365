"""The servers that are attacked: with default settings, and with what is off by default."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ..auth.certificates import Authority
from . import minting

__all__ = ["BEHIND_A_PROXY", "DEFAULT", "SITES", "TLS", "TOKENS", "Prepared", "Site", "prepared"]

PROXY = "127.0.0.2"
"""The address of the proxy that is trusted. All of 127.0.0.0/8 is this machine."""


@dataclass(frozen=True)
class Site:
    """What of a server is not its default."""

    name: str
    has_tokens: bool = False
    """It asks everybody for a token."""
    has_tls: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables of its environment, without their prefix."""


DEFAULT = Site("default")
TOKENS = Site("tokens", has_tokens=True)
TLS = Site("tls", has_tokens=True, has_tls=True)
BEHIND_A_PROXY = Site(
    "behind a proxy",
    settings={
        "SERVER_PROXY_PROTOCOL": "true",
        "SERVER_TRUSTED_PROXIES": PROXY,
        "USAGE_MESSAGES_PER_ADDRESS": "4000, then 2000/s",
        "USAGE_JOINS_PER_ADDRESS": "50, then 1/s",
        "USAGE_SESSIONS_PER_ADDRESS": "50",
        "LIMITS_CONNECTION_RATE_PER_ADDRESS": "200, then 50/s",
    },
)
"""And with limits of use, which count by address."""

SITES = (DEFAULT, TOKENS, TLS, BEHIND_A_PROXY)


@dataclass(frozen=True)
class Prepared:
    """What it takes to start the server of a site, and to be its client."""

    options: list[str]
    env: dict[str, str]
    token: str = ""
    """One that it accepts, if it asks for any."""
    authority: str = ""
    """The file of who has signed its certificate, if it has one."""

    def context(self) -> ssl.SSLContext | None:
        """That of its clients."""
        if not self.authority:
            return None
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["h2"])
        return context


@contextmanager
def prepared(site: Site) -> Iterator[Prepared]:
    """With files that are there as long."""
    options: list[str] = []
    token = authority = ""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if site.has_tokens:
            secret, public = folder / "secret", folder / "public.pem"
            secret.touch(0o600)
            secret.write_bytes(minting.SECRET)
            public.write_bytes(minting.PUBLIC)
            options += ["--auth-mode", "jwt", "--auth-secret-file", str(secret)]
            options += ["--auth-keys", str(public)]
            token = minting.token(minting.claims(sub="bystander"))
        if site.has_tls:
            signing = Authority(folder)
            pair = signing.issue("server")
            pair.key.chmod(0o600)
            options += ["--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
            authority = str(signing.file)
        env = {f"CHATIFY_STREAM_{name}": value for name, value in site.settings.items()}
        yield Prepared(options, env, token, authority)
