"""Parsers of ages, rates and the like accept a text, or refuse it naming the flag, whatever the text is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from auth_worker.cli import parsers
from auth_worker.cli.app import app

PARSERS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "--older": (parsers.age_s, ("jobs", "orders")),
    "--timeout": (parsers.duration_ms, ("jobs", "orders")),
    "--rate": (parsers.rate_per_s, ("retry", "orders", "--all")),
    "--delay": (parsers.duration_ms, ("add", "orders", "send")),
    "--backoff": (parsers.backoff, ("add", "orders", "send")),
    "--remove-on-fail": (parsers.retention, ("add", "orders", "send")),
    "--priority": (parsers.whole_number, ("add", "orders", "send")),
    "--timestamp": (parsers.whole_number, ("add", "orders", "send")),
    "--startup-timeout": (parsers.number, ("run",)),
}
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text("0123456789.-+_e/:smhd \u0662\u00b2", max_size=12),
    st.from_regex(r"[0-9]{1,40}(\.[0-9]{1,40})?(ms|s|m|h|d|/s|/m|/h)?", fullmatch=True),
    st.sampled_from(["1_000", "1e999", "inf", "nan", "true", "{", "9" * 5000, "exponential:1s:nan", "0/s"]),
)


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers_in(each)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("flag", PARSERS)
@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_any_text_is_read_or_refused(flag: str, text: str) -> None:
    try:
        value = PARSERS[flag][0](text)
    except typer.BadParameter:
        return
    assert all(math.isfinite(number) for number in numbers_in(value))


@pytest.mark.parametrize("flag", PARSERS)
@settings(max_examples=15, deadline=None)
@given(text=TEXTS)
def test_a_refusal_names_the_flag_and_exits_with_2(flag: str, text: str) -> None:
    parse, command = PARSERS[flag]
    try:
        parse(text)
    except typer.BadParameter:
        ended = CliRunner().invoke(app, [*command, f"{flag}={text}"])
        assert ended.exit_code == 2
        assert flag in ended.output
        assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--processes"),
        ("run", "--concurrency"),
        ("run", "--smtp-port"),
        ("change", "orders", "1", "--priority"),
        ("jobs", "orders", "--limit"),
        ("jobs", "orders", "--offset"),
        ("jobs", "orders", "--scan"),
        ("dead", "list", "--limit"),
        ("dead", "purge", "--keep"),
        ("add", "orders", "send", "--attempts"),
        ("queues", "--interval"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("value", ["1_0", " 1", "\u0661"])
def test_what_is_a_number_to_python_alone_is_refused(command: tuple[str, ...], value: str) -> None:
    ended = CliRunner().invoke(app, [*command[:-1], f"{command[-1]}={value}"])
    assert ended.exit_code == 2
    assert command[-1] in ended.output


@pytest.mark.parametrize(
    ("command", "value", "described"),
    [
        (("run", "--processes"), "0", "1<=x<=256"),
        (("run", "--processes"), "257", "1<=x<=256"),
        (("change", "orders", "1", "--priority"), "-1", "0<=x<="),
        (("dead", "purge", "--keep"), "-1", "x>=0"),
        (("queues", "--interval"), "0.1", "x>=0.2"),
    ],
)
def test_a_number_out_of_range_is_refused_and_the_help_shows_the_range(
    command: tuple[str, ...], value: str, described: str
) -> None:
    ended = CliRunner().invoke(app, [*command[:-1], f"{command[-1]}={value}"])
    assert ended.exit_code == 2
    assert f"is not in the range {described}" in " ".join(ended.output.replace("│", " ").split())
    assert described in CliRunner().invoke(app, [*command[:-1], "--help"]).output
