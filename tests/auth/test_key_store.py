"""The keys of a server: read again, fetched, kept."""

import asyncio
import logging
import threading
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from chatify_stream import UsageError
from chatify_stream.auth import key_store
from chatify_stream.auth.key_store import KeyStore, check_url
from chatify_stream.testing import FakeClock

from ..support.waiting import until
from .certificates import Authority
from .key_server import serving_keys
from .tokens import jwk, jwks, secret_path

A, B = jwks(jwk("HS256", kid="a")), jwks(jwk("HS256", kid="b"))


def ids(store: KeyStore) -> list[str | None]:
    return [key.id for key in store.current()]


def test_files(tmp_path: Path) -> None:
    """A secret and a file of keys count together; both are read again when they are asked to be."""
    path = tmp_path / "jwks"
    path.write_bytes(A)
    store = KeyStore(secrets=secret_path(tmp_path), keys=str(path))
    assert ids(store) == [None, "a"]
    assert store.reload() is False
    path.write_bytes(B)
    assert store.reload() is True
    assert ids(store) == [None, "b"]


def test_damaged_file(tmp_path: Path) -> None:
    """A file that is damaged takes no keys away."""
    path = tmp_path / "jwks"
    path.write_bytes(A)
    store = KeyStore(keys=str(path))
    path.write_bytes(A[:-1])
    with pytest.raises(UsageError, match="not a JWKS"):
        store.reload()
    assert ids(store) == ["a"]


async def test_fetching() -> None:
    """Keys are fetched when they are first needed, and for unknown ones: once an interval."""
    clock = FakeClock()
    with serving_keys() as server:
        server.answer = (200, A)
        store = KeyStore(keys=server.url, interval=60, clock=clock)
        assert ids(store) == []
        await store.refresh()
        assert ids(store) == ["a"]
        server.answer = (200, B)
        for _ in range(3):
            await store.refresh(unknown=True)
        assert (ids(store), server.asked) == (["a"], 1)
        clock.advance(60)
        await store.refresh()
        assert server.asked == 1
        for _ in range(3):
            await store.refresh(unknown=True)
        assert (ids(store), server.asked) == (["b"], 2)
        assert server.paths[0] == "/jwks.json?a=b"


async def test_old_keys_are_fetched_anew() -> None:
    """An hour after they were fetched keys are fetched again; calls do not wait for that."""
    clock = FakeClock()
    with serving_keys() as server:
        server.answer = (200, A)
        store = KeyStore(keys=server.url, clock=clock)
        await store.refresh()
        server.answer = (200, B)
        server.may_answer.clear()
        clock.advance(3599)
        await store.refresh()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        clock.advance(1)
        await store.refresh()
        assert ids(store) == ["a"]
        server.may_answer.set()
        await until(lambda: ids(store) == ["b"], interval=0.001)
        assert server.asked == 2


def test_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing is given up after the timeout, so it holds no thread."""
    monkeypatch.setattr(key_store, "TIMEOUT", 0.05)
    with serving_keys() as server:
        server.may_answer.clear()
        with pytest.raises(TimeoutError):
            key_store._get(urlsplit(server.url))


async def test_slow_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fetch that goes on is given up after twice the timeout, so no call waits for it."""
    end = threading.Event()

    def get(url: SplitResult) -> bytes:
        end.wait(60)
        return A

    monkeypatch.setattr(key_store, "_get", get)
    monkeypatch.setattr(key_store, "TIMEOUT", 0.01)
    store = KeyStore(keys="https://id.example/jwks")
    try:
        with caplog.at_level(logging.WARNING):
            await store.refresh()
        assert ids(store) == []
        assert "TimeoutError" in caplog.text
    finally:
        end.set()


async def test_reloading_asks_again() -> None:
    """After a reload the next call asks, whatever the interval says."""
    with serving_keys() as server:
        server.answer = (200, A)
        store = KeyStore(keys=server.url)
        await store.refresh()
        server.answer = (200, B)
        assert store.reload() is False
        await store.refresh(unknown=True)
        assert ids(store) == ["b"]


async def test_one_fetch_for_all() -> None:
    """All who wait for keys share a fetch, and one who gives up takes it from nobody."""
    with serving_keys() as server:
        server.answer = (200, A)
        server.may_answer.clear()
        store = KeyStore(keys=server.url)
        waiting = [asyncio.create_task(store.refresh()) for _ in range(20)]
        while not server.asked:
            await asyncio.sleep(0.001)
        waiting[0].cancel()
        server.may_answer.set()
        await asyncio.gather(*waiting[1:])
        assert (ids(store), server.asked) == (["a"], 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, A), "status 500"),
        ((302, A), "status 302"),
        ((200, b"<html>"), "not a JWKS"),
        ((200, b'{"keys": []}'), "JWKS: no key"),
        ((200, b" " * (1024 * 1024 + 1)), "more than 1048576 bytes"),
    ],
    ids=lambda answer: str(answer[0]) if isinstance(answer, tuple) else "",
)
async def test_failing_fetch(
    answer: tuple[int, bytes], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no answer takes no keys away, and is in the log."""
    clock = FakeClock()
    with serving_keys() as server:
        server.answer = (200, A)
        store = KeyStore(keys=server.url, clock=clock)
        await store.refresh()
        server.answer, server.headers = answer, {"location": "/other"}
        clock.advance(60)
        with caplog.at_level(logging.WARNING):
            await store.refresh(unknown=True)
        assert ids(store) == ["a"]
        assert server.asked == 2
    assert why in caplog.text
    assert "the known keys stay in use" in caplog.text


async def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    """A server of keys that cannot be reached leaves the store as it was: without any."""
    with serving_keys() as server:
        url = server.url
    store = KeyStore(keys=url)
    with caplog.at_level(logging.WARNING):
        await store.refresh()
    assert ids(store) == []
    assert "cannot fetch keys" in caplog.text


async def test_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By https the certificate of the server is verified."""
    authority = Authority(tmp_path)
    with serving_keys(authority.server_context(alpn=False)) as server:
        server.answer = (200, A)
        store = KeyStore(keys=server.url, interval=0)
        with caplog.at_level(logging.WARNING):
            await store.refresh()
        assert ids(store) == []
        assert "certificate verify failed" in caplog.text
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        await store.refresh()
        assert ids(store) == ["a"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://id.example/jwks", "not secure; use https://, or a loopback address"),
        ("http://10.0.0.1/jwks", "not secure; use https://"),
        ("https://", "no host in the URL"),
        ("https://a:x/", "not a valid URL"),
        ("https://[::1/", "not a valid URL"),
        ("https://user:pass@id.example/", "contains a user name or password; remove it"),
    ],
)
def test_wrong_url(url: str, why: str) -> None:
    """Keys come from nowhere where others could change them."""
    with pytest.raises(UsageError, match=why) as info:
        KeyStore(keys=url)
    assert "pass@" not in str(info.value)


@pytest.mark.parametrize(
    "url", ["https://id.example/a", "http://localhost:1/a", "http://127.0.0.1/a", "http://[::1]/a"]
)
def test_right_url(url: str) -> None:
    """Keys come by https, or from this machine."""
    check_url(url)
