"""What the package and its modules export."""

import ast
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import chatify_stream

PUBLIC = [
    "AddressHeader",
    "Authenticator",
    "Backoff",
    "BrokerError",
    "CallError",
    "CancelledCallError",
    "CertificateAuthenticator",
    "Channel",
    "ChannelState",
    "ChatClient",
    "ChatReq",
    "ChatRsp",
    "ChatServer",
    "ChatifyError",
    "ClientTLS",
    "ClosedError",
    "ConfigError",
    "Connected",
    "Credentials",
    "DeadlineExceededError",
    "DirectChat",
    "Event",
    "Gap",
    "Grants",
    "HealthService",
    "Identity",
    "Joined",
    "JwtAuthenticator",
    "Left",
    "Limits",
    "ListenError",
    "Message",
    "MetricsOptions",
    "PeerProtocolError",
    "Position",
    "Rate",
    "Reconnecting",
    "RefusedError",
    "Retention",
    "RetentionRule",
    "RoomChat",
    "RoomJoin",
    "RoomLeave",
    "RoomMessage",
    "RoomOptions",
    "Rooms",
    "ServiceStub",
    "ServingStatus",
    "Session",
    "Status",
    "StatusError",
    "TLSOptions",
    "TooLargeError",
    "TracingOptions",
    "UnavailableError",
    "UncheckedError",
    "UsageError",
    "UsageLimits",
    "__version__",
    "client_tls",
    "frame_text",
    "unauthenticated",
]
SUBPACKAGES = [
    "assembly",
    "auth",
    "brokers",
    "cli",
    "client",
    "config",
    "gateway",
    "rooms",
    "server",
    "testing",
    "wire",
]
GENERATED = "chatify_stream.messages"
WITHOUT_EXPORTS = {"chatify_stream.__main__", "chatify_stream._version"}


def is_folder(info: pkgutil.ModuleInfo) -> bool:
    """Tell whether the module is a package that only groups modules: a docstring and no code."""
    if not info.ispkg:
        return False
    spec = importlib.util.find_spec(info.name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    return [type(node) for node in ast.parse(source).body] == [ast.Expr]


MODULES = [
    info.name
    for info in pkgutil.walk_packages(chatify_stream.__path__, "chatify_stream.")
    if not info.name.startswith(GENERATED)
    and info.name not in WITHOUT_EXPORTS
    and not is_folder(info)
]


def exports(name: str) -> tuple[ModuleType, list[str]]:
    module = importlib.import_module(name)
    return module, module.__all__


def test_public_names() -> None:
    """The package exports exactly these names."""
    assert chatify_stream.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name(name: str) -> None:
    """Every name of the package is there."""
    assert getattr(chatify_stream, name) is not None


def test_star_import() -> None:
    """A star import gives the public names."""
    namespace: dict[str, object] = {}
    exec("from chatify_stream import *", namespace)
    assert set(PUBLIC) <= namespace.keys()


def test_all_modules_are_found() -> None:
    """The tests below look at every subpackage."""
    assert {f"chatify_stream.{name}" for name in SUBPACKAGES} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_names_resolve(name: str) -> None:
    """A module exports something, and has all that it exports, once."""
    module, names = exports(name)
    assert names
    assert len(set(names)) == len(names)
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", ["chatify_stream", *MODULES])
def test_names_are_sorted(name: str) -> None:
    """Exports are sorted: constants, classes, functions."""

    def order(each: str) -> tuple[int, str]:
        return (0 if each.isupper() else 1 if each[0].isupper() else 2, each)

    _, names = exports(name)
    assert names == sorted(names, key=order)
