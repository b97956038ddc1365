"""An authority and what it has signed, made once."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key, PEM."""

    cert: Path
    key: Path


class Authority:
    """A CA whose files are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
        self._number = 0
        certificate = (
            self._builder("Tests", self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(is_ca=True), critical=True)
            .add_extension(_key_id(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, days: float = 1) -> Pair:
        """For 127.0.0.1 and localhost, and for the user `name`; it ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = ipaddress.ip_address("127.0.0.1")
        certificate = (
            self._builder(name, key, days)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(address), x509.DNSName("localhost")]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_ca=False), critical=True)
            .add_extension(_key_id(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        return Pair(self._write(f"{name}.pem", public), self._write(f"{name}-key.pem", private))

    def server_context(self, *, asks_clients: bool = False, alpn: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pair = self.issue("server")
        context.load_cert_chain(pair.cert, pair.key)
        if alpn:
            context.set_alpn_protocols(["h2"])
        if asks_clients:
            context.load_verify_locations(self.file)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client_context(self, pair: Pair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.file))
        context.set_alpn_protocols(["h2"])
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey, days: float = 1) -> Any:
        self._number += 1
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._number)
            .not_valid_before(now - day)
            .not_valid_after(now + days * day)
        )

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)


def _key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())
