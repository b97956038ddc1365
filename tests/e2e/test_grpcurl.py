"""grpcurl, which knows of our server only what reflection tells it."""

import json
from pathlib import Path

import pytest

from .peers import PROTO, run_command
from .processes import ServerProcess


@pytest.fixture(scope="session")
def grpcurl(go_binaries: Path) -> Path:
    return go_binaries / "grpcurl"


def output_of(grpcurl: Path, *args: str | Path) -> str:
    done = run_command(grpcurl, "-plaintext", "-max-time", "30", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_values(text: str) -> list[object]:
    """The JSON values grpcurl prints one after the other."""
    decoder, values, rest = json.JSONDecoder(), [], text.lstrip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].lstrip()
    return values


def test_list(grpcurl: Path, reflecting_server: ServerProcess) -> None:
    """grpcurl lists the services, and the method of the chat service."""
    services = output_of(grpcurl, reflecting_server.address, "list").splitlines()
    assert {"service.v1.Service", "grpc.health.v1.Health"} <= set(services)
    methods = output_of(grpcurl, reflecting_server.address, "list", "service.v1.Service")
    assert methods.splitlines() == ["service.v1.Service.Chat"]


def test_describe_service(grpcurl: Path, reflecting_server: ServerProcess) -> None:
    """grpcurl shows the method as the proto file has it."""
    text = output_of(grpcurl, reflecting_server.address, "describe", "service.v1.Service")
    assert text.startswith("service.v1.Service is a service:\n")
    assert "rpc Chat ( stream .service.v1.ChatReq ) returns ( stream .service.v1.ChatRsp );" in text


def test_describe_message(grpcurl: Path, reflecting_server: ServerProcess) -> None:
    """grpcurl shows the request with its frozen field."""
    text = output_of(grpcurl, reflecting_server.address, "describe", "service.v1.ChatReq")
    assert text.startswith("service.v1.ChatReq is a message:\n")
    assert "string name = 1;" in text


def test_chat(grpcurl: Path, reflecting_server: ServerProcess) -> None:
    """Each JSON message is answered, in order."""
    text = output_of(
        grpcurl, "-d", '{"name": "Ada"} {"name": "你好"}',
        reflecting_server.address, "service.v1.Service/Chat",
    )  # fmt: skip
    assert json_values(text) == [{"message": "Hello Ada"}, {"message": "Hello 你好"}]


def test_chat_without_reflection(grpcurl: Path, server: ServerProcess) -> None:
    """With the proto file at hand grpcurl needs no reflection."""
    text = output_of(
        grpcurl, "-import-path", PROTO, "-proto", "service/v1/service.proto",
        "-d", '{"name": "Ada"}', server.address, "service.v1.Service/Chat",
    )  # fmt: skip
    assert json_values(text) == [{"message": "Hello Ada"}]


@pytest.mark.parametrize("service", ["", "service.v1.Service"])
def test_health_check(grpcurl: Path, reflecting_server: ServerProcess, service: str) -> None:
    """The health service is found through reflection and reports SERVING."""
    text = output_of(
        grpcurl, "-d", json.dumps({"service": service}),
        reflecting_server.address, "grpc.health.v1.Health/Check",
    )  # fmt: skip
    assert json_values(text) == [{"status": "SERVING"}]


def test_no_reflection(grpcurl: Path, server: ServerProcess) -> None:
    """A server without reflection says so."""
    done = run_command(grpcurl, "-plaintext", "-max-time", "30", server.address, "list")
    assert done.returncode != 0
    assert "server does not support the reflection API" in done.stderr
