"""What wire/message_layout.py takes from betterproto2.

A release that takes one of these names away fails here, by name; so does a module that uses one
that is not listed.
"""

from __future__ import annotations

import dataclasses
import inspect
import re

import betterproto2
import pytest

from chatify_stream.messages.service.v1 import ChatReq
from chatify_stream.wire.protobuf import decoder as message_reading
from chatify_stream.wire.protobuf import schema as message_layout

from ..oracles import pairs_of

SOURCES = inspect.getsource(message_layout) + inspect.getsource(message_reading)


def documented() -> list[tuple[str, str]]:
    """Owner and attribute of every name in the module's docstring."""
    text = inspect.getdoc(message_layout) or ""
    lines = re.findall(r"^- `(\w+)`: (.*)$", text, re.MULTILINE)
    return [(owner, name) for owner, names in lines for name in re.findall(r"`(\w+)`", names)]


def test_the_list_is_read() -> None:
    """The docstring can be read by this test."""
    assert ("Message", "_betterproto") in documented()
    assert len(documented()) == 10


@pytest.mark.parametrize(("owner", "name"), documented())
def test_private_attributes(owner: str, name: str) -> None:
    """betterproto2's class still has the attribute."""
    message = ChatReq()
    objects = {
        "Message": lambda: message,
        "ProtoClassMetadata": lambda: message._betterproto,
        "FieldMetadata": lambda: betterproto2.FieldMetadata.get(dataclasses.fields(message)[0]),
    }
    assert hasattr(objects[owner](), name), f"{owner} has no {name} any more"


@pytest.mark.parametrize(("owner", "name"), documented())
def test_what_is_listed_is_used(owner: str, name: str) -> None:
    """The list has no name that could be left out."""
    assert re.search(rf"\.{name}\b", SOURCES), f"{owner}.{name} is not used any more"


def test_what_is_private_is_listed() -> None:
    """The modules touch no other private attribute of a message."""
    used = set(re.findall(r"(?:message|entry|message_type)\.(_[a-z]\w*)", SOURCES))
    assert used == {name for _, name in documented() if name.startswith("_")}


@pytest.mark.parametrize("name", ["Timestamp", "Duration", "StringValue", "BoolValue"])
@pytest.mark.process
def test_wrapped_classes(name: str) -> None:
    """What `unwrap` returns still has a `to_wrapped`."""
    assert pairs_of("every kind")[f"google.protobuf.{name}"].ours().to_wrapped() is not None


def test_layouts_are_made_once() -> None:
    """A class is looked at for the first message alone."""
    single = pairs_of("every kind")["test.every_kind.Single"].ours
    assert message_layout.layout_of(single) is message_layout.layout_of(single)


def test_every_type_is_known() -> None:
    """There is no type of fields that would not be read."""
    types = {value for name, value in vars(betterproto2).items() if name.startswith("TYPE_")}
    types -= {"TYPE_CHECKING", False}
    others = {betterproto2.TYPE_ENUM, betterproto2.TYPE_MESSAGE, betterproto2.TYPE_MAP}
    assert types == message_layout._SCALARS.keys() | others
