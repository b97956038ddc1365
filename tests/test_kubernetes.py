"""What docs/operations has for Kubernetes fits the server, as far as it can be tried here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatify_stream.config import all_settings

from .cli.command_line import run
from .e2e.processes import ListeningProcess
from .ports import free_port

OPERATIONS = Path(__file__).resolve().parents[1] / "docs" / "operations"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    text = (OPERATIONS / "kubernetes.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


@pytest.fixture(scope="module")
def deployment(manifests: list[Manifest]) -> Manifest:
    [found] = [each for each in manifests if each["kind"] == "Deployment"]
    return found


@pytest.fixture(scope="module")
def pod(deployment: Manifest) -> Manifest:
    return deployment["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: Manifest) -> Manifest:
    [found] = pod["containers"]
    return found


def test_names(manifests: list[Manifest], deployment: Manifest) -> None:
    """Services and the budget mean the pods of the deployment, and ports that these have."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    services = [each for each in manifests if each["kind"] == "Service"]
    assert [each["spec"].get("clusterIP") for each in services] == ["None", None]
    for service in services:
        assert service["spec"]["selector"] == labels
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    [budget] = [each for each in manifests if each["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["selector"]["matchLabels"] == labels


def test_it_serves(container: Manifest) -> None:
    """The server takes these flags and variables, and has what the probes ask for."""
    known = {setting.variable for setting in all_settings()}
    assert {variable["name"] for variable in container["env"]} <= known
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    ports = {f"{port['containerPort']}": f"{free_port()}" for port in container["ports"]}
    args = [re.sub(r"\d{4,}", lambda port: ports[port[0]], arg) for arg in container["args"]]
    args = [arg.replace("0.0.0.0", "127.0.0.1") for arg in args]
    env = {**given, "CHATIFY_STREAM_ROOMS_BROKER": "memory://"}
    with ListeningProcess(sys.executable, "-m", "chatify_stream", *args, env=env) as server:
        for probe in PROBES:
            grpc = container[probe]["grpc"]
            assert ports[f"{grpc['port']}"] == f"{server.port}"
            service = ("--service", grpc["service"]) if "service" in grpc else ()
            ran = run("check", "--target", server.address, *service)
            assert ran.status == 0, (probe, ran.stderr)
    assert "service" not in container["livenessProbe"]["grpc"]


def test_it_has_the_time_to_stop(pod: Manifest, container: Manifest) -> None:
    """Kubernetes waits for longer than waiting to be forgotten and draining take together."""
    program, *_, wait = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "python"
    [seconds] = re.findall(r"sleep\((\d+)\)", wait)
    [grace] = [arg.removeprefix("--grace=") for arg in container["args"] if "--grace" in arg]
    assert int(seconds) + int(grace) < pod["terminationGracePeriodSeconds"]


def test_it_may_do_nothing_else(pod: Manifest, container: Manifest) -> None:
    """It is nobody, as in the Dockerfile, can write nowhere, and sees no variables of services."""
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    user = f"USER {context['runAsUser']}:{context['runAsGroup']}\n"
    assert user in (OPERATIONS / "Dockerfile").read_text(encoding="utf-8")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    [broker] = [each for each in container["env"] if each["name"].endswith("ROOMS_BROKER")]
    assert "secretKeyRef" in broker["valueFrom"]
