"""The peers of the interop tests, and the certificate that all of them use over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..e2e import peers
from ..e2e.processes import ListeningProcess

pytest.register_assert_rewrite(f"{__package__}.calls")


@pytest.fixture(scope="session")
def go_interop() -> Path:
    return peers.build_go_interop()


@pytest.fixture(scope="session")
def go_server(go_interop: Path) -> Iterator[ListeningProcess]:
    with peers.go_interop_server(go_interop) as process:
        yield process


@pytest.fixture(scope="session")
def go_tls_server(go_interop: Path, certificates: Path) -> Iterator[ListeningProcess]:
    with peers.go_interop_server(
        go_interop,
        "--use_tls",
        f"--tls_cert_file={certificates / 'server1.pem'}",
        f"--tls_key_file={certificates / 'server1.key'}",
    ) as process:
        yield process


@pytest.fixture(scope="session")
def certificates() -> Path:
    return peers.grpc_go_certificates()


@pytest.fixture(scope="session")
def server_tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server1.pem", certificates / "server1.key")
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture(scope="session")
def client_tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    # That authority's certificate lacks a field that Python 3.13 asks for unless told otherwise.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    return context
