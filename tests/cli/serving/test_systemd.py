"""Notifications to systemd."""

import socket
import sys
from pathlib import Path

import pytest

from chatify_stream.cli.serving.signals import notify


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A missing socket has no effect."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_abstract: bool) -> None:
    """The state is sent as one datagram, to a path or an abstract name."""
    name = f"@chatify-{tmp_path.name}-{id(tmp_path)}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0", 1) if is_abstract else name)
        systemd.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
