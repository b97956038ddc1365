"""The names of grpclib and h2 that wire uses and that are not their documented API.

A release that takes one away fails here, by name.
"""

from __future__ import annotations

import inspect
import re

import grpclib.client
import grpclib.events
import grpclib.protocol
import grpclib.server
import grpclib.utils
import h2.connection
import h2.settings
import h2.stream
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from chatify_stream.wire import Channel, Server, grpclib_internals


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
        "events": grpclib.events,
        "protocol": grpclib.protocol,
        "server": grpclib.server,
        "utils": grpclib.utils,
    }
    return inspect.getsource(getattr(modules[module], cls))


def test_the_list_is_read() -> None:
    """The docstring can be read by this test."""
    assert ("server.Server", "_mapping") in documented()
    assert ("h2.stream.H2Stream", "_inbound_window_manager") in documented()
    assert len(documented()) > 30


@pytest.mark.parametrize(("owner", "name"), documented())
def test_private_attributes(owner: str, name: str) -> None:
    """grpclib's class still has the attribute."""
    assert re.search(rf"\b{name}\b", source_of(owner)), f"{owner} has no {name} any more"


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
