"""What the package and its subpackages export."""

import ast
import importlib.util
import pkgutil
import subprocess
import sys
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
    "RoomClient",
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
PACKAGE = Path(chatify_stream.__file__).parent
GENERATED = "chatify_stream.messages"


def reexports(info: pkgutil.ModuleInfo) -> bool:
    """Tell whether the module is a package that has more than a docstring."""
    if not info.ispkg:
        return False
    spec = importlib.util.find_spec(info.name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    return [type(node) for node in ast.parse(source).body] != [ast.Expr]


PACKAGES = [
    info.name
    for info in pkgutil.walk_packages(chatify_stream.__path__, "chatify_stream.")
    if not info.name.startswith(GENERATED) and reexports(info)
]


def exports(name: str) -> tuple[ModuleType, list[str]]:
    module = importlib.import_module(name)
    return module, module.__all__


def test_public_names() -> None:
    """The package exports exactly these names."""
    assert chatify_stream.__all__ == PUBLIC


def test_stub() -> None:
    """The stub for type checkers has the names of `__all__`, each from the module it comes from."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.name: importlib.import_module(f".{node.module}", "chatify_stream")
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == PUBLIC
    assert [
        name
        for name, module in imported.items()
        if getattr(module, name) is not getattr(chatify_stream, name)
    ] == []
    (listed,) = (node.value for node in stub.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == PUBLIC
    assert (PACKAGE / "py.typed").exists()


def test_dir() -> None:
    """`dir` lists the public names before they are imported."""
    assert set(PUBLIC) <= set(dir(chatify_stream))


def test_unknown_name() -> None:
    """A name that does not exist is an AttributeError, and an import of it an ImportError."""
    with pytest.raises(AttributeError, match="module 'chatify_stream' has no attribute 'Chat'"):
        _ = chatify_stream.Chat
    with pytest.raises(ImportError):
        exec("from chatify_stream import Chat")


LAZY = """
import sys
import chatify_stream
loaded = set(sys.modules)
print(*sorted({"asyncio", "grpclib", "h2", "ssl", "betterproto2"} & loaded))
print(*sorted(name for name in loaded if name.startswith("chatify_stream.")))
print(chatify_stream.errors.UsageError is chatify_stream.UsageError)
print("chatify_stream.server" in sys.modules)
"""


@pytest.mark.process
def test_lazy_import() -> None:
    """Importing the package loads nothing else until a name is used, and then only its module."""
    ran = subprocess.run(
        [sys.executable, "-c", LAZY], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines() == ["", "chatify_stream._version", "True", "False"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name(name: str) -> None:
    """Every name of the package is there."""
    assert getattr(chatify_stream, name) is not None


def test_star_import() -> None:
    """A star import gives the public names."""
    namespace: dict[str, object] = {}
    exec("from chatify_stream import *", namespace)
    assert set(PUBLIC) <= namespace.keys()


def test_all_packages_are_found() -> None:
    """The tests below look at every subpackage."""
    assert {f"chatify_stream.{name}" for name in SUBPACKAGES} <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_names_resolve(name: str) -> None:
    """A package exports something, and has all that it exports, once."""
    module, names = exports(name)
    assert names
    assert len(set(names)) == len(names)
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", ["chatify_stream", *PACKAGES])
def test_names_are_sorted(name: str) -> None:
    """Exports are sorted: constants, classes, functions."""

    def order(each: str) -> tuple[int, str]:
        return (0 if each.isupper() else 1 if each[0].isupper() else 2, each)

    _, names = exports(name)
    assert names == sorted(names, key=order)
