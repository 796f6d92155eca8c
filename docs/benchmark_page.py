"""Makes the page of the benchmarks from what ``python -m bench`` and ``python -m bench.rivals`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.contenders import TITLES
from bench.report import METRICS
from bench.rivals.contenders import WORK
from bench.scenarios import NODE, OFFICIAL, OURS, SCENARIOS, Kind
from docs.benchmark_causes import CAUSES
from docs.tables import table

FILES = [Path(__file__).resolve().with_name(name) for name in ("benchmarks.json", "rivals.json")]
"""What was measured: beside Node and the official client, and beside other job systems."""
QUIET = 0.9
"""Which share of a core a process must get for its rate to mean anything."""
BUSY = "Rates and times say nothing then; the CPU time of a job can be compared."
INTRODUCTION = """# Benchmarks

Each contender does the same work on the same server, turn by turn in one run, so that what else the machine
does is shared: the ratios count, not the single figures. Repeat it on a machine with nothing else to do:

```bash
make bench ARGS="--full --json docs/benchmarks.json"   # beside Node BullMQ and the official client
make rivals ARGS="--json docs/rivals.json"             # plain functions, beside Celery, dramatiq and RQ
make docs
```
"""
IN_BRACKETS = "In brackets: how many times as much as Node BullMQ."
RIVALS = """## Plain functions in threads and processes

Each job system with its defaults. The jobs wait before the worker starts. CPU and memory are those of all its
processes together. Celery's defaults acknowledge a job before it runs: a crash loses it there, and here it runs
again.
"""
TOPICS = {
    Kind.WORK: ("Jobs worked off", ("rate", "cpu_us", "redis_us", "rss_mb")),
    Kind.ENQUEUE: ("Jobs added", ("rate", "cpu_us", "redis_us")),
    Kind.LATENCY: ("From adding to start", ("p50_ms", "p99_ms", "cpu_us")),
    Kind.IDLE: ("Idle", ("idle_cpu", "commands_s", "clients", "rss_mb")),
    Kind.IMPORT: ("Imports", ("import_s",)),
}
RIVALS_METRICS = ("rate", "ideal_share", "first_job_s", "cpu_us", "rss_mb")
GROWTH = """## Why a job costs Redis more when a million wait

Most likely because its keys are no longer in the processor's caches. Each job runs the same commands, and none of
them has more to do: what rises is the look-up of a key that belongs to one job. Time in Redis, us a job, by
`INFO commandstats`, concurrency 50, one run on 2 cores:

| | 1,000 wait | 1,000,000 wait |
|---|---|---|
| the script, all in all | 42.3 | 52.7 |
| `DEL` of the lock, and of the oldest completed job | 4.2 | 8.3 |
| `HMGET`, `HMSET` and `SET`, mostly of the job and its lock | 3.5 | 6.0 |
| `EXISTS` of the job, `SCARD` and `ZCARD` of its children, which it does not have | 0.9 | 2.9 |
| `XADD`, `ZADD`, `LREM` and `RPOPLPUSH` of the queue's own keys | 3.6 | 3.8 |

A waiting job with the data of a mail takes 770 bytes, so a million of them take 770 MB. The machine did not let
its cache misses be counted: the cause is inferred from these times. BullMQ's scripts do the look-ups.
"""


def benchmarks() -> str:
    """The page: the machine, the targets, the medians of each scenario."""
    ours, rivals = (json.loads(path.read_text()) for path in FILES)
    parts = [INTRODUCTION, _about(ours), _targets(ours, rivals)]
    for server, found in ours["servers"].items():
        parts.append(
            f"## Beside Node BullMQ and the official client, on {ours['about'][server]}\n\n{IN_BRACKETS}\n"
        )
        parts += [_topic(kind, found["medians"]) for kind in TOPICS]
    parts.append(RIVALS)
    parts += [_rivals(found["medians"]) for found in rivals["servers"].values()]
    return "\n".join([*parts, GROWTH])


def _about(results: Mapping[str, Any]) -> str:
    about = results["about"]
    share = about["share_of_a_core"]
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    text = (
        f"Medians of {results['rounds']} rounds, measured {about['date']} on {about['cpus']} cores, "
        f"{about['system']}, Python {about['python']}; {versions}, Node BullMQ {about['node_bullmq']}.\n"
    )
    return text if share >= QUIET else f"{text}\n!!! warning\n    A process got {share:.0%} of a core. {BUSY}\n"


def _targets(*all_results: Mapping[str, Any]) -> str:
    """What was reached of what is to be reached, and why the rest was not."""
    reached: dict[tuple[str, str], dict[str, Any]] = {}
    servers = list(dict.fromkeys(server for results in all_results for server in results["servers"]))
    for results in all_results:
        for server, found in results["servers"].items():
            for each in found["targets"]:
                reached.setdefault((each["target"], each["must_be"]), {})[server] = each
    rows = [
        (target, must_be, *(_reached(by_server.get(server)) for server in servers))
        for (target, must_be), by_server in reached.items()
    ]
    missed = {
        target for (target, _), by_server in reached.items() if not all(e["met"] for e in by_server.values())
    }
    by_cause: dict[str, list[str]] = {}
    for target in filter(missed.__contains__, CAUSES):
        by_cause.setdefault(CAUSES[target], []).append(f"**{target}**")
    causes = "".join(f"- {'; '.join(targets)}: {cause}\n" for cause, targets in by_cause.items())
    head = ("target", "must be", *map(str.capitalize, servers))
    return f"## Targets\n\n{table(head, rows)}\n\nWhy the rest is missed:\n\n{causes}"


def _reached(target: Mapping[str, Any] | None) -> str:
    if target is None:
        return ""
    return f"{target['is']:.4g} " + ("met" if target["met"] else "**missed**")


def _topic(kind: Kind, medians: Mapping[str, Any]) -> str:
    """Ours in each scenario of a kind, and how many times as much that is as what the others reach."""
    title, metrics = TOPICS[kind]
    chosen = [each for each in SCENARIOS if each.kind is kind and each.name in medians]
    if not chosen:
        return ""
    head = ["", *(METRICS[each][0] for each in metrics), f"{METRICS[metrics[0]][0]}, times the official client"]
    rows = []
    for scenario in chosen:
        ours, node, official = (medians[scenario.name].get(each, {}) for each in (OURS, NODE, OFFICIAL))
        cells = [_cell(metric, ours) + _times(metric, ours, node, " ({:.2f})") for metric in metrics]
        rows.append((scenario.title, *cells, _times(metrics[0], ours, official, "{:.2f}")))
    return f"### {title}\n\n{table(head, rows)}\n"


def _rivals(medians: Mapping[str, Any]) -> str:
    titles = {work.name: work.title for work in WORK}
    rows = [
        (titles[work], TITLES[contender], *(_cell(metric, measures) for metric in RIVALS_METRICS))
        for work, by_contender in medians.items()
        for contender, measures in by_contender.items()
    ]
    return table(("jobs", "", *(METRICS[each][0] for each in RIVALS_METRICS)), rows) + "\n"


def _cell(metric: str, measures: Mapping[str, float]) -> str:
    return METRICS[metric][1](measures[metric]) if metric in measures else ""


def _times(metric: str, ours: Mapping[str, float], theirs: Mapping[str, float], form: str) -> str:
    """How many times theirs ours is, where both were measured."""
    return form.format(ours[metric] / theirs[metric]) if metric in ours and theirs.get(metric) else ""
