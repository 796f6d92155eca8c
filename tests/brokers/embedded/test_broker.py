"""The embedded broker: shared, durable, restarted, and gone with its last user, whatever is killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from auth_worker.brokers.embedded import files as embedded_files
from auth_worker.brokers.embedded.broker import EmbeddedBroker
from auth_worker.errors import BrokerUnavailableError
from support.embedded_users import (
    User,
    another_server,
    ask,
    daemon_pid,
    newest_aof,
    nothing_runs,
    reachable,
    server_pid,
)
from support.polling import wait_until


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state directory in which nothing may run any more when its test is over."""
    path = tmp_path / "state"
    yield path
    wait_until(lambda: nothing_runs(path), "a daemon or server is left over")


@pytest.fixture
def user(state_dir: Path) -> Iterator[Callable[[], User]]:
    users: list[User] = []

    def start() -> User:
        users.append(User(state_dir))
        return users[-1]

    yield start
    for one in users:
        if one.process.poll() is None:
            one.kill()


# Sharing


def test_two_processes_share_one_broker(state_dir: Path, user: Callable[[], User]) -> None:
    other = user()
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "from", "here")
        assert broker.url == other.url
        assert server_pid(other.url) == server_pid(broker.url)
        other.leave()
        assert ask(broker.url, "GET", "from") == b"here"


def test_processes_that_start_together_start_one_broker(state_dir: Path) -> None:
    brokers = [EmbeddedBroker(state_dir) for _ in range(8)]
    with ThreadPoolExecutor(len(brokers)) as pool:
        urls = list(pool.map(EmbeddedBroker.start, brokers))
        pids = {server_pid(url) for url in urls}
        list(pool.map(EmbeddedBroker.stop, brokers))
    assert len(pids) == 1


def test_stopped_means_stopped(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        url = broker.url
    assert nothing_runs(state_dir)
    assert not reachable(url)


def test_starting_and_stopping_twice_is_harmless(state_dir: Path) -> None:
    broker = EmbeddedBroker(state_dir)
    broker.stop()
    assert broker.start() == broker.start() == broker.url
    broker.stop()
    broker.stop()
    assert broker.start() == broker.url
    broker.stop()
    with pytest.raises(BrokerUnavailableError, match="not started"):
        _ = broker.url


def test_whoever_arrives_while_the_last_leaves_gets_a_broker_that_stays(state_dir: Path) -> None:
    rounds, users = 12, 4

    def come_and_go(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(rounds):
            with EmbeddedBroker(state_dir) as broker, socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(broker.url.removeprefix("unix://"))
                connection.sendall(b"INCR visits\r\n")
                assert connection.recv(64).startswith(b":")
                time.sleep(dice.choice((0, 0.02, 0.11)))
                connection.sendall(b"PING\r\n")  # the same connection: the server is still the same
                assert connection.recv(64) == b"+PONG\r\n"
            time.sleep(dice.choice((0, 0.05, 0.1)))

    with ThreadPoolExecutor(users) as pool:
        list(pool.map(come_and_go, range(users)))
    assert nothing_runs(state_dir)
    with EmbeddedBroker(state_dir) as broker:
        assert int(ask(broker.url, "GET", "visits")) == rounds * users


# Surviving


def test_data_survives_a_restart(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "job", "1")
    with EmbeddedBroker(state_dir) as broker:
        assert ask(broker.url, "GET", "job") == b"1"
        assert ask(broker.url, "CONFIG", "GET", "maxmemory-policy") == {b"maxmemory-policy": b"noeviction"}


def test_data_survives_kill_9_of_everybody(state_dir: Path, user: Callable[[], User]) -> None:
    victim = user()
    ask(victim.url, "SET", "job", "1")
    pids = daemon_pid(victim.url), server_pid(victim.url)
    victim.kill()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with EmbeddedBroker(state_dir) as broker:
        assert ask(broker.url, "GET", "job") == b"1"


def test_a_killed_server_is_back_at_the_same_address_with_its_data(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        for round_ in range(3):
            ask(broker.url, "SET", f"job{round_}", "1")
            victim = server_pid(broker.url)
            os.kill(victim, signal.SIGKILL)
            wait_until(partial(another_server, broker.url, victim), "the server is not back")
        assert ask(broker.url, "DBSIZE") == 3


def test_a_killed_daemon_is_replaced_at_the_same_address(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "job", "1")
        first = server_pid(broker.url)
        os.kill(daemon_pid(broker.url), signal.SIGKILL)
        wait_until(lambda: another_server(broker.url, first), "the broker is not back")
        assert ask(broker.url, "GET", "job") == b"1"


def test_ctrl_c_in_a_users_terminal_does_not_reach_the_broker(state_dir: Path, user: Callable[[], User]) -> None:
    first = user()
    with EmbeddedBroker(state_dir) as broker:
        pid = server_pid(broker.url)
        os.killpg(first.process.pid, signal.SIGINT)
        first.process.communicate(timeout=30)
        assert server_pid(broker.url) == pid


def test_a_stop_signal_to_all_processes_of_a_service_leaves_its_users_a_broker(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "job", "1")
        first = server_pid(broker.url)
        for pid in (daemon_pid(broker.url), first):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: another_server(broker.url, first), "the broker is not back")
        assert ask(broker.url, "GET", "job") == b"1"


@pytest.mark.parametrize("damage", [b"\0" * 100_000, b"*3\r\n$3\r\nSET\r\n$1", b"*3\r\n$3\r\nSET\r\n\0\0\0"])
def test_a_power_loss_costs_the_unfinished_command_only(state_dir: Path, damage: bytes) -> None:
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "job", "1")
    with newest_aof(state_dir).open("ab") as aof:
        aof.write(damage)
    with EmbeddedBroker(state_dir) as broker:
        assert ask(broker.url, "GET", "job") == b"1"


# Nothing is left


def test_nothing_is_left_after_kill_9_of_the_last_user(state_dir: Path, user: Callable[[], User]) -> None:
    survivor, victim = user(), user()
    victim.kill()
    assert reachable(survivor.url)
    survivor.kill()
    wait_until(lambda: nothing_runs(state_dir), "the broker outlived its last user")
    assert not reachable(victim.url)


def test_nothing_is_left_after_kill_9_of_the_daemon_and_the_user(
    state_dir: Path, user: Callable[[], User]
) -> None:
    victim = user()
    pid = daemon_pid(victim.url)
    victim.process.kill()
    os.kill(pid, signal.SIGKILL)
    victim.kill()
    wait_until(lambda: nothing_runs(state_dir), "the server outlived its daemon")


def test_a_user_that_leaves_right_after_its_daemon_was_killed_leaves_nothing(state_dir: Path) -> None:
    broker = EmbeddedBroker(state_dir)
    os.kill(daemon_pid(broker.start()), signal.SIGKILL)
    broker.stop()
    assert nothing_runs(state_dir)


def test_a_frozen_server_without_daemon_is_ended_before_the_next_starts(
    state_dir: Path, user: Callable[[], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = user()
    ask(victim.url, "SET", "job", "1")
    server, its_daemon = server_pid(victim.url), daemon_pid(victim.url)
    os.kill(server, signal.SIGSTOP)
    victim.process.kill()
    os.kill(its_daemon, signal.SIGKILL)
    victim.kill()
    monkeypatch.setattr(embedded_files, "STOP_TIMEOUT", 0.2)
    with EmbeddedBroker(state_dir) as broker:
        assert server_pid(broker.url) != server
        assert ask(broker.url, "GET", "job") == b"1"


def test_children_of_a_user_do_not_keep_the_broker_alive(state_dir: Path) -> None:
    broker = EmbeddedBroker(state_dir)
    broker.start()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    read, write = os.pipe()
    forked = os.fork()
    if not forked:
        os.write(write, b"1" if not broker.started else b"0")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(read, 1) == b"1"
        broker.stop()
        assert nothing_runs(state_dir)
    finally:
        os.kill(forked, signal.SIGKILL)
        os.waitpid(forked, 0)
        child.kill()
        child.wait()
        os.close(read)
        os.close(write)
