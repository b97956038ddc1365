"""Loading a configuration from environment variables and flags."""

from typing import Any

import pytest

from chatify_stream.config import (
    CONFIG_VARIABLE,
    Settings,
    all_settings,
    load,
)
from chatify_stream.config.kinds import Texts

from .loading import BYTES, PORT, problems_of


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variable", "text", "name", "value"),
        [
            ("CHATIFY_STREAM_SERVER_PORT", "1", "server.port", 1),
            ("CHATIFY_STREAM_SERVER_HOST", "::", "server.host", "::"),
            ("CHATIFY_STREAM_SERVER_REPLY", "你好 {name}", "server.reply", "你好 {name}"),
            ("CHATIFY_STREAM_SERVER_PATHS", "/a/b, /c/d", "server.paths", ("/a/b", "/c/d")),
            ("CHATIFY_STREAM_SERVER_PATHS", "", "server.paths", ()),
            ("CHATIFY_STREAM_SERVER_REFLECTION", "true", "server.reflection", True),
            ("CHATIFY_STREAM_SERVER_REFLECTION", "False", "server.reflection", False),
            ("CHATIFY_STREAM_CLIENT_TIMEOUT", "none", "client.timeout", None),
            ("CHATIFY_STREAM_CLIENT_TIMEOUT", "1.5", "client.timeout", 1.5),
            ("CHATIFY_STREAM_LOG_FORMAT", "json", "log.format", "json"),
            ("CHATIFY_STREAM_LIMITS_MAX_CONNECTIONS", "none", "limits.max_connections", None),
            ("CHATIFY_STREAM_LIMITS_SETTINGS", "5, then 1/s", "limits.settings", (5, 1.0)),
        ],
    )
    def test_value(self, variable: str, text: str, name: str, value: Any) -> None:
        """The text of a variable stands for the value that the file would have."""
        loaded = load(environ={variable: text})
        section, key = name.split(".")
        assert getattr(getattr(loaded.settings, section), key) == value
        assert loaded.sources[name] == variable

    @pytest.mark.parametrize("setting", list(all_settings()), ids=lambda setting: setting.name)
    def test_every_setting_has_a_variable(self, setting: Any) -> None:
        """Every setting can be set by its variable."""
        toml = setting.kind.to_toml(setting.default)
        text = "" if toml == "[]" else toml.strip('"')
        if isinstance(setting.kind, Texts):
            text = ", ".join(setting.default)
        loaded = load(environ={setting.variable: text})
        assert loaded.settings == Settings()
        assert loaded.sources[setting.name] == setting.variable

    def test_wrong_value(self) -> None:
        """The error for a wrong value names variable, key, value and the allowed values."""
        assert problems_of(environ={"CHATIFY_STREAM_SERVER_PORT": "many"}) == [
            f"CHATIFY_STREAM_SERVER_PORT: server.port = 'many' is not allowed; use {PORT}"
        ]

    def test_not_utf8(self) -> None:
        """A variable that is not UTF-8 is rejected when it is loaded, not at the first reply."""
        [problem] = problems_of(environ={"CHATIFY_STREAM_SERVER_REPLY": "\udcff{name}"})
        assert problem == (
            r"CHATIFY_STREAM_SERVER_REPLY: server.reply = '\udcff{name}' is not allowed; use "
            "a text with {name} in place of the message (not UTF-8 text)"
        )

    @pytest.mark.parametrize(
        ("variable", "nearest"),
        [
            ("CHATIFY_STREAM_SERVER_PROT", "CHATIFY_STREAM_SERVER_PORT"),
            ("CHATIFY_STREAM_TARGET", "CHATIFY_STREAM_CLIENT_TARGET"),
            ("CHATIFY_STREAM_GATEWAY_TIMEOUTS", "CHATIFY_STREAM_GATEWAY_TIMEOUT"),
            ("CHATIFY_STREAM_CONFIGS", "CHATIFY_STREAM_CONFIG"),
            ("CHATIFY_STREAM_LIMITS_PING", "CHATIFY_STREAM_LIMITS_PINGS"),
            (
                "CHATIFY_STREAM_SERVER_MAX_MESSAGE_SIZE",
                "CHATIFY_STREAM_LIMITS_MAX_MESSAGE_SIZE or CHATIFY_STREAM_ROOMS_MAX_MESSAGE_SIZE",
            ),
            ("CHATIFY_STREAM_server_port", "CHATIFY_STREAM_SERVER_PORT"),
        ],
    )
    def test_unknown(self, variable: str, nearest: str) -> None:
        """The error for an unknown variable with our prefix suggests a similar name."""
        assert problems_of(environ={variable: "1"}) == [
            f"{variable}: '1' is not a setting; did you mean {nearest}?"
        ]

    @pytest.mark.parametrize(
        "variable",
        [
            "CHATIFY_STREAM_SERVICE_HOST",
            "CHATIFY_STREAM_SERVICE_PORT",
            "CHATIFY_STREAM_SERVICE_PORT_GRPC",
            "CHATIFY_STREAM_PORT",
            "CHATIFY_STREAM_PORT_9000_TCP",
            "CHATIFY_STREAM_PORT_9000_TCP_PROTO",
            "CHATIFY_STREAM_PORT_9000_TCP_PORT",
            "CHATIFY_STREAM_PORT_9000_TCP_ADDR",
        ],
    )
    def test_service_links(self, variable: str) -> None:
        """Variables that Kubernetes sets for a service of our name are ignored."""
        loaded = load(environ={variable: "tcp://10.0.0.1:9000"})
        assert loaded.settings == Settings()
        assert set(loaded.sources.values()) == {"default"}

    @pytest.mark.parametrize(
        "variable", [CONFIG_VARIABLE, "PATH", "CHATIFY", "CHATIFY_STREAMING", "chatify_stream_x"]
    )
    def test_other_variables(self, variable: str) -> None:
        """Other variables, and the one with the path of the file, are ignored."""
        assert CONFIG_VARIABLE == "CHATIFY_STREAM_CONFIG"
        assert load(environ={variable: "x"}).settings == Settings()


class TestFlags:
    @pytest.mark.parametrize(
        ("name", "given", "value"),
        [
            ("server.port", "0", 0),
            ("server.reflection", True, True),
            ("server.reflection", False, False),
            ("server.paths", "/a/b", ("/a/b",)),
            ("client.timeout", "none", None),
            ("log.level", "debug", "debug"),
        ],
    )
    def test_value(self, name: str, given: str | bool, value: Any) -> None:
        """Flags are text, switches are given as they are."""
        loaded = load(flags={name: given})
        section, key = name.split(".")
        assert getattr(getattr(loaded.settings, section), key) == value

    @pytest.mark.parametrize(
        ("name", "given", "text"),
        [
            ("server.port", "x", f"--port: server.port = 'x' is not allowed; use {PORT}"),
            (
                "limits.max_message_size",
                "0",
                f"--max-message-size: limits.max_message_size = '0' is not allowed; {BYTES}",
            ),
            (
                "log.level",
                "loud",
                "--log-level: log.level = 'loud' is not allowed; use one of "
                '"debug", "info", "warning", "error"',
            ),
        ],
    )
    def test_wrong_value(self, name: str, given: str, text: str) -> None:
        """The error for a wrong value names flag, key, value and the allowed values."""
        assert problems_of(flags={name: given}) == [text]
