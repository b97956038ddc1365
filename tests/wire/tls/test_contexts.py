"""Tests of wire/tls/contexts.py, without a network."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from chatify_stream.errors import ConfigError, UsageError
from chatify_stream.wire import client_tls
from chatify_stream.wire.tls.contexts import tls_reason

from ...auth.certificates import Authority


def test_trust(tmp_path: Path) -> None:
    """Trust the CAs of the system, those of a file, or any server; with TLS 1.2 or later."""
    system = client_tls().context
    assert (system.verify_mode, system.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert system.minimum_version is ssl.TLSVersion.TLSv1_2
    own = client_tls(ca=Authority(tmp_path).file, server_name="chat.example")
    assert len(own.context.get_ca_certs()) == 1
    assert own.server_name == "chat.example"
    insecure = client_tls(insecure_skip_verify=True).context
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)


def test_errors(tmp_path: Path) -> None:
    """Contradicting options and unreadable files raise an error."""
    with pytest.raises(UsageError, match="pass cert, too"):
        client_tls(key="key.pem")
    with pytest.raises(UsageError, match="pass only one of them"):
        client_tls(ca="ca.pem", insecure_skip_verify=True)
    with pytest.raises(ConfigError, match=r"none\.pem: cannot read: No such file"):
        client_tls(ca=tmp_path / "none.pem")


def test_unlisted_reason() -> None:
    """A reason that is not listed is reported in the words of OpenSSL."""
    assert tls_reason(ssl.SSLError(1, "[SSL: ODD] odd (_ssl.c:1)")) == "[SSL: ODD] odd (_ssl.c:1)"
