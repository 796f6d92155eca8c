"""What every command has in common."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest

from auth_worker import __version__
from auth_worker.cli.async_runner import interruptible, loop_factory
from support.command_line import run_here

COMMANDS = ("demo", "run", "add", "version")


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_the_version_is_shown(capsys: pytest.CaptureFixture[str], arguments: tuple[str]) -> None:
    assert run_here(*arguments) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--help") == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"│ {name} " not in shown] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run_here(command, "-h") == 0
    assert f"Example: auth-worker {command}" in capsys.readouterr().out


def test_an_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("rnu") == 2
    assert "No such command 'rnu'" in capsys.readouterr().err


def test_an_error_is_printed_on_any_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert run_here("run", "ünknown") == 2
    assert "not 'ünknown'" in stream.getvalue()


def test_asyncio_serves_where_uvloop_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


async def test_a_cancellation_that_is_no_signal_goes_on() -> None:
    async def cancelled() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await interruptible(cancelled(), 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("{}",),
        ("jobs", "{}"),
        ("jobs", "mail", "--state", "{}"),
        ("jobs", "mail", "--where", "{}"),
        ("jobs", "mail", "--{}"),
        ("add", "{}", "x"),
        ("add", "mail", "x", "--lines", "{}"),
        ("add", "mail", "x", "--job-id", "{}"),
        ("retry", "mail", "--older", "{}"),
        ("dead", "list", "--reason", "{}"),
        ("run", "{}"),
        ("health", "--url", "{}"),
        ("queues", "--config", "{}"),
    ],
)
def test_what_an_error_quotes_cannot_control_the_terminal(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    hostile = "x\x1b]0;PWNED\x07\x9b2J\u202e\u2028\U000e0041[red]"
    assert run_here(*(argument.format(hostile) for argument in arguments)) != 0
    said = capsys.readouterr().err
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2028", "\U000e0041"} & set(said)
