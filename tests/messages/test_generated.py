"""The generated messages are what the .proto files say now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What proto/generate.py writes now."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target = tmp_path_factory.mktemp("messages")
    module.generate(target)
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_nothing_is_stale(fresh: Path) -> None:
    """chatify_stream/messages/ is to the letter what `tox -e proto` would write."""
    committed = files_of(ROOT / "chatify_stream" / "messages")
    expected = files_of(fresh)
    assert sorted(committed) == sorted(expected)
    stale = [name for name, content in expected.items() if committed[name] != content]
    assert stale == [], "run `tox -e proto`"


def test_the_contract() -> None:
    """Fields 1 of the two messages are what clients were built with."""
    from chatify_stream import ChatReq, ChatRsp

    assert bytes(ChatReq(name="a")) == b"\x0a\x01a"
    assert bytes(ChatRsp(message="b")) == b"\x0a\x01b"
