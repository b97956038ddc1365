"""Loading a configuration: precedence of the sources, files, and all problems at once."""

from pathlib import Path

import pytest

from chatify_stream.config import (
    AuthSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    RoomSettings,
    Settings,
    TLSSettings,
    TracingSettings,
    UsageSettings,
    all_settings,
    load,
)
from chatify_stream.errors import ConfigError

from .loading import BYTES, PORT, RATE, WriteConfig, problems_of


class TestPrecedence:
    def test_nothing_given(self) -> None:
        """Without a file, variables and flags everything is the default."""
        loaded = load()
        assert loaded.settings == Settings()
        names = [setting.name for setting in all_settings()]
        assert dict(loaded.sources) == dict.fromkeys(names, "default")

    @pytest.mark.parametrize(
        ("in_file", "variable", "flag", "port", "source"),
        [
            (None, None, None, 9000, "default"),
            ("1", None, None, 1, "FILE"),
            (None, "2", None, 2, "CHATIFY_STREAM_SERVER_PORT"),
            ("1", "2", None, 2, "CHATIFY_STREAM_SERVER_PORT"),
            (None, None, "3", 3, "--port"),
            ("1", None, "3", 3, "--port"),
            (None, "2", "3", 3, "--port"),
            ("1", "2", "3", 3, "--port"),
        ],
    )
    def test_order(
        self,
        write: WriteConfig,
        in_file: str | None,
        variable: str | None,
        flag: str | None,
        port: int,
        source: str,
    ) -> None:
        """Flags win over variables, variables over the file, the file over the default."""
        file = None if in_file is None else write(f"[server]\nport = {in_file}\n")
        environ = {} if variable is None else {"CHATIFY_STREAM_SERVER_PORT": variable}
        flags: dict[str, str | bool] = {} if flag is None else {"server.port": flag}
        loaded = load(file, environ, flags)
        assert loaded.settings.server.port == port
        assert loaded.sources["server.port"] == (str(file) if source == "FILE" else source)

    def test_each_setting_on_its_own(self, write: WriteConfig) -> None:
        """A setting from each source leaves the other settings unchanged."""
        file = write('[client]\ntarget = "chat:1"\n[log]\nlevel = "debug"\n')
        environ = {"CHATIFY_STREAM_GATEWAY_TIMEOUT": "0.5", "PATH": "/bin"}
        loaded = load(file, environ, {"server.reflection": True})
        assert loaded.settings.client.target == "chat:1"
        assert loaded.settings.log.level == "debug"
        assert loaded.settings.gateway.timeout == 0.5
        assert loaded.settings.server.reflection is True
        given = {name: source for name, source in loaded.sources.items() if source != "default"}
        assert given == {
            "client.target": str(file),
            "log.level": str(file),
            "gateway.timeout": "CHATIFY_STREAM_GATEWAY_TIMEOUT",
            "server.reflection": "--reflection",
        }

    def test_wrong_value_that_another_overrides(self, write: WriteConfig) -> None:
        """A wrong value is a problem even if a flag overrides it."""
        file = write("[server]\nport = -1\n")
        assert problems_of(file, {}, {"server.port": "1"}) == [
            f"{file}: server.port = -1 is not allowed; use {PORT}"
        ]


class TestFile:
    def test_every_setting(self, write: WriteConfig) -> None:
        """Every setting can stand in the file, in TOML's own types."""
        file = write(
            """
            [server]
            host = "::"
            port = 0
            grace = 0.5
            workers = 3
            reply = "你好 {name}"
            paths = ["/a/b", "/c/d"]
            reflection = true
            proxy_protocol = true
            trusted_proxies = ["10.0.0.0/8", "::1"]
            [tls]
            cert = "tls.crt"
            key = "tls.key"
            client_ca = "clients.crt"
            require_client_cert = true
            min_version = "1.3"
            [auth]
            mode = "jwt"
            secret_file = "secret"
            keys = "https://id.example/jwks"
            audience = "chat"
            issuer = "id"
            leeway = 0
            default_rights = ["read"]
            certificate_user = "dns"
            admins = ["ops-*"]
            [limits]
            max_message_size = 1
            max_header_list_size = 2
            max_concurrent_streams = 3
            max_connections = "none"
            max_connections_per_address = 5
            connection_rate_per_address = "6, then 0.5/s"
            handshake_timeout = "none"
            first_call_timeout = "none"
            keepalive_time = "none"
            keepalive_timeout = 9
            write_timeout = "none"
            max_connection_age = 11
            max_connection_age_grace = 0.12
            pings = "13, then 1/s"
            resets = "14, then 2.5/s"
            settings = "15, then 3/s"
            glitches = "16, then 4/s"
            refusals = "18, then 5/s"
            max_control_backlog = 17
            [usage]
            messages_per_session = "1, then 2/s"
            messages_per_user = "3, then 4/s"
            messages_per_address = "5, then 6/s"
            bytes_per_session = "7, then 8/s"
            bytes_per_user = "9, then 10/s"
            bytes_per_address = "2147483647, then 12/s"
            joins_per_user = "none"
            joins_per_address = "13, then 14/s"
            rooms_per_user = 15
            rooms_per_address = 16
            sessions_per_user = "none"
            sessions_per_address = 18
            address_header = "forwarded"
            [rooms]
            enabled = false
            broker = "sqlite:///chat.db"
            retention_count = 0
            retention_age = 1
            retention = ["support-*: 5 messages, 1.5 s", " 世界 : 1 messages,2 s"]
            max_message_size = 3
            max_outbox = 4
            service = true
            port = 0
            host = "::1"
            [client]
            token = "abc"
            token_file = "token"
            target = "[::1]:1"
            timeout = "none"
            connect_timeout = 1
            wait_for_ready = true
            tls = true
            ca = "ca.crt"
            cert = "ada.crt"
            key = "ada.key"
            server_name = "chat.example"
            insecure_skip_verify = true
            [gateway]
            token_file = "token"
            host = "localhost"
            port = 65535
            target = "chat, [::1]:2"
            balancing = "round_robin"
            timeout = 1e-3
            grace = 0
            tls = true
            ca = "ca.crt"
            cert = "ada.crt"
            key = "ada.key"
            server_name = "chat.example"
            insecure_skip_verify = true
            [metrics]
            port = 9100
            host = "::1"
            [tracing]
            enabled = true
            message_sampling = 0.5
            [log]
            level = "error"
            format = "json"
            access = true
            rate = "18, then 5/s"
            stall = "none"
            """
        )
        loaded = load(file)
        assert set(loaded.sources.values()) == {str(file)}
        server, client = loaded.settings.server, loaded.settings.client
        assert (server.host, server.port, server.grace, server.workers) == ("::", 0, 0.5, 3)
        assert (server.reply, server.paths) == ("你好 {name}", ("/a/b", "/c/d"))
        assert server.reflection is True
        assert server.proxy_protocol is True
        assert server.trusted_proxies == ("10.0.0.0/8", "::1")
        assert loaded.settings.tls == TLSSettings("tls.crt", "tls.key", "clients.crt", True, "1.3")
        assert loaded.settings.limits == LimitSettings(
            max_message_size=1,
            max_header_list_size=2,
            max_concurrent_streams=3,
            max_connections=None,
            max_connections_per_address=5,
            connection_rate_per_address=(6, 0.5),
            handshake_timeout=None,
            first_call_timeout=None,
            keepalive_time=None,
            keepalive_timeout=9.0,
            write_timeout=None,
            max_connection_age=11.0,
            max_connection_age_grace=0.12,
            pings=(13, 1.0),
            resets=(14, 2.5),
            settings=(15, 3.0),
            glitches=(16, 4.0),
            refusals=(18, 5.0),
            max_control_backlog=17,
        )
        assert loaded.settings.usage == UsageSettings(
            messages_per_session=(1, 2.0),
            messages_per_user=(3, 4.0),
            messages_per_address=(5, 6.0),
            bytes_per_session=(7, 8.0),
            bytes_per_user=(9, 10.0),
            bytes_per_address=(2**31 - 1, 12.0),
            joins_per_user=None,
            joins_per_address=(13, 14.0),
            rooms_per_user=15,
            rooms_per_address=16,
            sessions_per_user=None,
            sessions_per_address=18,
            address_header="forwarded",
        )
        assert loaded.settings.rooms == RoomSettings(
            enabled=False,
            broker="sqlite:///chat.db",
            retention_count=0,
            retention_age=1.0,
            retention=(("support-*", 5, 1.5), ("世界", 1, 2.0)),
            max_message_size=3,
            max_outbox=4,
            service=True,
            port=0,
            host="::1",
        )
        assert (client.target, client.timeout, client.connect_timeout) == ("[::1]:1", None, 1.0)
        assert client.wait_for_ready
        gateway = loaded.settings.gateway
        assert (gateway.host, gateway.port, gateway.target) == ("localhost", 65535, "chat, [::1]:2")
        assert loaded.settings.auth == AuthSettings(
            "jwt",
            "secret",
            "https://id.example/jwks",
            "chat",
            "id",
            0.0,
            ("read",),
            "dns",
            ("ops-*",),
        )
        assert client.token == "abc"
        for each in (client, gateway):
            assert each.token_file == "token"
            assert (each.tls, each.insecure_skip_verify) == (True, True)
            assert (each.ca, each.cert, each.key) == ("ca.crt", "ada.crt", "ada.key")
            assert each.server_name == "chat.example"
        assert gateway.balancing == "round_robin"
        assert (gateway.timeout, gateway.grace) == (0.001, 0.0)
        assert loaded.settings.metrics == MetricsSettings(9100, "::1")
        assert loaded.settings.tracing == TracingSettings(True, 0.5)
        assert loaded.settings.log == LogSettings("error", "json", True, (18, 5.0), None)

    @pytest.mark.parametrize("content", ["", "# nothing\n", "[server]\n", "\ufeff[server]\n"])
    def test_empty(self, write: WriteConfig, content: str) -> None:
        """A file without settings, with or without a byte order mark, changes nothing."""
        assert load(write(content)).settings == Settings()

    def test_byte_order_mark(self, write: WriteConfig) -> None:
        """A byte order mark, which some editors write, is accepted."""
        assert load(write("\ufeff[server]\r\nport = 1\r\n")).settings.server.port == 1

    @pytest.mark.parametrize(
        ("line", "text"),
        [
            ("port = 70000", f"server.port = 70000 is not allowed; use {PORT}"),
            ('port = "9000"', f"server.port = '9000' is not allowed; use {PORT}"),
            ("port = true", f"server.port = True is not allowed; use {PORT}"),
            ("port = 1.5", f"server.port = 1.5 is not allowed; use {PORT}"),
            (
                "grace = nan",
                "server.grace = nan is not allowed; use a number of seconds from 0, up to 86400",
            ),
            (
                'paths = "/a/b"',
                "server.paths = '/a/b' is not allowed; use a list of paths such as "
                '"/service.v1.Service/Chat"',
            ),
            (
                'reflection = "yes"',
                "server.reflection = 'yes' is not allowed; use true or false",
            ),
        ],
    )
    def test_wrong_value(self, write: WriteConfig, line: str, text: str) -> None:
        """The error for a wrong value names file, key, value and the allowed values."""
        file = write(f"[server]\n{line}\n")
        assert problems_of(file) == [f"{file}: {text}"]

    @pytest.mark.parametrize(
        ("line", "text"),
        [
            ('max_message_size = "10 MB"', f"max_message_size = '10 MB' is not allowed; {BYTES}"),
            ("max_message_size = -1", f"max_message_size = -1 is not allowed; {BYTES}"),
            ('max_message_size = "none"', f"max_message_size = 'none' is not allowed; {BYTES}"),
            (
                "max_connections = 0",
                "max_connections = 0 is not allowed; use a whole number from 1 to "
                '2147483647, or "none"',
            ),
            (
                "write_timeout = 0",
                "write_timeout = 0 is not allowed; use a number of seconds above 0, up "
                'to 86400, or "none"',
            ),
            ("pings = 100", f"pings = 100 is not allowed; {RATE}"),
            ("pings = [100, 10]", f"pings = [100, 10] is not allowed; {RATE}"),
            ('pings = "100, then -1/s"', f"pings = '100, then -1/s' is not allowed; {RATE}"),
        ],
    )
    def test_no_limit(self, write: WriteConfig, line: str, text: str) -> None:
        """The error for a wrong limit has the same form."""
        file = write(f"[limits]\n{line}\n")
        assert problems_of(file) == [f"{file}: limits.{text}"]

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("[server]\nprot = 1", "server.prot = 1 is not a setting; did you mean port?"),
            (
                "[limits]\nmax-message-size = 1",
                "limits.max-message-size = 1 is not a setting; did you mean max_message_size?",
            ),
            (
                "[server]\nmax_message_size = 1",
                "server.max_message_size = 1 is not a setting; did you mean "
                "limits.max_message_size or rooms.max_message_size?",
            ),
            (
                "[log]\nports = 1",
                "log.ports = 1 is not a setting; did you mean server.port or rooms.port or "
                "gateway.port or metrics.port?",
            ),
            (
                "[gateway]\nx = 'x'",
                "gateway.x = 'x' is not a setting; use one of host, port, target, "
                "balancing, timeout, grace, tls, ca, cert, key, server_name, "
                "insecure_skip_verify, token_file",
            ),
            ("[servr]\nport = 1", "servr is not a section; did you mean server?"),
            (
                "[x]",
                "x is not a section; use one of server, tls, auth, limits, usage, rooms, client, "
                "gateway, metrics, tracing, log",
            ),
            (
                "port = 1",
                "port is not a section; use one of server, tls, auth, limits, usage, rooms, "
                "client, gateway, metrics, tracing, log",
            ),
            ("server = 1", "server = 1 is not allowed; use a table: [server]"),
            ("[[log]]", "log = [{}] is not allowed; use a table: [log]"),
            (
                "[server.port]\nnumber = 1",
                f"server.port = {{'number': 1}} is not allowed; use {PORT}",
            ),
        ],
    )
    def test_unknown(self, write: WriteConfig, content: str, text: str) -> None:
        """The error for an unknown key or section suggests a similar name, or lists all names."""
        file = write(content)
        assert problems_of(file) == [f"{file}: {text}"]

    @pytest.mark.parametrize(
        "content",
        [
            "[server",
            "port",
            "port = ",
            "[server]\nport = 1\nport = 2",
            "[server]\n[server]",
            pytest.param("port = " + "1" * 5000, id="too long a number"),
            pytest.param("port = " + "[" * 100_000, id="too deep an array"),
        ],
    )
    def test_broken_toml(self, write: WriteConfig, content: str) -> None:
        """A file that is not TOML is one problem, with the message of the parser."""
        file = write(content)
        [problem] = problems_of(file)
        start = f"{file}: not valid TOML: "
        assert problem.startswith(start)
        assert len(problem) > len(start)

    def test_where_toml_is_broken(self, write: WriteConfig) -> None:
        """The error contains the position in the file."""
        [problem] = problems_of(write("[server]\nport = 1\nhost = oops\n"))
        assert problem.endswith("(at line 3, column 8)")

    @pytest.mark.parametrize("content", [b"\xff\xfe[\x00", b"[server]\nreply = '\xb0'\n"])
    def test_not_utf8(self, write: WriteConfig, content: bytes) -> None:
        """The error for a file in another encoding says so."""
        file = write(content)
        assert problems_of(file) == [
            f"{file}: not UTF-8 text; the configuration must be a TOML file"
        ]

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is a problem."""
        file = tmp_path / "chat.toml"
        assert problems_of(file) == [f"{file}: cannot be read: No such file or directory"]

    def test_directory(self, tmp_path: Path) -> None:
        """A directory in place of a file is a problem."""
        assert problems_of(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_all_problems(write: WriteConfig) -> None:
    """Loading reports the problems of all sources."""
    file = write("[server]\nport = 70000\nprot = 5\n[servr]\n[client]\ntimeout = 0\n")
    environ = {"CHATIFY_STREAM_LOG_LEVEL": "loud", "CHATIFY_STREAM_NO": "1"}
    problems = problems_of(file, environ, {"server.grace": "-1", "server.host": ""})
    assert [problem.split(" ")[:2] for problem in problems] == [
        [f"{file}:", "server.port"],
        [f"{file}:", "server.prot"],
        [f"{file}:", "servr"],
        [f"{file}:", "client.timeout"],
        ["CHATIFY_STREAM_LOG_LEVEL:", "log.level"],
        ["CHATIFY_STREAM_NO:", "'1'"],
        ["--grace:", "server.grace"],
        ["--host:", "server.host"],
    ]


def test_broken_file_hides_no_other_problem(write: WriteConfig) -> None:
    """Variables and flags are checked even if the file cannot be read."""
    problems = problems_of(write("["), {"CHATIFY_STREAM_SERVER_PORT": "x"}, {"log.format": "x"})
    assert len(problems) == 3


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CHATIFY_STREAM_GATEWAY_PORT", "tcp://10.0.0.1:8010"),
        ("CHATIFY_STREAM_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("CHATIFY_STREAM_SERVER_SERVICE_PORT_GRPC", "9000"),
        ("CHATIFY_STREAM_SERVER_PORT_9000_TCP_ADDR", "10.0.0.1"),
        ("CHATIFY_STREAM_REDIS_MASTER_PORT", "tcp://10.0.0.1:6379"),
    ],
)
def test_service_links_of_longer_names(variable: str, value: str) -> None:
    """The variables that Kubernetes sets for chatify-stream-server and its like are ignored."""
    assert load(environ={variable: value}).settings == Settings()


def test_an_unknown_variable_far_from_all() -> None:
    """If no variable has a similar name, the error says where all are listed."""
    with pytest.raises(ConfigError) as caught:
        load(environ={"CHATIFY_STREAM_ZZZ": "1"})
    assert str(caught.value) == (
        "CHATIFY_STREAM_ZZZ: '1' is not a setting; `chatify-stream config init` lists all settings"
    )
