"""Certificates and keys in PEM files, with errors that name the file and what is wrong with it."""

from __future__ import annotations

import os
import ssl

from ...errors import ConfigError, ConfigProblem

__all__ = ["FilePath", "load_authorities", "load_pair", "wrong"]

FilePath = str | os.PathLike[str]

CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
KEY_ENDS = b"PRIVATE KEY-----"


class _EncryptedError(Exception):
    """OpenSSL has asked for a password."""


def wrong(path: FilePath, text: str) -> ConfigError:
    """The error about a file."""
    return ConfigError([ConfigProblem(os.fspath(path), text)])


def load_pair(context: ssl.SSLContext, cert: FilePath, key: FilePath | None) -> None:
    """Gives the context a certificate, those it is signed with, and its private key.

    `key` None: it is in the same file. Raises `ConfigError`.
    """
    if CERTIFICATE not in _read(cert):
        raise wrong(cert, "it has no certificate: PEM begins with -----BEGIN CERTIFICATE-----")
    key_file = cert if key is None else key
    if KEY_ENDS not in _read(key_file):
        raise wrong(key_file, "it has no private key: PEM begins with -----BEGIN PRIVATE KEY-----")
    try:
        context.load_cert_chain(cert, key_file, _refuse_password)
    except _EncryptedError:
        raise wrong(
            key_file, "the private key is encrypted: decrypt it, and let only the server read it"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"the private key is not that of the certificate in {os.fspath(cert)}"
            raise wrong(key_file, text) from None
        files = " or ".join(dict.fromkeys(os.fspath(each) for each in (cert, key_file)))
        reason = error.reason or "what is in it is no certificate or no key"
        raise wrong(files, f"OpenSSL does not take it: {reason}") from None
    except OSError as error:  # gone since it was read
        raise wrong(cert, f"it cannot be read: {error.strerror}") from None


def load_authorities(context: ssl.SSLContext, path: FilePath) -> None:
    """Has the context believe the authorities in a file. Raises `ConfigError`."""
    _read(path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise wrong(path, f"it has no certificates of authorities, in PEM: {reason}") from None
    if not context.cert_store_stats()["x509"]:
        raise wrong(path, "it has no certificates of authorities, in PEM")


def _read(path: FilePath) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise wrong(path, f"it cannot be read: {error.strerror}") from None


def _refuse_password() -> str:
    raise _EncryptedError
