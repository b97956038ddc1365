"""Tests of server/tls.py, and of wire/tls/pem.py with it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from chatify_stream import ChatClient, ChatServer, TLSOptions, UsageError, client_tls
from chatify_stream.errors import ConfigError
from chatify_stream.server import ServerTLS
from chatify_stream.server import tls as tls_module

from ..auth.certificates import Authority, Pair

SESSIONS = 200


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def served(authority: Authority, tmp_path: Path) -> Pair:
    """The files of the server, which tests replace."""
    pair = Pair(tmp_path / "served.pem", tmp_path / "served-key.pem")
    put(authority.issue("first", days=100), pair)
    return pair


def put(source: Pair, served: Pair) -> None:
    """Replace the files of the server, as programs that renew certificates do."""
    for new, old in ((source.cert, served.cert), (source.key, served.key)):
        copy = new.with_suffix(".new")
        shutil.copy(new, copy)
        copy.replace(old)


def options_of(pair: Pair) -> TLSOptions:
    return TLSOptions(pair.cert, pair.key)


async def name_of(port: int) -> str:
    """Return the subject of the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    text = ssl.DER_cert_to_PEM_cert(der)
    return str(x509.load_pem_x509_certificate(text.encode()).subject.rfc4514_string())


async def test_replaced_under_sessions(authority: Authority, served: Pair) -> None:
    """When the certificate is replaced, sessions go on, and new connections get the new one."""
    tls = client_tls(ca=authority.file)
    async with ChatServer(tls=options_of(served)) as server:
        await server.start("127.0.0.1", 0)
        clients = [ChatClient(f"localhost:{server.port}", ssl=tls) for _ in range(SESSIONS)]
        try:
            for client in clients:
                await client.__aenter__()
                await client.send("before")
                assert (await client.receive()).message == "Hello before"  # type: ignore[union-attr]
            put(authority.issue("second"), served)
            assert server.reload_tls()
            assert not server.reload_tls()
            assert await name_of(server.port) == "CN=second"
            for client in clients:
                await client.send("after")
                assert (await client.receive()).message == "Hello after"  # type: ignore[union-attr]
            assert server.statistics().connections_opened == SESSIONS + 1
        finally:
            await asyncio.gather(*(client.__aexit__(None, None, None) for client in clients))


async def test_files_are_watched(
    authority: Authority, served: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed file is loaded without a call, and a closed server checks no more."""
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL", 0.01)
    async with ChatServer(tls=options_of(served)) as server:
        await server.start("127.0.0.1", 0)
        put(authority.issue("second"), served)
        async with asyncio.timeout(30):
            while await name_of(server.port) != "CN=second":
                await asyncio.sleep(0.01)


def test_a_changed_link(authority: Authority, tmp_path: Path) -> None:
    """Pointing a symbolic link to another folder is a change, as in Kubernetes."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        pair = authority.issue(name)
        pair.cert.rename(tmp_path / name / "tls.crt")
        pair.key.rename(tmp_path / name / "tls.key")
    data = tmp_path / "data"
    data.symlink_to("first")
    tls = ServerTLS(TLSOptions(data / "tls.crt", data / "tls.key"))
    before = tls.context()
    tls.check_files()
    assert tls.context() is before
    (tmp_path / "turned").symlink_to("second")
    os.replace(tmp_path / "turned", data)
    tls.check_files()
    assert tls.context() is not before


def test_a_wrong_pair_is_rejected(
    authority: Authority, served: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong files change nothing; they are logged once, and not while they are replaced."""
    tls = ServerTLS(options_of(served))
    before = tls.context()
    other = authority.issue("other")
    shutil.copy(other.cert, served.cert)
    tls.check_files()
    assert not caplog.records
    for _ in range(3):
        tls.check_files()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"new certificate rejected, keeping the previous one: {served.key}: the private key does "
        f"not match the certificate in {served.cert}"
    )
    assert tls.context() is before
    with pytest.raises(ConfigError):
        tls.reload()
    shutil.copy(other.key, served.key)
    caplog.set_level(logging.INFO)
    tls.check_files()
    assert tls.context() is not before


def test_other_files(authority: Authority, served: Pair) -> None:
    """Other files can be loaded; if they are wrong, the previous ones stay."""
    tls = ServerTLS(options_of(served))
    before = tls.context()
    with pytest.raises(ConfigError):
        tls.reload(TLSOptions(served.key, served.key))
    tls.check_files()
    assert tls.context() is before
    assert tls.reload(options_of(authority.issue("other")))
    assert tls.context() is not before


def encrypted(pair: Pair, path: Path) -> Path:
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return path


def test_wrong_files(authority: Authority, served: Pair, tmp_path: Path) -> None:
    """The error names the wrong file and the problem."""
    cert, key = served.cert, served.key
    none = tmp_path / "none.pem"
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    expired = authority.issue("expired", days=-0.5)
    cases = [
        (TLSOptions(none, key), f"{none}: cannot read: No such file or directory"),
        (TLSOptions(cert, none), f"{none}: cannot read: No such file or directory"),
        (TLSOptions(tmp_path), f"{tmp_path}: cannot read: Is a directory"),
        (TLSOptions(key, key), f"{key}: contains no certificate"),
        (TLSOptions(cert), f"{cert}: contains no private key"),
        (TLSOptions(broken, key), f"{broken} or {key}: OpenSSL cannot load it"),
        (TLSOptions(expired.cert, expired.key), f"{expired.cert}: clients would reject it: "),
        (
            TLSOptions(cert, encrypted(served, tmp_path / "encrypted.pem")),
            f"{tmp_path / 'encrypted.pem'}: the private key is encrypted",
        ),
        (
            TLSOptions(cert, key, client_ca=key),
            f"{key}: contains no CA certificates in PEM format",
        ),
    ]
    for options, text in cases:
        with pytest.raises(ConfigError) as caught:
            ServerTLS(options)
        assert str(caught.value).startswith(text)
        assert "\n" not in str(caught.value)


def test_expiry_warning(
    authority: Authority, served: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that expires within two weeks is warned of, once."""
    now = [0.0]
    tls = ServerTLS(options_of(served), clock=lambda: time.time() + now[0])
    assert 99 < (tls.expires_at - time.time()) / 86400 < 101
    tls.check_files()
    assert not caplog.records
    now[0] = 90 * 86400.0
    tls.check_files()
    tls.check_files()
    (record,) = caplog.records
    assert "expires in 10.0 days" in record.getMessage()


def test_one_file(authority: Authority, tmp_path: Path) -> None:
    """Certificate and key can be in one file."""
    pair = authority.issue("both")
    both = tmp_path / "both-in-one.pem"
    both.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    ServerTLS(TLSOptions(both, min_version="1.3"))


async def test_options_that_contradict(served: Pair) -> None:
    """Options that contradict each other are rejected."""
    with pytest.raises(UsageError, match="client_ca"):
        TLSOptions("cert.pem", require_client_cert=True)
    with pytest.raises(UsageError, match=r"'1\.2' or '1\.3'"):
        TLSOptions("cert.pem", min_version="1.1")  # type: ignore[arg-type]
    server = ChatServer(tls=options_of(served))
    with pytest.raises(UsageError, match="ssl= or tls="):
        await server.start("127.0.0.1", 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(UsageError, match="has no TLS"):
        server.reload_tls()
    with pytest.raises(UsageError, match=r"proxy_protocol_from: 10\.0\.0\.1/8 has host bits"):
        ChatServer(proxy_protocol_from=["10.0.0.1/8"])
