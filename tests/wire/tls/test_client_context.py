"""Tests of wire/client_tls.py and wire/tls_reasons.py, without a network."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from chatify_stream.errors import ConfigError, UsageError
from chatify_stream.wire import client_tls
from chatify_stream.wire.tls.errors import tls_reason

from ...auth.certificates import Authority


def test_whom_it_believes(tmp_path: Path) -> None:
    """The authorities of the system, those of a file, or everybody; never less than TLS 1.2."""
    system = client_tls().context
    assert (system.verify_mode, system.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert system.minimum_version is ssl.TLSVersion.TLSv1_2
    own = client_tls(ca=Authority(tmp_path).file, server_name="chat.example")
    assert len(own.context.get_ca_certs()) == 1
    assert own.server_name == "chat.example"
    anybody = client_tls(insecure_skip_verify=True).context
    assert (anybody.verify_mode, anybody.check_hostname) == (ssl.CERT_NONE, False)


def test_wrong_use(tmp_path: Path) -> None:
    """What contradicts itself, or cannot be read, is refused."""
    with pytest.raises(UsageError, match="pass cert, too"):
        client_tls(key="key.pem")
    with pytest.raises(UsageError, match="not both"):
        client_tls(ca="ca.pem", insecure_skip_verify=True)
    with pytest.raises(ConfigError, match=r"none\.pem: it cannot be read: No such file"):
        client_tls(ca=tmp_path / "none.pem")


def test_an_unknown_reason() -> None:
    """What has no words of its own is told in OpenSSL's."""
    assert tls_reason(ssl.SSLError(1, "[SSL: ODD] odd (_ssl.c:1)")) == "[SSL: ODD] odd (_ssl.c:1)"
