"""The image, the Compose file, the manifests of Kubernetes and the units of systemd: valid, and of one mind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from auth_worker import Settings
from support.distributions import packages_of

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
KUBERNETES = {path.name: yaml.safe_load(path.read_text()) for path in (DEPLOY / "kubernetes").glob("*.yaml")}
COMPOSE = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
POD: Any = KUBERNETES["deployment.yaml"]["spec"]["template"]
CONTAINER: Any = POD["spec"]["containers"][0]


def test_hadolint_has_nothing_to_say_about_the_image() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    said = subprocess.run(
        [hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, timeout=50, check=False
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    final = DOCKERFILE.read_text().split("\nFROM ")[-1]
    user, group = re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)[-1]
    assert int(user) > 0
    security = POD["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    commands = re.findall(r"^(?:HEALTHCHECK.*?|)(?:CMD|ENTRYPOINT) (.*)$", final, re.MULTILINE)
    assert commands == ['["auth-worker", "health", "--live"]', '["auth-worker"]', '["run"]']


def test_the_image_copies_what_the_context_has() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_has_the_packages_of_its_extras() -> None:
    text = (ROOT / "requirements" / "image.txt").read_text()
    pinned = {name.replace("_", "-") for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = packages_of("standard", "otel", "sentry")
    assert set(wanted) <= pinned
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    dev = (ROOT / "requirements" / "dev.txt").read_text()
    assert pins.items() <= dict(re.findall(r"^([\w.-]+)==(\S+)", dev, re.MULTILINE)).items()


@pytest.mark.parametrize("name", sorted(KUBERNETES))
def test_a_manifest_is_what_kubernetes_takes(name: str) -> None:
    manifest = KUBERNETES[name]
    if "k8s.io" in manifest["apiVersion"] or "." not in manifest["apiVersion"]:
        if manifest["kind"] == "Kustomization":
            assert all((DEPLOY / "kubernetes" / resource).exists() for resource in manifest["resources"])
        else:
            kubernetes_validate.validate(manifest, "1.37", strict=True)
    else:
        assert manifest["kind"] in ("PodMonitor", "ScaledObject")  # their schemas are not Kubernetes's


def test_the_manifests_mean_the_same_pods_and_port() -> None:
    labels = POD["metadata"]["labels"]
    selectors = [
        KUBERNETES["deployment.yaml"]["spec"]["selector"],
        KUBERNETES["pod-disruption-budget.yaml"]["spec"]["selector"],
        KUBERNETES["pod-monitor.yaml"]["spec"]["selector"],
        KUBERNETES["network-policy.yaml"]["spec"]["podSelector"],
    ]
    assert all(selector == {"matchLabels": labels} for selector in selectors)
    (port,) = CONTAINER["ports"]
    assert KUBERNETES["pod-monitor.yaml"]["spec"]["podMetricsEndpoints"][0]["port"] == port["name"]
    assert KUBERNETES["network-policy.yaml"]["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    target = KUBERNETES["scaled-object.yaml"]["spec"]["scaleTargetRef"]["name"]
    assert target == KUBERNETES["deployment.yaml"]["metadata"]["name"]


def test_prometheus_gets_a_token_that_is_good_for_metrics_alone() -> None:
    given = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["key"]
        for each in CONTAINER["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    used = KUBERNETES["pod-monitor.yaml"]["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]["key"]
    assert given["AUTH_WORKER_HTTP_METRICS_TOKEN"] == used != given["AUTH_WORKER_HTTP_TOKEN"]


def test_a_pod_can_change_nothing_but_its_scratch_folder() -> None:
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    assert not POD["spec"]["enableServiceLinks"]


@pytest.mark.parametrize("name", ["worker", "dashboard"])
def test_a_service_of_compose_is_as_confined_and_its_settings_are_ours(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    settings = Settings()
    assert int(service["stop_grace_period"].removesuffix("s")) >= settings.shutdown_timeout + 10
    assert "noeviction" in COMPOSE["services"]["redis"]["command"]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="the units need systemd-analyze on the PATH: apt-get install systemd",
)
@pytest.mark.parametrize("name", ["auth-worker.service", "auth-worker.socket"])
def test_a_unit_is_what_systemd_takes(name: str, tmp_path: Path) -> None:
    for unit in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('sleep')}", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_systemd_signals_the_main_process_alone() -> None:
    unit = (DEPLOY / "systemd" / "auth-worker.service").read_text()
    assert {"KillMode=mixed", "KillSignal=SIGTERM", "SuccessExitStatus=3"} <= set(unit.splitlines())
