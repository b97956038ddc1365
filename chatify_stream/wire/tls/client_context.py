"""TLS of a channel: the trusted CAs and the client certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from ...errors import UsageError
from .pem import FilePath, load_authorities, load_pair

__all__ = ["ClientTLS", "client_tls"]


@dataclass(frozen=True)
class ClientTLS:
    """TLS options of a channel, made by `client_tls`, for `Channel(ssl=)`."""

    context: ssl.SSLContext

    server_name: str | None = None
    """The name that the server certificate must have. None: the host connected to."""


def client_tls(
    *,
    ca: FilePath | None = None,
    cert: FilePath | None = None,
    key: FilePath | None = None,
    server_name: str | None = None,
    insecure_skip_verify: bool = False,
) -> ClientTLS:
    """Return TLS options for `Channel(ssl=)`, `ChatClient(ssl=)` and `RoomClient(ssl=)`.

    The files are in PEM format and are read immediately. TLS 1.2 is the minimum version.

    ca: file with the trusted CA certificates; None for the CAs of the system.
    cert: file with the client certificate and its chain; None for no client certificate.
    key: file with the private key; None if it is in the file `cert`.
    server_name: the name that the server certificate must have; None for the host connected to.
    insecure_skip_verify: accept any server certificate. Anyone on the network path can then
        impersonate the server.

    Raises `ConfigError` if a file cannot be used, with the file and the reason. Raises
    `UsageError` for a key without a certificate, and for `ca` with `insecure_skip_verify`.
    """
    if key is not None and cert is None:
        raise UsageError("key: a private key needs a certificate; pass cert, too")
    if insecure_skip_verify and ca is not None:
        raise UsageError("ca: not used with insecure_skip_verify; pass only one of them")
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
