"""Parse and check the URLs of brokers. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..address import Address, parse_address

KINDS = '"memory://", "sqlite:///PATH" or "redis://HOST"'

SCHEMES: dict[str, tuple[Literal["server", "socket", "sentinel", "cluster"], bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("socket", False),
    "redis+unix": ("socket", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
"""Schemes of Redis URLs: the kind of deployment, and whether to use TLS."""

TLS_OPTIONS = (
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
    "ssl_password",
)
"""Named as in redis-py."""

_TLS_VALUES = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": ("true", "false"),
}


@dataclass(frozen=True)
class RedisLocation:
    """The address of a Redis deployment, and the options of its connections."""

    kind: Literal["server", "socket", "sentinel", "cluster"]
    addresses: tuple[Address, ...] = ()
    """The server, the Sentinels, or some nodes of the Cluster; empty for a socket."""
    path: str = ""
    """Path of the Unix socket."""
    master: str = ""
    """Name of the master, for Sentinel."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """TLS options by their names in redis-py."""
    prefix: str = "chatify"
    """Prefix of all keys and channels."""
    timeout: float = 10.0
    """Timeout of every operation, in seconds."""

    def __str__(self) -> str:
        """Return the URL without credentials and options."""
        secure = "s" if self.is_tls else ""
        if self.kind == "socket":
            return f"unix://{self.path}"
        hosts = ",".join(map(str, self.addresses))
        db = f"/{self.db}" if self.db else ""
        if self.kind == "server":
            return f"redis{secure}://{hosts}{db}"
        master = f"/{self.master}" if self.master else ""
        return f"redis{secure}+{self.kind}://{hosts}{master}{db}"


_SECRETS = re.compile(r"(?<=://)(?:.*@|:[^/]*)|(?<=password=)[^&]*", re.DOTALL)


def hide_passwords(url: str) -> str:
    """Return a URL, valid or not, with its passwords replaced by asterisks."""
    return _SECRETS.sub(lambda found: "***@" if found[0].endswith("@") else "***", url)


def check_broker_url(url: str) -> None:
    """Raise `ValueError` if `url` is not the URL of a broker. Does not connect to it."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in SCHEMES:
        parse_redis_url(url)
        return
    if not separator or scheme not in ("memory", "sqlite"):
        shown = f"{scheme}://" if separator else repr(url) if "@" not in url else "this text"
        raise ValueError(f"{shown} is not a broker; use {KINDS}")
    if scheme == "memory" and rest:
        raise ValueError(f'unexpected {rest!r}; use "memory://"')
    if scheme == "sqlite":
        if not rest.startswith("/"):
            raise ValueError(
                "the path must follow three slashes: sqlite:///chat.db is in the current folder, "
                "sqlite:////var/lib/chat.db is an absolute path"
            )
        if not rest[1:] or "\0" in rest:
            raise ValueError("the path of the file is missing; use for example sqlite:///chat.db")


def parse_redis_url(url: str) -> RedisLocation:
    """Parse the URL of a Redis deployment:

    - `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, and `rediss://` with TLS
    - `unix://[[USER]:PASSWORD@]/PATH[?db=DB]`, also as `redis+unix://`
    - `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],.../MASTER[/DB]`, and `rediss+sentinel://`
    - `redis+cluster://[[USER]:PASSWORD@]HOST[:PORT],...`, and `rediss+cluster://`

    with options after a `?`. Raises `ValueError`, whose text contains no password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(
            "not the URL of a Redis server; use for example redis://localhost:6379/0"
        ) from None
    kind, is_tls = SCHEMES[parts.scheme]
    if "#" in url or "@" in parts.path + parts.query:
        raise ValueError("a password or path contains @ / ? or #; write %40 %2F %3F %23 instead")
    options = _options(parts)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    username, password = _userinfo(userinfo) if at else (None, None)
    path = unquote(parts.path)
    tls = {name: options.pop(name) for name in TLS_OPTIONS if name in options}
    prefix = options.pop("prefix", "chatify")
    if not prefix or not prefix.isprintable() or set(prefix) & set("{}*?[]\\ "):
        raise ValueError(
            f"the prefix {prefix!r} is not allowed; use a word without braces, such as chatify"
        )
    timeout = _seconds(options.pop("timeout", "10"))
    if "sentinel_password" in options and kind != "sentinel":
        raise ValueError("sentinel_password requires redis+sentinel://")
    db = options.pop("db", "")
    addresses: tuple[Address, ...] = ()
    master = ""
    if kind == "socket":
        if hosts or not path.startswith("/") or len(path) < 2 or "\0" in path:
            raise ValueError(
                "unix:// requires an absolute path; use for example unix:///run/redis.sock"
            )
    else:
        addresses = _addresses(hosts, 26379 if kind == "sentinel" else 6379)
        names = path.strip("/").split("/") if path.strip("/") else []
        if kind == "server" and len(addresses) > 1:
            raise ValueError(
                "several addresses require redis+sentinel://HOST,HOST/MASTER or "
                "redis+cluster://HOST,HOST"
            )
        if kind == "sentinel":
            if not names:
                raise ValueError(
                    "the name of the master is missing; use for example "
                    "redis+sentinel://HOST:26379/mymaster"
                )
            master = names.pop(0)
        if names and (db or len(names) > 1):
            raise ValueError("the path must be the number of a database; use for example /0")
        db = names[0] if names else db
    if tls and not is_tls:
        raise ValueError(f"{min(tls)} requires TLS; use rediss://")
    for name, allowed in _TLS_VALUES.items():
        if (value := tls.get(name)) is not None and value not in allowed:
            raise ValueError(f"{name}: {value!r} is not allowed; use one of {', '.join(allowed)}")
    number = _database(db)
    if number and kind == "cluster":
        raise ValueError("a Redis Cluster has only database 0; remove the number")
    return RedisLocation(
        kind,
        addresses,
        path if kind == "socket" else "",
        master,
        number,
        username,
        password,
        options.get("sentinel_username"),
        options.get("sentinel_password"),
        is_tls,
        tls,
        prefix,
        timeout,
    )


def _options(parts: SplitResult) -> dict[str, str]:
    options: dict[str, str] = {}
    known = ("db", "prefix", "timeout", "sentinel_username", "sentinel_password", *TLS_OPTIONS)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"unknown option {name!r}; use one of {', '.join(known)}")
        if name in options:
            raise ValueError(f"the option {name} is set twice; remove one")
        options[name] = value
    return options


def _userinfo(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    if not colon or not password:
        raise ValueError("the part before @ must be USER:PASSWORD or :PASSWORD")
    return unquote(user) or None, unquote(password)


def _addresses(hosts: str, port: int) -> tuple[Address, ...]:
    if not hosts:
        raise ValueError("the host is missing; use for example redis://localhost:6379/0")
    try:
        return tuple(dict.fromkeys(parse_address(text, port) for text in hosts.split(",")))
    except ValueError:  # its text may contain a password
        raise ValueError(
            "an address must be HOST, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535; "
            "separate several addresses by commas"
        ) from None


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("the database must be a number such as 0")
    return int(text or 0)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= 300:
        raise ValueError(
            f"the timeout {text!r} is not allowed; use a number of seconds from 1 to 300"
        )
    return seconds
