"""The settings: what they are, what they may be, and what they are by default.

Frozen, and checked when they are built; nothing here reads a file or the environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..address import check_broker_url, check_host, check_method_path, parse_target
from ..errors import ConfigError, ConfigProblem
from ..template import DEFAULT_TEMPLATE, reply_template
from .kinds import Choice, Integer, Kind, Rate, Retentions, Seconds, Switch, Text, Texts

__all__ = [
    "ClientSettings",
    "GatewaySettings",
    "LimitSettings",
    "LogSettings",
    "RoomSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "all_settings",
    "problem_text",
]


_HOST = Text('a host name or an IP address, such as "127.0.0.1" or "::"', check_host)
_ANY = "0.0.0.0"  # noqa: S104 - where the original service listens
_PORT = Integer(0, 65535)
_BYTES = Integer(1, 2**31 - 1, unit="bytes")
_RATE = Rate()
_TARGET = Text(
    'the address of the server, such as "localhost:9000", or several with commas between them',
    parse_target,
)


_TEN_YEARS = 3650 * 86400


def _setting(default: Any, kind: Kind, doc: str, *, flag: str | None = None) -> Any:
    """`flag` is that of the setting where it does not follow from its name."""
    return dataclasses.field(default=default, metadata={"kind": kind, "doc": doc, "flag": flag})


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
    max_control_backlog: int = _setting(
        256 * 1024, _BYTES, "Bytes of answers, to PING and the like, that a client has not read."
    )


@dataclass(frozen=True)
class RoomSettings(_Section):
    """The rooms of the chat server."""

    enabled: bool = _setting(
        True, Switch(), "Serve rooms, to calls with the metadata chat-room.", flag="--rooms"
    )
    broker: str = _setting(
        "memory://",
        Text('"memory://" or "sqlite:///PATH"', check_broker_url),
        "Where the messages are: memory:// is gone with the server, sqlite:///PATH is a file.",
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
        "127.0.0.1", _HOST, "Where that port listens; the service asks nobody who they are."
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


@dataclass(frozen=True)
class LogSettings(_Section):
    """What is logged, to standard error."""

    level: str = _setting(
        "info", Choice(("debug", "info", "warning", "error")), "The least level that is logged."
    )
    format: str = _setting(
        "text", Choice(("text", "json")), "Lines for people, or one JSON object a line."
    )


@dataclass(frozen=True)
class Settings:
    """All settings, by section."""

    server: ServerSettings = dataclasses.field(default_factory=ServerSettings)
    limits: LimitSettings = dataclasses.field(default_factory=LimitSettings)
    rooms: RoomSettings = dataclasses.field(default_factory=RoomSettings)
    client: ClientSettings = dataclasses.field(default_factory=ClientSettings)
    gateway: GatewaySettings = dataclasses.field(default_factory=GatewaySettings)
    log: LogSettings = dataclasses.field(default_factory=LogSettings)


SECTIONS: dict[str, type[_Section]] = {
    "server": ServerSettings,
    "limits": LimitSettings,
    "rooms": RoomSettings,
    "client": ClientSettings,
    "gateway": GatewaySettings,
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
        is_long = self.section in ("log", "rooms")
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
    return f"{name} = {value!r} is not allowed: it has to be {kind.allowed}{reason}"
