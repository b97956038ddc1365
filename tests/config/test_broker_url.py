"""Tests of broker_url.py."""

from __future__ import annotations

import pytest

from chatify_stream.address import Address
from chatify_stream.config.broker_url import (
    RedisLocation,
    check_broker_url,
    hide_passwords,
    parse_redis_url,
)

LOCAL = (Address("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", RedisLocation("server", LOCAL)),
        ("redis://localhost:6379/", RedisLocation("server", LOCAL)),
        ("redis://localhost/7", RedisLocation("server", LOCAL, db=7)),
        ("redis://localhost?db=7", RedisLocation("server", LOCAL, db=7)),
        ("redis://:pw@localhost", RedisLocation("server", LOCAL, password="pw")),
        (
            "rediss://ada:p%40%2F%23@[::1]:1/2?prefix=x&timeout=5&ssl_cert_reqs=none",
            RedisLocation(
                "server",
                (Address("::1", 1),),
                db=2,
                username="ada",
                password="p@/#",
                is_tls=True,
                tls={"ssl_cert_reqs": "none"},
                prefix="x",
                timeout=5,
            ),
        ),
        ("unix:///run/a%20b.sock?db=3", RedisLocation("socket", path="/run/a b.sock", db=3)),
        ("redis+unix://:p@/r.sock", RedisLocation("socket", path="/r.sock", password="p")),
        (
            "redis+sentinel://u:p@a,b:1/chat/2?sentinel_username=s&sentinel_password=q",
            RedisLocation(
                "sentinel",
                (Address("a", 26379), Address("b", 1)),
                master="chat",
                db=2,
                username="u",
                password="p",
                sentinel_username="s",
                sentinel_password="q",
            ),
        ),
        (
            "rediss+cluster://a:1,b",
            RedisLocation("cluster", (Address("a", 1), Address("b", 6379)), is_tls=True),
        ),
    ],
)
def test_forms(url: str, expected: RedisLocation) -> None:
    """Each form is read; a port, a database and a user may be missing."""
    assert parse_redis_url(url) == expected
    check_broker_url(url)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis://", "the host is missing"),
        ("redis://:secret", "an address must be HOST"),
        ("redis://u:sec/ret@host", "write %40"),
        ("redis://u:sec#ret@host", "write %40"),
        ("redis://u:sec?ret@host", "write %40"),
        ("redis://secret@host", "USER:PASSWORD"),
        ("redis://:secret@host:99999", "an address must be HOST"),
        ("redis://:secret@[host", "not the URL of a Redis"),
        ("redis://a,b", "redis.sentinel"),
        ("redis://host/one", "the database must be a number"),
        ("redis://host/1/2", "must be the number of a database"),
        ("redis://host/1?db=2", "must be the number of a database"),
        ("redis://host?prefix={a}", "without braces"),
        ("redis://host?prefix=", "without braces"),
        ("redis://host?timeout=0", "from 1 to 300"),
        ("redis://host?timeout=soon", "from 1 to 300"),
        ("redis://host?color=red", "unknown option 'color'; use one of db, prefix"),
        ("redis://host?db=1&db=2", "is set twice"),
        ("redis://host?ssl_keyfile=x", "requires TLS"),
        ("redis://host?sentinel_password=secret", "requires redis.sentinel"),
        ("rediss://host?ssl_cert_reqs=maybe", "one of none, optional, required"),
        ("redis+sentinel://host", "the name of the master is missing"),
        ("redis+cluster://host/1", "has only database 0"),
        ("unix://run/redis.sock", "an absolute path"),
        ("unix://", "an absolute path"),
        ("redis", "'redis' is not a broker"),
        ("postgres://u:secret@host", "postgres:// is not a broker"),
        ("u:secret@host", "this text is not a broker"),
        ("memory://x", "unexpected 'x'"),
        ("sqlite://x", "three slashes"),
        ("sqlite:///", "the path of the file is missing"),
    ],
)
def test_wrong(url: str, what: str) -> None:
    """An invalid URL raises an error that states the fix and contains no password."""
    with pytest.raises(ValueError, match=what) as caught:
        check_broker_url(url)
    assert "secret" not in str(caught.value)
    assert "sec" not in str(caught.value).split()


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:secret@host:1/2",
        "redis://u:s/e@cret@host",
        "redis://:secret",
        "redis+sentinel://h/m?sentinel_password=secret",
        "unix://:secret@/path",
    ],
)
def test_passwords_are_hidden(url: str) -> None:
    """A URL that is shown, valid or not, contains no password."""
    shown = hide_passwords(url)
    assert "secret" not in shown
    assert "cret" not in shown
    assert shown.startswith(url.partition("://")[0])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:pw@host:1/2?timeout=3", "redis://host:1/2"),
        ("unix://:pw@/path", "unix:///path"),
        ("rediss+sentinel://:pw@a,b/chat/1", "rediss+sentinel://a:26379,b:26379/chat/1"),
        ("redis+cluster://:pw@a:1", "redis+cluster://a:1"),
    ],
)
def test_shown(url: str, shown: str) -> None:
    """A location is shown as a URL, without user, password and options."""
    location = parse_redis_url(url)
    assert str(location) == shown
    assert "pw" not in repr(location)
