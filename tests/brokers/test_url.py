"""Tests of brokers/url.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatify_stream.brokers import MemoryBroker, make_broker
from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.errors import UsageError
from chatify_stream.rooms import Draft, Retention, RetentionRule
from chatify_stream.testing import Recorder

RETENTION = Retention(count=2)
RULES = [RetentionRule("a*", Retention(count=1))]


@pytest.mark.parametrize("kind", [MemoryBroker, SQLiteBroker])
async def test_kinds(kind: type, tmp_path: Path) -> None:
    """Each URL makes its broker, with the retention and the rules that it is given."""
    url = "memory://" if kind is MemoryBroker else f"sqlite:///{tmp_path}/chat.db"
    broker = make_broker(url, RETENTION, RULES)
    assert type(broker) is kind
    await broker.open(Recorder())
    for room in ("attic", "lobby"):
        await broker.publish(room, [Draft("ada", "x", "", 2**50)] * 5)
    assert [(await broker.read(room, limit=9)).oldest for room in ("attic", "lobby")] == [5, 4]
    await broker.close()
    assert (tmp_path / "chat.db").exists() == (kind is SQLiteBroker)


def test_redis() -> None:
    """The URLs of a Redis make its broker, which connects when it is opened."""
    for url in ("redis://localhost", "unix:///redis.sock", "redis+cluster://a,b"):
        assert type(make_broker(url, RETENTION, RULES)).__name__ == "RedisBroker"


async def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three slashes the path begins in the current folder, after four at the root."""
    monkeypatch.chdir(tmp_path)
    for url, name in (("sqlite:///a b.db", "a b.db"), (f"sqlite:///{tmp_path}/c.db", "c.db")):
        broker = make_broker(url)
        await broker.open(Recorder())
        await broker.close()
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "url", ["", "memory", "postgres://localhost", "sqlite://chat.db", "memory://x"]
)
def test_wrong(url: str) -> None:
    """What is no URL of a broker is refused with what there is."""
    with pytest.raises(UsageError, match=r"memory://|three slashes"):
        make_broker(url)
