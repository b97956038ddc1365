"""The names of grpclib and h2 that wire uses and that are not their documented API.

A release that takes one away fails here, by name; so does wire when it uses one that is not listed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import grpclib.client
import grpclib.config
import grpclib.events
import grpclib.server
import h2.connection
import h2.settings
import h2.stream
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from chatify_stream import wire
from chatify_stream.wire import Channel, Server, grpclib_internals

MODULES = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(wire.__path__, "chatify_stream.wire.")
    # tests/wire/protobuf/test_schema.py covers the private names of betterproto2.
    if info.name.removeprefix("chatify_stream.wire.")
    not in ("grpclib_internals", "protobuf.schema", "protobuf.decoder")
]
TREES = [ast.parse(Path(str(module.__file__)).read_text("utf-8")) for module in MODULES]


PRIVATE_IMPORTS = {
    alias.name
    for node in ast.walk(ast.parse(inspect.getsource(grpclib_internals)))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
    if alias.name.startswith("_")
}


def documented() -> list[tuple[str, str]]:
    """Owner and attribute of every name in the module's docstring."""
    text = re.sub(r"\n +", " ", inspect.getdoc(grpclib_internals) or "")
    found = []
    for line in text.splitlines():
        if match := re.match(r"- `([\w.]+)`: (.*)", line):
            owner, names = match.groups()
            found += [(owner, name) for name in re.findall(r"`(\w+)`", names)]
    return found


def source_of(owner: str) -> str:
    module, _, cls = owner.rpartition(".")
    modules = {
        "h2.connection": h2.connection,
        "h2.settings": h2.settings,
        "h2.stream": h2.stream,
        "client": grpclib.client,
        "config": grpclib.config,
        "events": grpclib.events,
        "server": grpclib.server,
    }
    return inspect.getsource(getattr(modules[module], cls))


def test_the_list_is_read() -> None:
    """The docstring can be read by this test."""
    assert ("client.Channel", "_ssl") in documented()
    assert ("h2.stream.H2Stream", "_inbound_window_manager") in documented()
    assert 20 < len(documented()) + len(PRIVATE_IMPORTS) <= 40


@pytest.mark.parametrize(("owner", "name"), documented())
def test_private_attributes(owner: str, name: str) -> None:
    """grpclib's class still has the attribute."""
    assert re.search(rf"\b{name}\b", source_of(owner)), f"{owner} has no {name} any more"


def attributes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Whose attribute, as it is written, and its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node.value), node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            owner, name, *_ = node.args
            if isinstance(name, ast.Constant):
                yield ast.unparse(owner), name.value


def defined(tree: ast.AST) -> set[str]:
    """Names of functions and classes, and of attributes that an object gives itself."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute):
            is_given = isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
            found |= {node.attr} if is_given else set()
    return found


def inherited() -> set[tuple[str, str]]:
    """What the subclasses of wire share with grpclib's and h2's classes: owner and attribute."""
    found = set()
    for module, tree in zip(MODULES, TREES, strict=True):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            own = {name for owner, name in attributes(node) if owner in ("self", "cls", "super()")}
            own |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            own |= {each.name for each in node.body if isinstance(each, ast.AsyncFunctionDef)}
            for base in getattr(module, node.name).__mro__:
                if base.__module__.split(".")[0] not in ("grpclib", "h2"):
                    continue
                source = inspect.getsource(base)
                owner = f"{base.__module__}.{base.__name__}".removeprefix("grpclib.")
                found |= {
                    (owner, name)
                    for name in own
                    if name.startswith("_") and not name.startswith("__")
                    if re.search(rf"^ {{4}}{name}\b|\bdef {name}\b|\bself\.{name}\b", source, re.M)
                }
    return found


def test_what_subclasses_use_is_listed() -> None:
    """Every private attribute that a class of wire has in common with its base is in the list."""
    used = inherited()
    assert ("client.Channel", "_calls_started") in used
    assert ("h2.settings.Settings", "_settings") in used
    assert sorted(used - set(documented())) == []


def test_what_is_used_of_others_is_listed() -> None:
    """Every private attribute of another object is defined in wire, or is in the list."""
    used = {
        name
        for tree in TREES
        for owner, name in attributes(tree)
        if owner not in ("self", "cls") and re.match("_[^_]", name)
    }
    assert "_inbound_window_manager" in used
    known = {name for _, name in documented()}.union(*map(defined, TREES))
    assert sorted(used - known) == []


def test_what_is_listed_is_used() -> None:
    """The list has no name that wire has done without."""
    sources = "\n".join(map(ast.unparse, TREES))
    assert [each for each in documented() if not re.search(rf"\b{each[1]}\b", sources)] == []


@pytest.mark.parametrize("name", grpclib_internals.__all__)
def test_imported_names(name: str) -> None:
    """What the module re-exports is there."""
    assert getattr(grpclib_internals, name) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("streams", "state_machine", "local_settings", "decoder", "inbound_flow_control_window"),
        *("remote_settings", "open_outbound_streams", "highest_outbound_stream_id"),
    ],
)
def test_h2_attributes(name: str) -> None:
    """h2's connection still has the attribute."""
    assert hasattr(H2Connection(H2Configuration(client_side=False)), name)


def test_private_names_stay_in_wire() -> None:
    """Server and Channel are subclasses of grpclib's: all of its public API is there."""
    for ours, theirs in [(Server, grpclib.server.Server), (Channel, grpclib.client.Channel)]:
        assert issubclass(ours, theirs)
        for name, member in inspect.getmembers(theirs, inspect.isfunction):
            if name.startswith("_"):
                continue
            parameters = inspect.signature(getattr(ours, name)).parameters
            assert parameters.keys() >= inspect.signature(member).parameters.keys()


def test_private_modules() -> None:
    """No module of wire imports grpclib's undocumented modules."""
    imported = {
        node.module
        for tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert not imported & {"grpclib.protocol", "grpclib.utils", "grpclib._typing"}
    assert "grpclib.exceptions" in imported
