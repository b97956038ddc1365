"""The generated messages are what the .proto files say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """proto/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    ("package", "function"),
    [("chatify_stream/messages", "generate"), ("tests/interop/messages", "generate_interop")],
)
@pytest.mark.process
def test_nothing_is_stale(
    generator: ModuleType, tmp_path: Path, package: str, function: str
) -> None:
    """The generated packages are to the letter what `tox -e proto` would write now."""
    getattr(generator, function)(tmp_path)
    committed, expected = files_of(ROOT / package), files_of(tmp_path)
    assert sorted(committed) == sorted(expected)
    stale = [name for name, content in expected.items() if committed[name] != content]
    assert stale == [], "run `tox -e proto`"


def test_the_contract() -> None:
    """Fields 1 of the two messages are what clients were built with."""
    from chatify_stream import ChatReq, ChatRsp

    assert bytes(ChatReq(name="a")) == b"\x0a\x01a"
    assert bytes(ChatRsp(message="b")) == b"\x0a\x01b"
