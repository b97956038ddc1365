"""TLS of a channel: who is believed, and who this side is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from ...errors import UsageError
from .pem import FilePath, load_authorities, load_pair

__all__ = ["ClientTLS", "client_tls"]


@dataclass(frozen=True)
class ClientTLS:
    """What `client_tls` has made of files and names, for `Channel(ssl=)`."""

    context: ssl.SSLContext

    server_name: str | None = None
    """What the server's certificate has to be for; None for the host that is connected to."""


def client_tls(
    *,
    ca: FilePath | None = None,
    cert: FilePath | None = None,
    key: FilePath | None = None,
    server_name: str | None = None,
    insecure_skip_verify: bool = False,
) -> ClientTLS:
    """TLS for `Channel(ssl=)` and `ChatClient(ssl=)`; the files are PEM, and read now.

    `ca`: the authorities that are believed, None for those of the system. `cert` and `key`: this
    side's certificate, with those that it is signed with, and its private key, which may be in the
    same file. `server_name`: what the certificate of the server has to be for, None for the host
    that is connected to. `insecure_skip_verify` takes any certificate, so that anybody on the way
    can be the server.

    Raises `ConfigError`, which says which file is wrong and why, and `UsageError`.
    """
    if key is not None and cert is None:
        raise UsageError("a private key goes with a certificate: pass cert, too")
    if insecure_skip_verify and ca is not None:
        raise UsageError("pass ca, or insecure_skip_verify, which does not look at it; not both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is not None:
        load_authorities(context, ca)
    else:
        context.load_default_certs()
    if cert is not None:
        load_pair(context, cert, key)
    return ClientTLS(context, server_name)
