"""The settings: what they are, what they may be, and what they are by default.

Frozen, and checked when they are built; nothing here reads a file or the environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..address import check_header_name, check_host, check_method_path, check_network, parse_target
from ..errors import ConfigError, ConfigProblem
from .broker_url import check_broker_url, hide_passwords
from .kinds import (
    HIDDEN,
    Choice,
    Integer,
    Kind,
    OptionalText,
    Rate,
    Ratio,
    Retentions,
    Seconds,
    Secret,
    Switch,
    Text,
    Texts,
)
from .template import DEFAULT_TEMPLATE, reply_template

__all__ = [
    "AuthSettings",
    "ClientSettings",
    "GatewaySettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "RoomSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "TLSSettings",
    "TracingSettings",
    "UsageSettings",
    "all_settings",
    "problem_text",
]


_HOST = Text('a host name or an IP address, such as "127.0.0.1" or "::"', check_host)
_ANY = "0.0.0.0"  # noqa: S104 - where the original service listens
_PORT = Integer(0, 65535)
_BYTES = Integer(1, 2**31 - 1, unit="bytes")
_RATE = Rate()
_SOME_RATE = Rate(most=2**31 - 1, none=True)
_COUNT = Integer(1, 2**31 - 1, none=True)
_TARGET = Text(
    'the address of the server, such as "localhost:9000", or several with commas between them',
    parse_target,
)


_FILE = OptionalText("the path of a file")

_TEN_YEARS = 3650 * 86400


def _setting(default: Any, kind: Kind, doc: str, *, flag: str | None = None) -> Any:
    """`flag` is that of the setting where it does not follow from its name."""
    return dataclasses.field(default=default, metadata={"kind": kind, "doc": doc, "flag": flag})


# What ClientSettings and GatewaySettings have for TLS. A base class would put it before the rest.
_ca = partial(
    _setting, None, _FILE, "The authorities, PEM, that are believed in place of the system's."
)
_cert = partial(_setting, None, _FILE, "The certificate to show, PEM, and what it is signed with.")
_key = partial(_setting, None, _FILE, "Its private key, PEM, where it is not in that file.")
_server_name = partial(
    _setting,
    None,
    OptionalText("a host name or an IP address", check_host),
    "The name that the certificate of the server has to be for, if not that of target.",
)
_insecure_skip_verify = partial(
    _setting,
    False,
    Switch(),
    "Believe any certificate: for tests; anybody can be the server then.",
)


def _check_right(right: str) -> None:
    if right not in ("join", "send", "read", "admin"):
        raise ValueError(f"there is no right {right!r}")


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("a pattern is empty")


@dataclass(frozen=True)
class _Section:
    """Checks every field when it is built."""

    def __post_init__(self) -> None:
        problems = []
        section = _section_name(type(self))
        for field in dataclasses.fields(self):
            kind: Kind = field.metadata["kind"]
            value = getattr(self, field.name)
            try:
                object.__setattr__(self, field.name, kind.check(value))
            except ValueError as error:
                text = problem_text(f"{section}.{field.name}", value, kind, error)
                problems.append(ConfigProblem(type(self).__name__, text))
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True)
class ServerSettings(_Section):
    """The chat server: `chatify-stream serve`."""

    host: str = _setting(_ANY, _HOST, "Where to listen; 0.0.0.0 is every IPv4 interface.")
    port: int = _setting(9000, _PORT, "The TCP port to listen on; 0 takes a free one.")
    grace: float = _setting(
        10.0, Seconds(zero=True), "Seconds that open calls have to end when the server stops."
    )
    workers: int = _setting(
        1,
        Integer(1, 1024),
        "Processes that serve the port together; for more than 1, rooms need a broker to share.",
    )
    reply: str = _setting(
        DEFAULT_TEMPLATE,
        Text("a text in which {name} stands for the message", reply_template),
        "The reply to each message.",
    )
    paths: tuple[str, ...] = _setting(
        (),
        Texts('a list of paths such as "/service.v1.Service/Chat"', check_method_path),
        "More paths under which Chat is served.",
    )
    reflection: bool = _setting(
        False, Switch(), "Let tools such as grpcurl ask which services there are."
    )
    proxy_protocol: bool = _setting(
        False, Switch(), "Trusted proxies send a PROXY protocol header, version 1 or 2."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        Texts('a list of IP addresses and networks such as "10.0.0.0/8"', check_network),
        "Addresses and networks of the proxies that are believed whom they speak for.",
    )


@dataclass(frozen=True)
class TLSSettings(_Section):
    """TLS of the chat server."""

    cert: str | None = _setting(
        None, _FILE, "The certificate and what it is signed with, PEM; without it there is no TLS."
    )
    key: str | None = _setting(None, _FILE, "The private key, PEM, where it is not in that file.")
    client_ca: str | None = _setting(
        None, _FILE, "The authorities, PEM, whose certificates clients may show."
    )
    require_client_cert: bool = _setting(
        False, Switch(), "Refuse a client that has no such certificate."
    )
    min_version: Literal["1.2", "1.3"] = _setting(
        "1.2", Choice(("1.2", "1.3")), "The oldest version of TLS that is spoken."
    )


@dataclass(frozen=True)
class AuthSettings(_Section):
    """Who may call the chat server."""

    mode: Literal["off", "jwt", "certificate"] = _setting(
        "off",
        Choice(("off", "jwt", "certificate")),
        "How callers are known: not at all, by a bearer token, by their TLS certificate.",
    )
    secret_file: str | None = _setting(
        None, _FILE, "The secret of HS256 tokens, at least 32 bytes at random."
    )
    keys: str | None = _setting(
        None,
        OptionalText("the path of a file, or an https:// URL"),
        "The keys of tokens: a JWKS, as a file or an https:// URL, or a public key in PEM.",
    )
    audience: str | None = _setting(
        None, OptionalText("a text"), "What the aud of a token has to have in it."
    )
    issuer: str | None = _setting(
        None, OptionalText("a text"), "What the iss of a token has to be."
    )
    leeway: float = _setting(
        10.0,
        Seconds(zero=True, most=300),
        "Seconds by which the clocks of issuer and server may differ.",
    )
    default_rights: tuple[str, ...] = _setting(
        ("join", "send", "read"),
        Texts("a list of join, send, read and admin", _check_right),
        "Rights in all rooms of a token without the claim rooms, and of a certificate.",
    )
    certificate_user: Literal["cn", "dns", "email", "uri"] = _setting(
        "cn",
        Choice(("cn", "dns", "email", "uri")),
        "What in a certificate is the user: its common name, or its alternative name of a kind.",
    )
    admins: tuple[str, ...] = _setting(
        (),
        Texts('a list of names or patterns such as "ops-*"', _check_pattern),
        "Users who have the right admin in all rooms, whatever their tokens say.",
    )


@dataclass(frozen=True)
class LimitSettings(_Section):
    """What one client of the chat server may cost."""

    max_message_size: int = _setting(
        4 * 1024 * 1024, _BYTES, "The largest message taken, in bytes."
    )
    max_header_list_size: int = _setting(
        16 * 1024, _BYTES, "The largest headers of a call, in bytes."
    )
    max_concurrent_streams: int = _setting(
        1000, Integer(1, 2**31 - 1), "Calls open at a time on one connection."
    )
    max_connections: int | None = _setting(
        20_000, Integer(1, 2**31 - 1, none=True), "Connections open at a time."
    )
    max_connections_per_address: int | None = _setting(
        None, Integer(1, 2**31 - 1, none=True), "Connections open at a time from one IP address."
    )
    connection_rate_per_address: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Connections made from one IP address."
    )
    handshake_timeout: float | None = _setting(
        10.0, Seconds(none=True), "Seconds for the preface and SETTINGS of a new connection."
    )
    first_call_timeout: float | None = _setting(
        60.0, Seconds(none=True), "Seconds for the first call of a new connection."
    )
    keepalive_time: float | None = _setting(
        30.0, Seconds(none=True), "Seconds of silence after which a client is sent a PING."
    )
    keepalive_timeout: float = _setting(
        10.0, Seconds(), "Seconds for the client to say anything after that PING."
    )
    write_timeout: float | None = _setting(
        30.0, Seconds(none=True), "Seconds without progress for a client that does not read."
    )
    max_connection_age: float | None = _setting(
        None,
        Seconds(none=True),
        "Seconds after which a connection is drained, give or take a tenth.",
    )
    max_connection_age_grace: float = _setting(
        30.0, Seconds(), "Seconds for the calls of a connection that is too old."
    )
    pings: tuple[int, float] = _setting(
        (100, 10.0), _RATE, "PING frames of one connection, with no messages between them."
    )
    resets: tuple[int, float] = _setting(
        (1000, 100.0),
        _RATE,
        "Calls that a client resets within a second, or makes the server reset.",
    )
    settings: tuple[int, float] = _setting((100, 10.0), _RATE, "SETTINGS frames of one connection.")
    glitches: tuple[int, float] = _setting(
        (1000, 200.0),
        _RATE,
        "Frames that do nothing: empty, unknown, PRIORITY, of streams that the peer ended.",
    )
    refusals: tuple[int, float] = _setting(
        (2000, 200.0), _RATE, "Calls of one connection that are refused; past it, more slowly."
    )
    max_control_backlog: int = _setting(
        256 * 1024, _BYTES, "Bytes of answers, to PING and the like, that a client has not read."
    )


@dataclass(frozen=True)
class UsageSettings(_Section):
    """How much one session, one user and one address may do."""

    messages_per_session: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Messages that are taken from one session."
    )
    messages_per_user: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Messages that are taken from one user, where users are known."
    )
    messages_per_address: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Messages that are taken from one IP address."
    )
    bytes_per_session: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Bytes of messages that are taken from one session."
    )
    bytes_per_user: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Bytes of messages that are taken from one user."
    )
    bytes_per_address: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Bytes of messages that are taken from one IP address."
    )
    joins_per_user: tuple[int, float] | None = _setting(
        (200, 20.0), _SOME_RATE, "Rooms that one user joins."
    )
    joins_per_address: tuple[int, float] | None = _setting(
        None, _SOME_RATE, "Rooms that are joined from one IP address."
    )
    rooms_per_user: int | None = _setting(100, _COUNT, "Rooms that one user is in at a time.")
    rooms_per_address: int | None = _setting(
        None, _COUNT, "Rooms that one IP address is in at a time."
    )
    sessions_per_user: int | None = _setting(
        1000, _COUNT, "Sessions of one user, in rooms or not, that are open at a time."
    )
    sessions_per_address: int | None = _setting(
        None, _COUNT, "Sessions from one IP address that are open at a time."
    )
    address_header: str | None = _setting(
        None,
        OptionalText('the name of a header such as "x-forwarded-for"', check_header_name),
        "Where server.trusted_proxies name the IP address of their client.",
    )


@dataclass(frozen=True)
class RoomSettings(_Section):
    """The rooms of the chat server."""

    enabled: bool = _setting(
        True, Switch(), "Serve rooms, to calls with the metadata chat-room.", flag="--rooms"
    )
    broker: str = _setting(
        "memory://",
        Text('"memory://", "sqlite:///PATH" or "redis://HOST"', check_broker_url),
        "Where messages are: memory:// goes with the server; redis://HOST is for many servers.",
        flag="--broker",
    )
    retention_count: int = _setting(
        10_000, Integer(0, 2**31 - 1), "Messages that a room keeps, at most."
    )
    retention_age: float = _setting(
        86_400.0, Seconds(most=_TEN_YEARS), "Seconds for which a room keeps a message, at most."
    )
    retention: tuple[tuple[str, int, float], ...] = _setting(
        (),
        Retentions(_TEN_YEARS),
        "Other retentions for rooms of certain names; the first that matches counts.",
    )
    max_message_size: int = _setting(
        64 * 1024, _BYTES, "The largest message taken in a room, in bytes."
    )
    max_outbox: int = _setting(
        1024 * 1024, _BYTES, "Bytes that may wait for one client before its session is ended."
    )
    service: bool = _setting(
        False, Switch(), "Serve chatify.rooms.v1.Rooms, for backends and operators."
    )
    port: int | None = _setting(
        None,
        Integer(0, 65535, none=True),
        "The TCP port of that service, where it is not to be that of the server.",
    )
    host: str = _setting(
        "127.0.0.1", _HOST, "Where that port listens; without auth it asks nobody who they are."
    )


@dataclass(frozen=True)
class ClientSettings(_Section):
    """The client commands: `chatify-stream send`."""

    target: str = _setting(
        "localhost:9000", _TARGET, "The server to talk to; several with commas between."
    )
    timeout: float | None = _setting(
        None, Seconds(none=True), "Seconds that a whole call may take, connecting included."
    )
    connect_timeout: float = _setting(10.0, Seconds(), "Seconds that reaching the server may take.")
    wait_for_ready: bool = _setting(
        False, Switch(), "Wait for a server that cannot be reached, as long as timeout allows."
    )
    tls: bool = _setting(False, Switch(), "Talk TLS with the server.")
    ca: str | None = _ca()
    cert: str | None = _cert()
    key: str | None = _key()
    server_name: str | None = _server_name()
    insecure_skip_verify: bool = _insecure_skip_verify()
    token: str | None = _setting(
        None,
        Secret(),
        "The bearer token to show; better in a file or the environment, where nobody sees it.",
    )
    token_file: str | None = _setting(
        None, _FILE, "The file of the token, read again for each call."
    )


@dataclass(frozen=True)
class GatewaySettings(_Section):
    """The HTTP gateway: `chatify-stream gateway`."""

    host: str = _setting(_ANY, _HOST, "Where to listen; 0.0.0.0 is every IPv4 interface.")
    port: int = _setting(8010, _PORT, "The TCP port to listen on; 0 takes a free one.")
    target: str = _setting(
        "localhost:9000", _TARGET, "The chat server behind the gateway; several likewise."
    )
    balancing: Literal["pick_first", "round_robin"] = _setting(
        "pick_first",
        Choice(("pick_first", "round_robin")),
        "Of several chat servers, use the first that works, or each in turn.",
    )
    timeout: float = _setting(
        2.0, Seconds(), "Seconds that the chat server has to answer a request."
    )
    grace: float = _setting(
        10.0, Seconds(zero=True), "Seconds that open requests have to end when the gateway stops."
    )
    tls: bool = _setting(False, Switch(), "Talk TLS with the chat server.")
    ca: str | None = _ca()
    cert: str | None = _cert()
    key: str | None = _key()
    server_name: str | None = _server_name()
    insecure_skip_verify: bool = _insecure_skip_verify()
    token_file: str | None = _setting(
        None, _FILE, "The file of the bearer token for the chat server, read for each call."
    )


@dataclass(frozen=True)
class MetricsSettings(_Section):
    """Metrics of the chat server, for Prometheus."""

    port: int | None = _setting(
        None,
        Integer(0, 65535, none=True),
        "The TCP port of GET /metrics and GET /healthz; 0 takes a free one.",
    )
    host: str = _setting(
        "127.0.0.1", _HOST, "Where that port listens; it asks nobody who they are."
    )


@dataclass(frozen=True)
class TracingSettings(_Section):
    """Traces of the chat server, by OpenTelemetry."""

    enabled: bool = _setting(
        False,
        Switch(),
        "A span for each call, in the trace that its client names.",
        flag="--tracing",
    )
    message_sampling: float = _setting(
        0.0, Ratio(), "The part of the messages that have a span of their own."
    )


@dataclass(frozen=True)
class LogSettings(_Section):
    """What is logged, to standard error."""

    level: str = _setting(
        "info", Choice(("debug", "info", "warning", "error")), "The least level that is logged."
    )
    format: str = _setting(
        "text", Choice(("text", "json")), "Lines for people, or one JSON object a line."
    )
    access: bool = _setting(
        False,
        Switch(),
        "Log each connection and session of the server, when it opens and when it closes.",
        flag="--access-log",
    )
    rate: tuple[int, float] = _setting(
        (200, 20.0), _RATE, "Lines of one kind that the server logs; the others are counted."
    )
    stall: float | None = _setting(
        1.0,
        Seconds(none=True),
        "Seconds for which the server's event loop may stand still before the log says where.",
    )


@dataclass(frozen=True)
class Settings:
    """All settings, by section."""

    server: ServerSettings = dataclasses.field(default_factory=ServerSettings)
    tls: TLSSettings = dataclasses.field(default_factory=TLSSettings)
    auth: AuthSettings = dataclasses.field(default_factory=AuthSettings)
    limits: LimitSettings = dataclasses.field(default_factory=LimitSettings)
    usage: UsageSettings = dataclasses.field(default_factory=UsageSettings)
    rooms: RoomSettings = dataclasses.field(default_factory=RoomSettings)
    client: ClientSettings = dataclasses.field(default_factory=ClientSettings)
    gateway: GatewaySettings = dataclasses.field(default_factory=GatewaySettings)
    metrics: MetricsSettings = dataclasses.field(default_factory=MetricsSettings)
    tracing: TracingSettings = dataclasses.field(default_factory=TracingSettings)
    log: LogSettings = dataclasses.field(default_factory=LogSettings)


SECTIONS: dict[str, type[_Section]] = {
    "server": ServerSettings,
    "tls": TLSSettings,
    "auth": AuthSettings,
    "limits": LimitSettings,
    "usage": UsageSettings,
    "rooms": RoomSettings,
    "client": ClientSettings,
    "gateway": GatewaySettings,
    "metrics": MetricsSettings,
    "tracing": TracingSettings,
    "log": LogSettings,
}


def _section_name(section: type[_Section]) -> str:
    return next(name for name, known in SECTIONS.items() if known is section)


@dataclass(frozen=True)
class Setting:
    """One setting, as a thing to look at."""

    section: str
    key: str
    kind: Kind
    doc: str
    default: Any
    own_flag: str | None

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"CHATIFY_STREAM_{self.section}_{self.key}".upper()

    @property
    def flag(self) -> str:
        """The flag that sets it, of commands that have it."""
        is_long = self.section in ("auth", "log", "metrics", "rooms", "tls", "tracing")
        words = f"{self.section}-{self.key}" if is_long else self.key
        return self.own_flag or "--" + words.replace("_", "-")


def all_settings() -> Iterator[Setting]:
    """Every setting, section by section."""
    for section, cls in SECTIONS.items():
        for field in dataclasses.fields(cls):
            about = field.metadata
            yield Setting(
                section, field.name, about["kind"], about["doc"], field.default, about["flag"]
            )


def problem_text(name: str, value: Any, kind: Kind, error: ValueError) -> str:
    """The sentence about a value that is not allowed."""
    reason = f" ({error})" if str(error) else ""
    if isinstance(kind, Secret):
        value = HIDDEN
    elif isinstance(value, str):
        value = hide_passwords(value)
    return f"{name} = {value!r} is not allowed: it has to be {kind.allowed}{reason}"
