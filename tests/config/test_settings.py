"""The settings: their defaults, their names, and the checks when they are built."""

import dataclasses
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream.config import (
    AuthSettings,
    ClientSettings,
    GatewaySettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    RoomSettings,
    ServerSettings,
    Setting,
    Settings,
    TLSSettings,
    TracingSettings,
    UsageSettings,
    all_settings,
)
from chatify_stream.config.settings import DEFAULT_TEMPLATE, reply_template
from chatify_stream.errors import ConfigError, ConfigProblem

DEFAULTS: dict[str, Any] = {
    "server.host": "0.0.0.0",
    "server.port": 9000,
    "server.grace": 10.0,
    "server.workers": 1,
    "server.reply": "Hello {name}",
    "server.paths": (),
    "server.reflection": False,
    "server.proxy_protocol": False,
    "server.trusted_proxies": (),
    "tls.cert": None,
    "tls.key": None,
    "tls.client_ca": None,
    "tls.require_client_cert": False,
    "tls.min_version": "1.2",
    "auth.mode": "off",
    "auth.secret_file": None,
    "auth.keys": None,
    "auth.audience": None,
    "auth.issuer": None,
    "auth.leeway": 10.0,
    "auth.default_rights": ("join", "send", "read"),
    "auth.certificate_user": "cn",
    "auth.admins": (),
    "limits.max_message_size": 4194304,
    "limits.max_header_list_size": 16384,
    "limits.max_concurrent_streams": 1000,
    "limits.max_connections": 20000,
    "limits.max_connections_per_address": None,
    "limits.connection_rate_per_address": None,
    "limits.handshake_timeout": 10.0,
    "limits.first_call_timeout": 60.0,
    "limits.keepalive_time": 30.0,
    "limits.keepalive_timeout": 10.0,
    "limits.write_timeout": 30.0,
    "limits.max_connection_age": None,
    "limits.max_connection_age_grace": 30.0,
    "limits.pings": (100, 10.0),
    "limits.resets": (1000, 100.0),
    "limits.settings": (100, 10.0),
    "limits.glitches": (1000, 200.0),
    "limits.refusals": (2000, 200.0),
    "limits.max_control_backlog": 262144,
    "usage.messages_per_session": None,
    "usage.messages_per_user": None,
    "usage.messages_per_address": None,
    "usage.bytes_per_session": None,
    "usage.bytes_per_user": None,
    "usage.bytes_per_address": None,
    "usage.joins_per_user": (200, 20.0),
    "usage.joins_per_address": None,
    "usage.rooms_per_user": 100,
    "usage.rooms_per_address": None,
    "usage.sessions_per_user": 1000,
    "usage.sessions_per_address": None,
    "usage.address_header": None,
    "rooms.enabled": True,
    "rooms.broker": "memory://",
    "rooms.retention_count": 10_000,
    "rooms.retention_age": 86400.0,
    "rooms.retention": (),
    "rooms.max_message_size": 65536,
    "rooms.max_outbox": 1048576,
    "rooms.service": False,
    "rooms.port": None,
    "rooms.host": "127.0.0.1",
    "client.target": "localhost:9000",
    "client.timeout": None,
    "client.connect_timeout": 10.0,
    "client.wait_for_ready": False,
    "client.tls": False,
    "client.ca": None,
    "client.cert": None,
    "client.key": None,
    "client.server_name": None,
    "client.insecure_skip_verify": False,
    "client.token": None,
    "client.token_file": None,
    "gateway.host": "0.0.0.0",
    "gateway.port": 8010,
    "gateway.target": "localhost:9000",
    "gateway.balancing": "pick_first",
    "gateway.timeout": 2.0,
    "gateway.grace": 10.0,
    "gateway.tls": False,
    "gateway.ca": None,
    "gateway.cert": None,
    "gateway.key": None,
    "gateway.server_name": None,
    "gateway.insecure_skip_verify": False,
    "gateway.token_file": None,
    "metrics.port": None,
    "metrics.host": "127.0.0.1",
    "tracing.enabled": False,
    "tracing.message_sampling": 0.0,
    "log.level": "info",
    "log.format": "text",
    "log.access": False,
    "log.rate": (200, 20.0),
    "log.stall": 1.0,
}
NAMES = {field.default_factory: field.name for field in dataclasses.fields(Settings)}
SECTIONS = [
    ServerSettings,
    TLSSettings,
    AuthSettings,
    LimitSettings,
    UsageSettings,
    RoomSettings,
    ClientSettings,
    GatewaySettings,
    MetricsSettings,
    TracingSettings,
    LogSettings,
]
HOST = 'use a host name or an IP address, such as "127.0.0.1" or "::"'


def test_defaults() -> None:
    """The settings and their defaults are these."""
    settings = Settings()
    values = {
        f"{section.name}.{field.name}": getattr(getattr(settings, section.name), field.name)
        for section in dataclasses.fields(settings)
        for field in dataclasses.fields(getattr(settings, section.name))
    }
    assert values == DEFAULTS
    assert {setting.name: setting.default for setting in all_settings()} == DEFAULTS


@pytest.mark.parametrize("setting", list(all_settings()), ids=lambda setting: setting.name)
def test_setting(setting: Setting) -> None:
    """Every setting has its variable and flag, a sentence about it, and a default it allows."""
    assert setting.variable == f"CHATIFY_STREAM_{setting.section}_{setting.key}".upper()
    assert setting.flag.startswith("--")
    assert setting.doc.endswith(".")
    assert setting.kind.check(setting.default) == setting.default


@pytest.mark.parametrize(
    ("name", "variable", "flag"),
    [
        ("server.port", "CHATIFY_STREAM_SERVER_PORT", "--port"),
        (
            "limits.max_message_size",
            "CHATIFY_STREAM_LIMITS_MAX_MESSAGE_SIZE",
            "--max-message-size",
        ),
        ("gateway.port", "CHATIFY_STREAM_GATEWAY_PORT", "--port"),
        ("client.connect_timeout", "CHATIFY_STREAM_CLIENT_CONNECT_TIMEOUT", "--connect-timeout"),
        ("auth.mode", "CHATIFY_STREAM_AUTH_MODE", "--auth-mode"),
        ("client.token_file", "CHATIFY_STREAM_CLIENT_TOKEN_FILE", "--token-file"),
        ("rooms.enabled", "CHATIFY_STREAM_ROOMS_ENABLED", "--rooms"),
        ("rooms.broker", "CHATIFY_STREAM_ROOMS_BROKER", "--broker"),
        ("rooms.port", "CHATIFY_STREAM_ROOMS_PORT", "--rooms-port"),
        ("metrics.port", "CHATIFY_STREAM_METRICS_PORT", "--metrics-port"),
        ("tracing.enabled", "CHATIFY_STREAM_TRACING_ENABLED", "--tracing"),
        (
            "tracing.message_sampling",
            "CHATIFY_STREAM_TRACING_MESSAGE_SAMPLING",
            "--tracing-message-sampling",
        ),
        ("log.level", "CHATIFY_STREAM_LOG_LEVEL", "--log-level"),
        ("log.format", "CHATIFY_STREAM_LOG_FORMAT", "--log-format"),
        ("log.access", "CHATIFY_STREAM_LOG_ACCESS", "--access-log"),
        ("log.stall", "CHATIFY_STREAM_LOG_STALL", "--log-stall"),
    ],
)
def test_names(name: str, variable: str, flag: str) -> None:
    """Variables and flags follow from the section and the key."""
    [setting] = [setting for setting in all_settings() if setting.name == name]
    assert (setting.variable, setting.flag) == (variable, flag)


def test_variables_are_unique() -> None:
    """No two settings share a variable, and within a section none share a flag."""
    settings = list(all_settings())
    assert len({setting.variable for setting in settings}) == len(settings)
    assert len({(setting.section, setting.flag) for setting in settings}) == len(settings)


@pytest.mark.parametrize("section", SECTIONS)
def test_frozen(section: type[Any]) -> None:
    """No setting can be changed after it was checked."""
    settings = section()
    for field in dataclasses.fields(section):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field.name, field.default)


def test_settings_are_frozen() -> None:
    """No section can be replaced."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().server = ServerSettings()


def test_conversion() -> None:
    """A value is converted to the type of its setting."""
    settings = ServerSettings(grace=3, paths=["/a/b"])
    assert settings.paths == ("/a/b",)
    assert type(settings.grace) is float


@pytest.mark.parametrize(
    ("section", "key", "value", "text"),
    [
        (ServerSettings, "host", "", f"{HOST} (the host is missing)"),
        (ServerSettings, "host", "a b", f"{HOST} (the host contains a space)"),
        (ServerSettings, "host", None, HOST),
        (ServerSettings, "port", 65536, "use a whole number from 0 to 65535"),
        (ServerSettings, "port", True, "use a whole number from 0 to 65535"),
        (ServerSettings, "grace", -1, "use a number of seconds from 0, up to 86400"),
        (
            ServerSettings,
            "reply",
            "{0}",
            "use a text with {name} in place of the message (unknown field {0}; "
            "write {name} for the message, and {{ or }} for a brace)",
        ),
        (
            ServerSettings,
            "paths",
            ["/Chat"],
            "use a list of paths such as \"/service.v1.Service/Chat\" ('/Chat' is not "
            "the path of a gRPC method; write /Service/Method, as in /service.v1.Service/Chat)",
        ),
        (ServerSettings, "reflection", 1, "use true or false"),
        (
            LimitSettings,
            "max_message_size",
            0,
            "use a whole number of bytes from 1 to 2147483647",
        ),
        (
            LimitSettings,
            "max_connections",
            -1,
            'use a whole number from 1 to 2147483647, or "none"',
        ),
        (
            LimitSettings,
            "pings",
            (0, 1),
            'use a rate such as "100, then 10/s"; both numbers above 0, up to 1000000, '
            "the first whole",
        ),
        (AuthSettings, "mode", "on", 'use one of "off", "jwt", "certificate"'),
        (
            AuthSettings,
            "default_rights",
            ["write"],
            "use a list of join, send, read and admin ('write' is not a right)",
        ),
        (
            AuthSettings,
            "admins",
            [""],
            'use a list of names or patterns such as "ops-*" (a pattern is empty)',
        ),
        (
            ClientSettings,
            "target",
            "localhost:0",
            'use the address of the server, such as "localhost:9000", or several '
            "separated by commas ('localhost:0' is not an address: the port '0' is not a number "
            "from 1 to 65535; write HOST:PORT, as in localhost:9000)",
        ),
        (
            ClientSettings,
            "timeout",
            0,
            'use a number of seconds above 0, up to 86400, or "none"',
        ),
        (
            ClientSettings,
            "connect_timeout",
            None,
            "use a number of seconds above 0, up to 86400",
        ),
        (GatewaySettings, "port", "8010", "use a whole number from 0 to 65535"),
        (GatewaySettings, "timeout", 0, "use a number of seconds above 0, up to 86400"),
        (MetricsSettings, "port", -1, 'use a whole number from 0 to 65535, or "none"'),
        (MetricsSettings, "host", "no host", f"{HOST} (the host contains a space)"),
        (TracingSettings, "message_sampling", 1.5, "use a number from 0 to 1"),
        (LogSettings, "level", "INFO", 'use one of "debug", "info", "warning", "error"'),
        (LogSettings, "format", "xml", 'use one of "text", "json"'),
    ],
)
def test_checked_when_built(section: type[Any], key: str, value: Any, text: str) -> None:
    """Creating settings with a wrong value raises an error with the allowed values."""
    name = f"{NAMES[section]}.{key}"
    with pytest.raises(ConfigError) as caught:
        section(**{key: value})
    assert caught.value.problems == (
        ConfigProblem(section.__name__, f"{name} = {value!r} is not allowed; {text}"),
    )


def test_all_problems() -> None:
    """Building settings reports all that is wrong, not the first alone."""
    with pytest.raises(ConfigError) as caught:
        ServerSettings(port=-1, grace=-1, reflection="no")
    assert [problem.text.split(" ")[0] for problem in caught.value.problems] == [
        "server.port",
        "server.grace",
        "server.reflection",
    ]


def test_replace_is_checked() -> None:
    """Settings made from others are checked too."""
    with pytest.raises(ConfigError, match=r"^GatewaySettings: gateway\.port = 70000 is not"):
        dataclasses.replace(GatewaySettings(), port=70000)


HINT = "; write {name} for the message, and {{ or }} for a brace"


@pytest.mark.parametrize(
    ("template", "reply"),
    [
        ("Hello {name}", "Hello Ada"),
        ("{name}", "Ada"),
        ("{name}, {name} and {name}", "Ada, Ada and Ada"),
        ("{name}{name}", "AdaAda"),
        ("no field", "no field"),
        ("", ""),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Ada}"),
        ("}}{name}{{", "}Ada{"),
        ("你好，{name}！", "你好，Ada！"),
        ("🎉 {name}\n%s $name", "🎉 Ada\n%s $name"),
    ],
)
def test_reply_template(template: str, reply: str) -> None:
    """The message replaces each {name}; doubled braces are braces."""
    assert reply_template(template)("Ada") == reply


@pytest.mark.parametrize(
    "message", ["", "{name}", "{{name}}", "{", "}", "{0}", "{name.__class__}", "小明", "\0", "%s"]
)
def test_reply_does_not_expand_the_message(message: str) -> None:
    """Braces in the message are not expanded."""
    assert reply_template("{name}|{name}")(message) == f"{message}|{message}"


@pytest.mark.parametrize(
    "field",
    [
        *("{}", "{0}", "{nam}", "{Name}", "{ name }", "{名}", "{name.x}", "{name[0]}"),
        *("{name!r}", "{name!s}", "{name:>5}", "{name:{width}}", "{name!r:>5}"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "Hello {{name}} and {}"])
def test_reply_template_with_another_field(field: str, around: str) -> None:
    """Any other field is rejected, and the error shows it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        reply_template(around.format(field))
    assert str(caught.value) == f"unknown field {field}{HINT}"


@pytest.mark.parametrize(
    "template", ["{", "}", "a{", "a}b", "{name", "name}", "{name}}", "{{name}"]
)
def test_reply_template_with_a_lone_brace(template: str) -> None:
    """A brace without its partner is refused, with how to write it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the end of the text is compared
        reply_template(template)
    assert str(caught.value).endswith(HINT)
    assert len(str(caught.value)) > len(HINT)


def test_default_template() -> None:
    """The default reply greets."""
    assert DEFAULT_TEMPLATE == "Hello {name}"


@hypothesis.settings(deadline=None)
@given(parts=st.lists(st.text(), min_size=1), message=st.text())
def test_reply_template_with_any_text(parts: list[str], message: str) -> None:
    """Any text with doubled braces appears unchanged around the messages."""
    template = "{name}".join(part.replace("{", "{{").replace("}", "}}") for part in parts)
    assert reply_template(template)(message) == message.join(parts)
