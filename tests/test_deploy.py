"""What ``deploy/`` asks of the service exists: metric names, labels, paths and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker import Job, Settings, WorkerService
from auth_worker.events import JobMoved, OutcomeName
from support.http_requests import asked, samples_of
from support.processors import DEAD, QUEUE

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
ALERTS = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
METRIC = re.compile(r"\b((?:auth_worker|process)_[a-z_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"([a-z_]+)=~?\"([^\"]*)\"")
OF_PROMETHEUS = {"instance", "job"}


async def nothing(job: Job) -> None:
    """A consumer."""


def expressions() -> Iterator[str]:
    """Every query of the dashboard and of the alerts."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable)
    yield from re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+))", ALERTS)
    yield from re.findall(r"expr: (?!\|)(.*)", ALERTS)
    yield from re.findall(r"query: (.*)", (DEPLOY / "kubernetes" / "scaled-object.yaml").read_text())


async def test_every_query_names_metrics_and_labels_that_exist(redis_url: str) -> None:
    service = WorkerService(redis_url, settings=Settings(http_port=0, log_level="ERROR"))
    service.register_processor(queue_name=QUEUE, processor=nothing, dead_letter_queue_name=DEAD)
    async with service:
        service.runtime.bus.emit(JobMoved(QUEUE, "1", "n", 1, 1.0, OutcomeName.DELAYED, ""))
        samples = samples_of((await asked(service.http_port, "/metrics")).text)
    labels: dict[str, dict[str, set[str]]] = {}
    for name, pairs in samples:
        for label, value in [("", ""), *pairs]:
            labels.setdefault(name, {}).setdefault(label, set()).add(value)
    found = [(name, selector, query) for query in expressions() for name, selector in METRIC.findall(query)]
    assert len(found) > 30
    assert {name for name, _, _ in found if name.startswith("auth_worker")} >= {
        "auth_worker_queue_oldest_job_seconds",
        "auth_worker_jobs_total",
        "auth_worker_dead_letter_jobs",
        "auth_worker_lease_lost_total",
        "auth_worker_broker_up",
    }
    for name, selector, query in found:
        assert name in labels, f"{name} is no metric of ours: {query}"
        for label, pattern in LABEL.findall(selector):
            assert label in OF_PROMETHEUS or label in labels[name], f"{name} has no label {label}: {query}"
            if "$" not in pattern and label in labels[name]:
                assert set(pattern.split("|")) <= labels[name][label], query
        for clause in re.findall(r"by \(([^)]*)\)", query):
            known = OF_PROMETHEUS.union(*(labels[each] for each, _, other in found if other == query))
            assert {label.strip() for label in clause.split(",")} <= known, query


def test_the_dashboard_draws_no_panel_twice_and_none_over_another() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    rules = ALERTS.split("- alert: ")[1:]
    assert len(rules) >= 5
    for rule in rules:
        assert all(f"{key}:" in rule for key in ("expr", "severity", "summary", "description")), rule


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    for name in re.findall(r"AUTH_WORKER_([A-Z_]+)", path.read_text()):
        assert name.lower() in Settings.model_fields


def test_the_pod_gets_no_variables_of_services() -> None:
    assert "      enableServiceLinks: false" in (DEPLOY / "kubernetes" / "deployment.yaml").read_text()


def test_the_probes_of_the_deployment_are_ours_and_the_grace_outlasts_the_drain() -> None:
    text = (DEPLOY / "kubernetes" / "deployment.yaml").read_text()
    assert re.findall(r"httpGet: \{path: (/\w+)", text) == ["/startupz", "/livez", "/readyz"]
    grace = int(re.findall(r"terminationGracePeriodSeconds: (\d+)", text)[0])
    drain = int(re.findall(r"SHUTDOWN_TIMEOUT, value: \"(\d+)\"", text)[0])
    assert grace >= drain + 10
    unit = (DEPLOY / "systemd" / "auth-worker.service").read_text()
    stop = int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0])
    assert stop >= int(re.findall(r"SHUTDOWN_TIMEOUT=(\d+)", unit)[0]) + 10
