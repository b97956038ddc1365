"""The settings, with their allowed values, defaults and descriptions.

Nothing here reads a file or the environment. The sections `limits` and `usage` inherit their
settings from `Limits` and `UsageLimits`, where each limit is declared.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_type_hints

from ..address import check_header_name, check_host, check_method_path, check_network, parse_target
from ..limits import MAX_NUMBER, Limits, UsageLimits
from ..limits import Rate as RateLimit
from . import kinds
from .broker_url import KINDS, check_broker_url
from .section import Section, Setting, setting

_HOST = kinds.Text('a host name or an IP address, such as "127.0.0.1" or "::"', check_host)
_ANY = "0.0.0.0"  # noqa: S104 - the default of the original service
_PORT = kinds.Integer(0, 65535)
_BYTES = kinds.Integer(1, MAX_NUMBER, unit="bytes")
_TARGET = kinds.Text(
    'the address of the server, such as "localhost:9000", or several separated by commas',
    parse_target,
)
_TEN_YEARS = 3650 * 86400

_file = partial(setting, None, kinds.OptionalText("the path of a file"))
_switch = partial(setting, False, kinds.Switch())

# TLS settings of both ClientSettings and GatewaySettings. A base class would put them first.
_ca = partial(_file, "CA certificates to trust (PEM), instead of those of the system.")
_cert = partial(_file, "Client certificate chain (PEM).")
_key = partial(_file, "Private key (PEM), if it is not in the certificate file.")
_server_name = partial(
    setting,
    None,
    kinds.OptionalText("a host name or an IP address", check_host),
    "Name to expect in the certificate of the server, instead of the host of target.",
)
_insecure_skip_verify = partial(
    _switch, "Accept any certificate. For tests only: anyone can impersonate the server."
)


DEFAULT_TEMPLATE = "Hello {name}"


def reply_template(template: str) -> Callable[[str], str]:
    """Return a function that replaces each `{name}` in the template by its argument.

    `{{` and `}}` are literal braces. Raises `ValueError` for any other field, and for an unmatched
    brace.
    """
    pieces = [""]
    try:
        for text, field, spec, conversion in string.Formatter().parse(template):
            pieces[-1] += text
            if field is None:
                continue
            if field != "name" or spec or conversion:
                tail = (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                raise ValueError(f"unknown field {{{field}{tail}}}")
            pieces.append("")
    except ValueError as error:
        raise ValueError(
            f"{error}; write {{name}} for the message, and {{{{ or }}}} for a brace"
        ) from None
    return lambda name: name.join(pieces)


def _check_right(right: str) -> None:
    if right not in ("join", "send", "read", "admin"):
        raise ValueError(f"{right!r} is not a right")


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("a pattern is empty")


@dataclass(frozen=True)
class ServerSettings(Section, section="server"):
    """The chat server: `chatify-stream serve`."""

    host: str = setting(
        _ANY, _HOST, "Address to listen on; 0.0.0.0 stands for all IPv4 interfaces."
    )
    port: int = setting(9000, _PORT, "TCP port to listen on; 0 chooses a free port.")
    grace: float = setting(
        10.0, kinds.Seconds(allow_zero=True), "Seconds to let open calls finish on shutdown."
    )
    workers: int = setting(
        1,
        kinds.Integer(1, 1024),
        "Number of worker processes. More than one requires a shared broker (redis://).",
    )
    reply: str = setting(
        DEFAULT_TEMPLATE,
        kinds.Text("a text with {name} in place of the message", reply_template),
        "Reply to each message; {name} is replaced by the message.",
    )
    paths: tuple[str, ...] = setting(
        (),
        kinds.Texts('a list of paths such as "/service.v1.Service/Chat"', check_method_path),
        "Additional paths of the method Chat.",
    )
    reflection: bool = _switch("Enable server reflection, for tools such as grpcurl.")
    proxy_protocol: bool = _switch(
        "Expect a PROXY protocol header (version 1 or 2) from trusted proxies."
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        kinds.Texts('a list of IP addresses and networks such as "10.0.0.0/8"', check_network),
        "Proxies whose PROXY header or forwarded address is trusted.",
    )


@dataclass(frozen=True)
class TLSSettings(Section, section="tls"):
    """TLS of the chat server."""

    cert: str | None = _file("Certificate chain (PEM). Enables TLS.")
    key: str | None = _file("Private key (PEM), if it is not in the certificate file.")
    client_ca: str | None = _file("CA certificates (PEM) to verify client certificates with.")
    require_client_cert: bool = _switch("Reject clients without a valid certificate.")
    min_version: Literal["1.2", "1.3"] = setting(
        "1.2", kinds.Choice(("1.2", "1.3")), "Minimum TLS version."
    )


@dataclass(frozen=True)
class AuthSettings(Section, section="auth"):
    """Authentication of the callers of the chat server."""

    mode: Literal["off", "jwt", "certificate"] = setting(
        "off",
        kinds.Choice(("off", "jwt", "certificate")),
        "Authentication of callers: none, by a bearer token, or by a TLS client certificate.",
    )
    secret_file: str | None = _file(
        "File with the secret of HS256 tokens, at least 32 random bytes."
    )
    keys: str | None = setting(
        None,
        kinds.OptionalText("the path of a file, or an https:// URL"),
        "Keys to verify tokens with: a JWKS (file or https:// URL), or a public key (PEM file).",
    )
    audience: str | None = setting(
        None, kinds.OptionalText("a text"), "Required audience of a token (claim aud)."
    )
    issuer: str | None = setting(
        None, kinds.OptionalText("a text"), "Required issuer of a token (claim iss)."
    )
    leeway: float = setting(
        10.0,
        kinds.Seconds(allow_zero=True, maximum=300),
        "Allowed difference between the clocks of issuer and server, in seconds.",
    )
    default_rights: tuple[str, ...] = setting(
        ("join", "send", "read"),
        kinds.Texts("a list of join, send, read and admin", _check_right),
        "Rights in all rooms, for a token without the claim rooms and for a certificate.",
    )
    certificate_user: Literal["cn", "dns", "email", "uri"] = setting(
        "cn",
        kinds.Choice(("cn", "dns", "email", "uri")),
        "Certificate field that holds the user name: the common name, or an alternative name.",
    )
    admins: tuple[str, ...] = setting(
        (),
        kinds.Texts('a list of names or patterns such as "ops-*"', _check_pattern),
        "Users with the right admin in all rooms, regardless of their tokens.",
    )


@dataclass(frozen=True)
class LimitSettings(Section, Limits, section="limits"):
    """Limits of what one client of the chat server may cost."""


@dataclass(frozen=True)
class UsageSettings(Section, UsageLimits, section="usage"):
    """Limits for each session, each user and each address of the chat server."""

    address_header: str | None = setting(
        None,
        kinds.OptionalText('the name of a header such as "x-forwarded-for"', check_header_name),
        "Header in which server.trusted_proxies send the IP address of their client.",
    )


@dataclass(frozen=True)
class RoomSettings(Section, section="rooms"):
    """Rooms of the chat server."""

    enabled: bool = setting(
        True, kinds.Switch(), "Enable rooms, for calls with the metadata chat-room.", flag="--rooms"
    )
    broker: str = setting(
        "memory://",
        kinds.Text(KINDS, check_broker_url),
        "Storage of messages. memory:// is lost at shutdown; redis://HOST is shared by servers.",
        flag="--broker",
    )
    retention_count: int = setting(
        10_000, kinds.Integer(0, MAX_NUMBER), "Maximum number of messages that a room stores."
    )
    retention_age: float = setting(
        86_400.0, kinds.Seconds(maximum=_TEN_YEARS), "Seconds for which a room stores a message."
    )
    retention: tuple[tuple[str, int, float], ...] = setting(
        (),
        kinds.Retentions(_TEN_YEARS),
        "Retention of rooms whose names match a pattern; the first matching rule applies.",
    )
    max_message_size: int = setting(
        64 * 1024, _BYTES, "Maximum size of a message in a room, in bytes."
    )
    max_outbox: int = setting(
        1024 * 1024, _BYTES, "Maximum bytes buffered for one client; above it, its session ends."
    )
    service: bool = _switch(
        "Enable the Rooms service (chatify.rooms.v1.Rooms), for backends and operators."
    )
    port: int | None = setting(
        None,
        kinds.Integer(0, 65535, optional=True),
        "Separate TCP port for the Rooms service; 0 chooses a free port.",
    )
    host: str = setting(
        "127.0.0.1", _HOST, "Address of the Rooms port. Unauthenticated if auth.mode is off."
    )


@dataclass(frozen=True)
class ClientSettings(Section, section="client"):
    """The client commands, such as `chatify-stream send`."""

    target: str = setting(
        "localhost:9000", _TARGET, "Address of the server, or several separated by commas."
    )
    timeout: float | None = setting(
        None,
        kinds.Seconds(optional=True),
        "Timeout of a whole call in seconds, including connecting.",
    )
    connect_timeout: float = setting(
        10.0, kinds.Seconds(), "Timeout for connecting to the server, in seconds."
    )
    wait_for_ready: bool = _switch("Wait for a server that cannot be reached, until the timeout.")
    tls: bool = _switch("Use TLS.")
    ca: str | None = _ca()
    cert: str | None = _cert()
    key: str | None = _key()
    server_name: str | None = _server_name()
    insecure_skip_verify: bool = _insecure_skip_verify()
    token: str | None = setting(
        None,
        kinds.Secret(),
        "Bearer token. Other users can see a flag; prefer a file or the environment.",
    )
    token_file: str | None = _file("File with the bearer token, read for each call.")


@dataclass(frozen=True)
class GatewaySettings(Section, section="gateway"):
    """The HTTP gateway: `chatify-stream gateway`."""

    host: str = setting(
        _ANY, _HOST, "Address to listen on; 0.0.0.0 stands for all IPv4 interfaces."
    )
    port: int = setting(8010, _PORT, "TCP port to listen on; 0 chooses a free port.")
    target: str = setting(
        "localhost:9000", _TARGET, "Address of the chat server, or several separated by commas."
    )
    balancing: Literal["pick_first", "round_robin"] = setting(
        "pick_first",
        kinds.Choice(("pick_first", "round_robin")),
        "Use the first reachable chat server, or all of them in turn.",
    )
    timeout: float = setting(
        2.0, kinds.Seconds(), "Timeout for a reply of the chat server, in seconds."
    )
    grace: float = setting(
        10.0, kinds.Seconds(allow_zero=True), "Seconds to let open requests finish on shutdown."
    )
    tls: bool = _switch("Use TLS to the chat server.")
    ca: str | None = _ca()
    cert: str | None = _cert()
    key: str | None = _key()
    server_name: str | None = _server_name()
    insecure_skip_verify: bool = _insecure_skip_verify()
    token_file: str | None = _file(
        "File with the bearer token for the chat server, read for each call."
    )


@dataclass(frozen=True)
class MetricsSettings(Section, section="metrics"):
    """Metrics of the chat server, for Prometheus."""

    port: int | None = setting(
        None,
        kinds.Integer(0, 65535, optional=True),
        "TCP port of GET /metrics and GET /healthz; 0 chooses a free port.",
    )
    host: str = setting("127.0.0.1", _HOST, "Address of the metrics port. Unauthenticated.")


@dataclass(frozen=True)
class TracingSettings(Section, section="tracing"):
    """Traces of the chat server, with OpenTelemetry."""

    enabled: bool = _switch(
        "Record a span for each call, in the trace of its client.", flag="--tracing"
    )
    message_sampling: float = setting(
        0.0, kinds.Ratio(), "Fraction of the messages that get their own span."
    )


@dataclass(frozen=True)
class LogSettings(Section, section="log"):
    """The log, written to standard error."""

    level: str = setting(
        "info", kinds.Choice(("debug", "info", "warning", "error")), "Minimum log level."
    )
    format: str = setting(
        "text", kinds.Choice(("text", "json")), "Text lines, or one JSON object per line."
    )
    access: bool = _switch(
        "Log each connection and session when it opens and closes.", flag="--access-log"
    )
    rate: RateLimit = setting(
        RateLimit(200, 20.0),
        kinds.Rate(),
        "Maximum rate of similar log lines; further lines are only counted.",
    )
    stall: float | None = setting(
        1.0,
        kinds.Seconds(optional=True),
        "Seconds after which a blocked event loop is logged, with its stack.",
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


SECTIONS: dict[str, type[Section]] = get_type_hints(Settings)


def all_settings() -> Iterator[Setting]:
    """Yield the description of every setting, section by section."""
    for section in SECTIONS.values():
        yield from section.describe()
