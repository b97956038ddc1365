"""Test the wheel, its metadata, and the platforms on which it installs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300


def run(*args: str | Path) -> str:
    ran = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.iterdir()
    return wheel


def test_the_wheel_is_for_any_platform(wheel: Path) -> None:
    """The wheel is py3-none-any."""
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_its_data(wheel: Path) -> None:
    """The wheel has the descriptor set, its types, its license, and no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {"chatify_stream/py.typed", "chatify_stream/__init__.pyi"} <= set(names)
    assert "chatify_stream/messages/descriptors.binpb" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"chatify_stream"}


def test_the_extras(wheel: Path) -> None:
    """The wheel has each extra; `all` contains every extra except the compiled one."""
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    headers = Parser().parsestr(archive.read(metadata).decode())
    assert set(headers.get_all("Provides-Extra") or ()) == {
        "all",
        "auth",
        "auth-keys",
        "cli",
        "gateway",
        "metrics",
        "redis",
        "tracing",
    }
    wanted: dict[str, set[str]] = {}
    for line in headers.get_all("Requires-Dist") or ():
        requirement, _, extra = line.partition("; extra == ")
        wanted.setdefault(extra.strip("'"), set()).add(requirement)
    pure = wanted.keys() - {"", "all", "auth-keys"}
    assert wanted["all"] == set().union(*(wanted[extra] for extra in pure))
    assert not any("cryptography" in requirement for requirement in wanted["all"])


@pytest.mark.slow
def test_nothing_is_compiled(tmp_path: Path) -> None:
    """With every pure extra, all dependencies install from wheels for any platform."""
    run(
        *("-m", "pip", "install", "--quiet", "--only-binary=:all:", "--platform=any"),
        *("--target", tmp_path, f"{ROOT}[all]"),
    )
    tags = {
        line.removeprefix("Tag: ")
        for file in tmp_path.glob("*.dist-info/WHEEL")
        for line in file.read_text().splitlines()
        if line.startswith("Tag: ")
    }
    assert tags
    assert {tag.partition("-")[2] for tag in tags} == {"none-any"}
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".so", ".pyd")] == []


FORBIDDEN = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"google", "grpc", "pydantic", "protobuf", "fcntl", "pwd",
                                  "grp", "resource", "termios", "uvloop", "starlette"}:
            raise ModuleNotFoundError(f"{name} is not available", name=name)

sys.meta_path.insert(0, Missing())
sys.modules.pop("fcntl", None)
"""

SERVE = """
import asyncio
import chatify_stream
import chatify_stream.cli

async def main():
    loop = asyncio.get_running_loop()
    def add_signal_handler(*args):
        raise NotImplementedError  # as the event loops of Windows do
    loop.add_signal_handler = add_signal_handler
    from chatify_stream.cli.serving.signals import StopSignals
    async with chatify_stream.ChatServer(reflection=True) as server:
        with StopSignals() as signals:
            await server.start("127.0.0.1", 0)
            async with chatify_stream.ChatClient(f"127.0.0.1:{server.port}") as chat:
                await chat.send("Ada")
                print((await chat.receive()).message)
            import signal
            signal.raise_signal(signal.SIGINT)
            print((await signals.wait()).name)

asyncio.run(main())
"""


def test_without_posix_and_protobuf() -> None:
    """The package imports and serves without the modules of POSIX and of protobuf."""
    assert run("-c", FORBIDDEN + SERVE) == "Hello Ada\nSIGINT\n"
