"""The results as tables and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.contenders import TITLES
from bench.run import Results
from bench.scenarios import NODE, OFFICIAL, OURS, SCENARIOS, WITH_BOUND, Kind
from bench.targets import TARGETS, Medians

METRICS: dict[str, tuple[str, Callable[[float], str]]] = {
    "rate": ("jobs/s", lambda value: f"{value:,.0f}"),
    "p50_ms": ("p50, ms", lambda value: f"{value:.2f}"),
    "p99_ms": ("p99, ms", lambda value: f"{value:.2f}"),
    "limit_share": ("of the limit", lambda value: f"{value:.0%}"),
    "ideal_share": ("of ideal", lambda value: f"{value:.0%}"),
    "cpu_us": ("CPU ms / 1000 jobs", lambda value: f"{value:.1f}"),
    "redis_us": ("Redis CPU ms / 1000", lambda value: f"{value:.1f}"),
    "rss_mb": ("memory, MB", lambda value: f"{value:.0f}"),
    "idle_cpu": ("CPU of one core", lambda value: f"{value:.2%}"),
    "commands_s": ("Redis commands/s", lambda value: f"{value:.1f}"),
    "clients": ("connections", lambda value: f"{value:.0f}"),
    "first_job_s": ("first job, s", lambda value: f"{value:.2f}"),
    "import_s": ("s", lambda value: f"{value:.3f}"),
}
SHOWN = {
    Kind.WORK: ("rate", "limit_share", "ideal_share", "cpu_us", "redis_us", "rss_mb"),
    Kind.ENQUEUE: ("rate", "cpu_us", "redis_us"),
    Kind.LATENCY: ("p50_ms", "p99_ms", "cpu_us", "redis_us"),
    Kind.IDLE: ("idle_cpu", "commands_s", "clients", "rss_mb"),
    Kind.IMPORT: ("import_s",),
}


LIMIT = "of the limit: how much of the time Redis was at work; of ideal: of what only the waiting would allow"
AT_BEST = "at best: with Redis always at work; or, one command at a time, what a bare socket reaches"


def show(console: Console, results: Results) -> None:
    """Print what was measured on each server, and which targets were met."""
    for server in results.servers:
        medians = results.medians(server)
        console.print(_table(f"{server}: medians of {results.rounds}", medians))
        console.print(targets_table(server, medians))
    for failure in results.failures:
        console.print(f"[red]no number:[/] {failure}", highlight=False)


def as_json(results: Results) -> dict[str, Any]:
    """Everything: each round, the medians, the targets."""
    return {
        "about": results.about,
        "rounds": results.rounds,
        "failures": results.failures,
        "servers": {
            server: {
                "runs": results.runs_of(server),
                "medians": _nested(results.medians(server)),
                "targets": _judged(server, results.medians(server)),
            }
            for server in results.servers
        },
    }


def _nested(medians: Medians) -> dict[str, dict[str, dict[str, float]]]:
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for (scenario, contender), measures in medians.items():
        nested.setdefault(scenario, {})[contender] = measures
    return nested


def _judged(server: str, medians: Medians) -> list[dict[str, Any]]:
    judged: list[dict[str, Any]] = []
    for target in TARGETS:
        value = target.value(medians)
        if value is not None and target.server in (None, server):
            bound = f"{'>=' if target.at_least else '<='} {target.bound:g}"
            judged.append(
                {
                    "target": target.text,
                    "must_be": bound,
                    "is": value,
                    "at_best": target.at_best(medians),
                    "met": target.met(value),
                }
            )
    return judged


def _table(title: str, medians: Medians) -> Table:
    table = Table(title=title, title_justify="left", caption=LIMIT, caption_justify="left")
    table.add_column("scenario")
    table.add_column("metric")
    for contender in WITH_BOUND:
        table.add_column(TITLES[contender], justify="right")
    table.add_column("/ Node", justify="right")
    table.add_column("/ official", justify="right")
    for scenario in SCENARIOS:
        rows = {contender: medians.get((scenario.name, contender), {}) for contender in WITH_BOUND}
        shown = [metric for metric in SHOWN[scenario.kind] if metric in rows[OURS]]
        for number, metric in enumerate(shown):
            title, form = METRICS[metric]
            values = [form(rows[each][metric]) if metric in rows[each] else "" for each in WITH_BOUND]
            ratios = [_ratio(rows[OURS][metric], rows[each].get(metric)) for each in (NODE, OFFICIAL)]
            last = number == len(shown) - 1
            table.add_row("" if number else scenario.title, title, *values, *ratios, end_section=last)
    return table


def _ratio(ours: float, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if theirs else ""


def targets_table(server: str, medians: Medians) -> Table:
    """Which targets were met, as far as what they are about was measured."""
    table = Table(title=f"{server}: targets", title_justify="left", caption=AT_BEST, caption_justify="left")
    table.add_column("target")
    for column in ("must be", "is", "at best"):
        table.add_column(column, justify="right")
    table.add_column("")
    for judged in _judged(server, medians):
        verdict = "[green]met[/]" if judged["met"] else "[red]missed[/]"
        at_best = f"{judged['at_best']:.3g}" if judged["at_best"] else ""
        table.add_row(judged["target"], judged["must_be"], f"{judged['is']:.3g}", at_best, verdict)
    return table
