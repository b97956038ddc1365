"""TLS contexts: the options of a channel, PEM files, and why TLS failed, in plain English."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from ...errors import ConfigError, ConfigProblem, UsageError

FilePath = str | os.PathLike[str]

_NOT_TLS = "the peer does not use TLS"
_REJECTED = "the peer rejected the certificate that it was sent"
_NO_COMMON_VERSION = "the peer supports none of the enabled TLS versions"

_REASONS = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": "the peer closed the connection during the handshake",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate; one is required",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust the CA of the certificate that it was sent",
    "SSLV3_ALERT_BAD_CERTIFICATE": _REJECTED,
    "TLSV1_ALERT_BAD_CERTIFICATE": _REJECTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REJECTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REJECTED}: it has expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"{_REJECTED}: it is not valid for this purpose",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the peer does not support HTTP/2",
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_COMMON_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": "the peer supports none of the enabled ciphers",
}
"""By the name that OpenSSL gives the reason. Names with ALERT report an alert from the peer."""

_MISMATCHES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


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


class _EncryptedError(Exception):
    """OpenSSL asked for a password."""


def pem_error(path: FilePath, text: str) -> ConfigError:
    return ConfigError([ConfigProblem(os.fspath(path), text)])


def load_pair(context: ssl.SSLContext, cert: FilePath, key: FilePath | None) -> None:
    """Load a certificate chain and its private key into the context.

    `key` None: the key is in the file `cert`. Raises `ConfigError`.
    """
    key_file = cert if key is None else key
    for path, mark, kind in (
        (cert, b"-----BEGIN CERTIFICATE-----", "certificate"),
        (key_file, b"PRIVATE KEY-----", "private key"),
    ):
        if mark not in _read(path):
            text = f"contains no {kind}; pass a PEM file with -----BEGIN {kind.upper()}-----"
            raise pem_error(path, text)
    try:
        context.load_cert_chain(cert, key_file, _refuse_password)
    except _EncryptedError:
        text = "the private key is encrypted; decrypt it and restrict access to the file"
        raise pem_error(key_file, text) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"the private key does not match the certificate in {os.fspath(cert)}"
            raise pem_error(key_file, text) from None
        files = " or ".join(dict.fromkeys(os.fspath(each) for each in (cert, key_file)))
        reason = error.reason or "invalid certificate or key"
        raise pem_error(files, f"OpenSSL cannot load it: {reason}") from None
    except OSError as error:  # the file was removed after _read
        raise pem_error(cert, f"cannot read: {error.strerror}") from None


def load_authorities(context: ssl.SSLContext, path: FilePath) -> None:
    """Make the context trust the CA certificates in a file. Raises `ConfigError`."""
    _read(path)
    text = "contains no CA certificates in PEM format"
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise pem_error(path, f"{text}: {reason}") from None
    if not context.cert_store_stats()["x509"]:
        raise pem_error(path, text)


def _read(path: FilePath) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise pem_error(path, f"cannot read: {error.strerror}") from None


def _refuse_password() -> str:
    raise _EncryptedError


def tls_reason(error: ssl.SSLError) -> str:
    """Return why TLS failed. Text of OpenSSL is used for errors that are not listed here."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = error.verify_message.rstrip(".")
        if error.verify_code in _MISMATCHES:
            return f"the peer's certificate is for another name: {detail}"
        return f"the peer's certificate is not trusted: {detail}"
    name = getattr(error, "reason", None)  # errors that asyncio raises have no reason
    return _REASONS.get(name or "", str(error))
