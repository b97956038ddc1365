"""Settings written as TOML, and for another process."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatify_stream.config import (
    LimitSettings,
    RoomSettings,
    ServerSettings,
    Settings,
    all_settings,
    dump_settings,
    load,
    render_default,
    render_effective,
    restore_settings,
)
from chatify_stream.config.kinds import (
    Choice,
    Integer,
    Kind,
    Rate,
    Ratio,
    Retentions,
    Seconds,
    Switch,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendering") / "chat.toml"


def test_default_is_the_defaults(file: Path) -> None:
    """The default file is complete, and read back it is exactly the defaults."""
    file.write_text(render_default(), encoding="utf-8")
    loaded = load(file)
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {str(file)}


@pytest.mark.parametrize("setting", list(all_settings()), ids=lambda setting: setting.name)
def test_default_explains(setting: Any) -> None:
    """Each setting is preceded by its meaning and its allowed values."""
    toml = setting.kind.to_toml(setting.default)
    assert (
        f"\n# {setting.doc}\n# Allowed: {setting.kind.allowed}.\n{setting.key} = {toml}\n"
        in render_default()
    )


def test_default_ends_with_one_newline() -> None:
    """The default file is a text file as editors like it."""
    lines = render_default().split("\n")
    assert lines[-1] == ""
    assert all(line == line.rstrip() and len(line) <= 100 for line in lines)
    assert lines[-2] != ""


def test_effective_defaults() -> None:
    """Each value in effect has a comment with its source."""
    text = render_effective(load())
    assert text.startswith(
        "[server]\n"
        'host = "0.0.0.0"        # default\n'
        "port = 9000             # default\n"
        "grace = 10              # default\n"
        "workers = 1             # default\n"
        'reply = "Hello {name}"  # default\n'
        "paths = []              # default\n"
        "reflection = false      # default\n"
        "proxy_protocol = false  # default\n"
        "trusted_proxies = []    # default\n"
        "\n"
        "[tls]\n"
        'cert = "none"                # default\n'
    )
    assert (
        "\n"
        "[limits]\n"
        "max_message_size = 4194304            # default\n"
        "max_header_list_size = 16384          # default\n"
        "max_concurrent_streams = 1000         # default\n"
        "max_connections = 20000               # default\n"
        'max_connections_per_address = "none"  # default\n'
    ) in text


def test_effective_sources(file: Path) -> None:
    """The sources are the file, the variable and the flag by their names."""
    file.write_text("[log]\nlevel = 'debug'\n", encoding="utf-8")
    text = render_effective(
        load(file, {"CHATIFY_STREAM_GATEWAY_PORT": "1"}, {"server.reply": "# {name}"})
    )
    lines = {tuple(part.strip() for part in line.split("  # ")) for line in text.splitlines()}
    assert ('level = "debug"', str(file)) in lines
    assert ("port = 1", "CHATIFY_STREAM_GATEWAY_PORT") in lines
    assert ('reply = "# {name}"', "--reply") in lines
    assert ("port = 9000", "default") in lines


def templates() -> st.SearchStrategy[str]:
    escaped = st.text().map(lambda text: text.replace("{", "{{").replace("}", "}}"))
    return st.lists(escaped).map("{name}".join)


def values(name: str, kind: Kind) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a setting in a TOML file."""
    match kind:
        case Integer():
            whole = st.integers(kind.minimum, kind.maximum)
            return whole | st.just("none") if kind.optional else whole
        case Seconds():
            numbers = st.floats(0, kind.maximum, exclude_min=not kind.allow_zero)
            numbers |= st.integers(1, kind.maximum)
            return numbers | st.just("none") if kind.optional else numbers
        case Rate():
            numbers = st.floats(0, kind.maximum, exclude_min=True)
            rates = st.builds("{}, then {}/s".format, st.integers(1, kind.maximum), numbers)
            return rates | st.just("none") if kind.optional else rates
        case Retentions():
            numbers = st.integers(0, 2**31 - 1)
            ages = st.floats(0, kind.max_seconds, exclude_min=True)
            names = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)
            names = names.filter(lambda name: "\n" not in name)
            return st.lists(st.builds("{}: {} messages, {} s".format, names, numbers, ages))
        case Ratio():
            return st.floats(0, 1)
        case Ratio():
            return st.floats(0, 1)
        case Choice():
            return st.sampled_from(kind.words)
        case Switch():
            return st.booleans()
    match name.partition(".")[2]:
        case "host":
            return st.ip_addresses().map(str) | st.sampled_from(["localhost", "例え.jp"])
        case "target":
            return st.integers(1, 65535).map("[::1]:{}".format)
        case "paths":
            segment = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
            segment = segment.filter(lambda text: "/" not in text)
            return st.lists(st.builds("/{}/{}".format, segment, segment))
        case "broker":
            return st.sampled_from(
                ["memory://", "sqlite:///聊天.db", "sqlite:////x/y.db", "redis://h/1"]
            )
        case "reply":
            return templates()
        case "secret_file" | "keys" | "audience" | "issuer" | "token_file":
            return st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
        case "trusted_proxies":
            return st.lists(st.ip_addresses().map(str) | st.just("10.0.0.0/8"))
        case "address_header":
            return st.sampled_from(["x-forwarded-for", "forwarded"])
        case "token":
            return st.just("none")  # another one is not shown
        case "default_rights":
            return st.lists(st.sampled_from(["join", "send", "read", "admin"]))
        case "admins":
            return st.lists(st.text(st.characters(codec="utf-8"), min_size=1))
        case "cert" | "key" | "client_ca" | "ca":
            return st.just("none") | st.sampled_from(["server.pem", "/etc/证书/tls.crt"])
        case "server_name":
            return st.just("none") | st.sampled_from(["chat.example", "::1"])
    raise AssertionError(f"no values for {name}: add them here")


any_values = st.fixed_dictionaries(
    {setting.name: values(setting.name, setting.kind) for setting in all_settings()}
)


@settings(deadline=None)
@given(any_values)
def test_effective_round_trip(file: Path, given: dict[str, Any]) -> None:
    """The settings in effect are written as TOML that loads as the same settings."""
    loaded = load(flags=given)
    text = render_effective(loaded)
    tables = tomllib.loads(text)
    assert {f"{section}.{key}" for section in tables for key in tables[section]} == given.keys()
    file.write_text(text, encoding="utf-8", newline="")
    assert load(file).settings == loaded.settings


def test_dump_defaults() -> None:
    """Dumped settings are one line, and are restored unchanged."""
    line = dump_settings(Settings())
    assert "\n" not in line
    assert restore_settings(line) == Settings()


def test_dump_every_kind() -> None:
    """Values of every kind are restored, including no limit and special characters."""
    dumped = dataclasses.replace(
        Settings(),
        server=ServerSettings(
            host="::1",
            grace=0.5,
            reply='{name}: "你好"\n\\ \U0001f600',
            paths=("/a.B/C", "/D/E"),
            reflection=True,
        ),
        limits=LimitSettings(max_connections=None, keepalive_time=None, pings=(7, 0.25)),
        rooms=RoomSettings(retention=(("a*", 10, 60.0), ("b", 0, 1.5)), port=9100),
    )
    assert restore_settings(dump_settings(dumped)) == dumped
