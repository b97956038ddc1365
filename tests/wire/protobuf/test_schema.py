"""Tests of wire/protobuf/schema.py and its list of private names of betterproto2.

They fail, with the name, if a release removes a name or a module uses a name that is not listed.
"""

from __future__ import annotations

import dataclasses
import inspect
import re

import betterproto2
import pytest

from chatify_stream.messages.service.v1 import ChatReq
from chatify_stream.wire.protobuf import decoder, schema

from ..oracles import pairs_of

SOURCES = inspect.getsource(schema) + inspect.getsource(decoder)


def documented() -> list[tuple[str, str]]:
    """Return the owner and attribute of every name in the module docstring."""
    text = inspect.getdoc(schema) or ""
    lines = re.findall(r"^- `(\w+)`: (.*)$", text, re.MULTILINE)
    return [(owner, name) for owner, names in lines for name in re.findall(r"`(\w+)`", names)]


def test_the_list_is_found() -> None:
    """The list in the docstring is found by the tests."""
    assert ("Message", "_betterproto") in documented()
    assert len(documented()) == 10


@pytest.mark.parametrize(("owner", "name"), documented())
def test_private_attributes(owner: str, name: str) -> None:
    """The class of betterproto2 has the attribute."""
    message = ChatReq()
    objects = {
        "Message": lambda: message,
        "ProtoClassMetadata": lambda: message._betterproto,
        "FieldMetadata": lambda: betterproto2.FieldMetadata.get(dataclasses.fields(message)[0]),
    }
    assert hasattr(objects[owner](), name), f"{owner} has no {name} any more"


@pytest.mark.parametrize(("owner", "name"), documented())
def test_listed_names_are_used(owner: str, name: str) -> None:
    """Every listed name is used."""
    assert re.search(rf"\.{name}\b", SOURCES), f"{owner}.{name} is not used any more"


def test_private_names_are_listed() -> None:
    """Every private attribute of a message that is used is listed."""
    used = set(re.findall(r"(?:message|entry|message_type)\.(_[a-z]\w*)", SOURCES))
    assert used == {name for _, name in documented() if name.startswith("_")}


@pytest.mark.parametrize("name", ["Timestamp", "Duration", "StringValue", "BoolValue"])
def test_wrapped_classes(name: str) -> None:
    """The classes that `unwrap` returns have a `to_wrapped`."""
    assert pairs_of("every kind")[f"google.protobuf.{name}"].ours().to_wrapped() is not None


def test_layouts_are_made_once() -> None:
    """The layout of a class is computed once."""
    single = pairs_of("every kind")["test.every_kind.Single"].ours
    assert schema.layout_of(single) is schema.layout_of(single)


def test_every_type_is_known() -> None:
    """Every field type of betterproto2 is supported."""
    types = {value for name, value in vars(betterproto2).items() if name.startswith("TYPE_")}
    types -= {"TYPE_CHECKING", False}
    others = {betterproto2.TYPE_ENUM, betterproto2.TYPE_MESSAGE, betterproto2.TYPE_MAP}
    assert types == schema._SCALARS.keys() | others
