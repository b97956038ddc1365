"""The commands over TLS, and the checks of the TLS settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from chatify_stream.cli.client_options import tls_from_settings
from chatify_stream.cli.serving.options import proxy_networks, tls_options
from chatify_stream.config import ClientSettings, GatewaySettings, ServerSettings, TLSSettings
from chatify_stream.errors import ConfigError

from ..auth.certificates import Authority, Pair
from .command_line import invoke
from .server_thread import ServerThread


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture(scope="module")
def tls_server(authority: Authority, pair: Pair) -> Iterator[ServerThread]:
    """Which asks for client certificates, and has the service of the rooms."""
    with ServerThread(
        "--rooms-service", "--tls-cert", str(pair.cert), "--tls-key", str(pair.key),
        "--tls-client-ca", str(authority.file), "--tls-require-client-cert",
    ) as thread:  # fmt: skip
        yield thread


def test_commands(authority: Authority, tls_server: ServerThread) -> None:
    """A command connects to the name in the certificate, or reports the reason."""
    ada = authority.issue("ada")
    target = ("--target", f"localhost:{tls_server.port}")
    shown = ("--cert", ada.cert, "--key", ada.key)
    sent = invoke("send", *target, "--tls", "--ca", authority.file, *shown, "Ada")
    assert (sent.status, sent.stdout) == (0, "Hello Ada\n"), sent.stderr
    checked = invoke(
        "check", *target, "--json", "--tls", "--ca", authority.file, *shown,
    )  # fmt: skip
    answer = json.loads(checked.stdout)
    assert (checked.status, answer["status"]) == (0, "SERVING"), checked.stderr
    assert answer["tls"].startswith("TLSv1.3")
    assert datetime.fromisoformat(answer["certificate_expires"]) > datetime.now(UTC)
    listed = invoke("rooms", "list", *target, "--tls", "--insecure-skip-verify", *shown)
    assert listed.status == 0, listed.stderr
    for flags, reason in (
        (("--tls", "--ca", authority.file), "the server requires a client certificate"),
        (("--tls", "--ca", authority.file, "--server-name", "other", *shown), "another name"),
        ((), "this port requires TLS"),
    ):
        failed = invoke("send", *target, *flags, "Ada")
        assert failed.status == 4
        assert reason in failed.stderr
        assert failed.stderr.count("\n") == 1


def test_a_wrong_certificate(authority: Authority, pair: Pair) -> None:
    """The error for an unusable certificate is one line with the file."""
    failed = invoke("serve", "--port", "0", "--tls-cert", pair.cert, "--tls-key", authority.file)
    assert failed.status == 2
    assert f"{authority.file}: contains no private key" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_settings_of_the_server(pair: Pair) -> None:
    """Settings without effect are rejected, by name."""
    assert tls_options(TLSSettings()) is None
    options = tls_options(TLSSettings(cert="cert.pem", min_version="1.3"))
    assert options is not None
    assert (options.cert, options.min_version) == ("cert.pem", "1.3")
    for settings, name in (
        (TLSSettings(key="key.pem"), "tls.key"),
        (TLSSettings(cert="cert.pem", require_client_cert=True), "tls.require_client_cert"),
    ):
        with pytest.raises(ConfigError, match=f"^{name}: "):
            tls_options(settings)


def test_the_proxy_protocol() -> None:
    """Trusted proxies are required."""
    networks = ("10.0.0.0/8", "::1")
    assert proxy_networks(ServerSettings(trusted_proxies=networks)) is None
    believing = ServerSettings(proxy_protocol=True, trusted_proxies=networks)
    assert proxy_networks(believing) == networks
    with pytest.raises(ConfigError, match=r"^server\.proxy_protocol: .*server\.trusted_proxies"):
        proxy_networks(ServerSettings(proxy_protocol=True))


@pytest.mark.parametrize("section", [ClientSettings, GatewaySettings])
def test_settings_of_clients(
    section: type[ClientSettings] | type[GatewaySettings], authority: Authority
) -> None:
    """Files and names require TLS, and settings without effect are rejected."""
    assert tls_from_settings(section()) is None
    ca = str(authority.file)
    made = tls_from_settings(section(tls=True, ca=ca, server_name="chat.example"))
    assert made is not None
    assert made.server_name == "chat.example"
    for wrong in (
        section(ca=ca),
        section(insecure_skip_verify=True),
        section(tls=True, key="key.pem"),
        section(tls=True, ca=ca, insecure_skip_verify=True),
        section(tls=True, ca="none.pem"),
    ):
        with pytest.raises(ConfigError):
            tls_from_settings(wrong)
