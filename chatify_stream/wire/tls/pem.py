"""Load certificates and keys from PEM files. Errors name the file and the problem."""

from __future__ import annotations

import os
import ssl

from ...errors import ConfigError, ConfigProblem

__all__ = ["FilePath", "load_authorities", "load_pair", "pem_error"]

FilePath = str | os.PathLike[str]

CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
KEY_LINE_END = b"PRIVATE KEY-----"


class _EncryptedError(Exception):
    """OpenSSL asked for a password."""


def pem_error(path: FilePath, text: str) -> ConfigError:
    """Return the error for a problem with a file."""
    return ConfigError([ConfigProblem(os.fspath(path), text)])


def load_pair(context: ssl.SSLContext, cert: FilePath, key: FilePath | None) -> None:
    """Load a certificate chain and its private key into the context.

    `key` None: the key is in the file `cert`. Raises `ConfigError`.
    """
    if CERTIFICATE not in _read(cert):
        raise pem_error(
            cert, "contains no certificate; pass a PEM file with -----BEGIN CERTIFICATE-----"
        )
    key_file = cert if key is None else key
    if KEY_LINE_END not in _read(key_file):
        raise pem_error(
            key_file, "contains no private key; pass a PEM file with -----BEGIN PRIVATE KEY-----"
        )
    try:
        context.load_cert_chain(cert, key_file, _refuse_password)
    except _EncryptedError:
        raise pem_error(
            key_file, "the private key is encrypted; decrypt it and restrict access to the file"
        ) from None
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
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise pem_error(path, f"contains no CA certificates in PEM format: {reason}") from None
    if not context.cert_store_stats()["x509"]:
        raise pem_error(path, "contains no CA certificates in PEM format")


def _read(path: FilePath) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise pem_error(path, f"cannot read: {error.strerror}") from None


def _refuse_password() -> str:
    raise _EncryptedError
