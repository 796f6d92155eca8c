"""Where the embedded broker lives, who can reach it, and what it says when it cannot start."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_worker.brokers.embedded import broker as embedded
from auth_worker.brokers.embedded import daemon
from auth_worker.brokers.embedded import files as embedded_files
from auth_worker.brokers.embedded.broker import EmbeddedBroker
from auth_worker.brokers.embedded.daemon import FileLock, Place
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from support.embedded_users import ask, newest_aof, nothing_runs, reachable
from support.polling import wait_until
from support.servers import free_port


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state directory in which nothing may run any more when its test is over."""
    path = tmp_path / "state"
    yield path
    wait_until(lambda: nothing_runs(path), "a daemon or server is left over")


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


# Where it lives


def test_only_its_owner_can_reach_it(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        path = Path(broker.url.removeprefix("unix://"))
        assert path == state_dir / "broker" / "broker.sock"
        assert {p.stat().st_mode & 0o777 for p in (state_dir, path.parent)} == {0o700}
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(broker.url, "INFO", "server")["tcp_port"] == 0


@pytest.mark.parametrize("name", ["x" * 200, "sp ace % # ? \N{SNOWMAN} 'quoted\""])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    with EmbeddedBroker(place) as broker:
        ask(broker.url, "SET", "job", "1")
        url = broker.url
        with EmbeddedBroker(place) as other:
            assert other.url == url
    assert nothing_runs(place)
    with EmbeddedBroker(place) as broker:
        assert ask(broker.url, "GET", "job") == b"1"
        assert broker.url == url
        directory = Path(broker._socket_path).parent
        assert directory.stat().st_mode & 0o777 == 0o700
    assert directory == place / "broker" or not directory.exists()


def test_a_strangers_directory_is_never_used_for_a_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 200)
    directory.mkdir()
    first = Path(embedded_files.socket_path_in(directory)).parent
    first.chmod(0o777)
    second = Path(embedded_files.socket_path_in(directory)).parent
    assert first != second
    assert second.stat().st_mode & 0o777 == 0o700
    assert Path(embedded_files.socket_path_in(directory)).parent == second
    first.rmdir()
    second.rmdir()


def test_a_port_is_opened_on_request_only_and_on_the_loopback(state_dir: Path) -> None:
    port = free_port()
    with EmbeddedBroker(state_dir, port=port) as broker:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(64) == b"+PONG\r\n"
        assert ask(broker.url, "CONFIG", "GET", "bind") == {b"bind": b"127.0.0.1"}
        with pytest.raises(ConfigurationError, match="already runs without it"):
            EmbeddedBroker(state_dir, port=free_port()).start()
        assert reachable(broker.url)


def test_a_port_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="between 1 and 65535"):
        EmbeddedBroker(Path("state"), port=0)


# When it cannot start


def test_a_directory_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"state_dir .*file.*AUTH_WORKER_STATE_DIR"):
        EmbeddedBroker(tmp_path / "file").start()


def test_another_users_directory_is_refused(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (state_dir / "broker").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigurationError, match="runs as 4711"):
        EmbeddedBroker(state_dir).start()


def test_damaged_data_is_reported_with_the_servers_own_words(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        ask(broker.url, "SET", "job", "1")
    whole = newest_aof(state_dir).read_bytes()
    newest_aof(state_dir).write_bytes(b"rubbish\r\n" + whole)
    with pytest.raises(BrokerUnavailableError, match=r"ended while it started[^$]*Bad file format"):
        EmbeddedBroker(state_dir).start()
    assert nothing_runs(state_dir)


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = program(state_dir.parent / "server", "echo no luck today >&2; exit 3")
    monkeypatch.setattr(embedded, "_server_binary", lambda: binary)
    with pytest.raises(BrokerUnavailableError, match=r"AUTH_WORKER_REDIS_URL[^$]*no luck today"):
        EmbeddedBroker(state_dir).start()
    assert nothing_runs(state_dir)


def test_a_server_that_is_never_ready_is_given_up_in_time(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = program(state_dir.parent / "server", "echo still thinking; exec sleep 60")
    monkeypatch.setattr(embedded, "_server_binary", lambda: binary)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"not ready within 1 s[^$]*still thinking"):
        EmbeddedBroker(state_dir, startup_timeout=1).start()
    assert time.monotonic() - began < 10
    assert nothing_runs(state_dir)


def test_a_start_that_hangs_elsewhere_is_not_waited_for_forever(state_dir: Path) -> None:
    place = Place(state_dir / "broker")
    place.directory.mkdir(parents=True)
    with FileLock(place.start_lock) as lock:
        assert lock.take()
        with pytest.raises(BrokerUnavailableError, match=r"start\.lock"):
            EmbeddedBroker(state_dir, startup_timeout=0.2).start()


def test_a_server_that_still_loads_is_not_ready(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    replies = [b"-LOADING Valkey is loading the dataset in memory\r\n", b"+PONG\r\n"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(64)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        assert [daemon.answers(path) for _ in replies] == [False, True]
        thread.join()
    assert not daemon.answers(path)


def test_what_an_earlier_crash_left_behind_is_no_obstacle(state_dir: Path) -> None:
    place = Place(state_dir / "broker")
    place.directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place.directory / "broker.sock"))
    for lock in (place.start_lock, place.users_lock, place.daemon_lock, place.server_lock):
        lock.write_text("1")
    place.log.write_text("x" * 2_000_000)
    with EmbeddedBroker(state_dir) as broker:
        assert reachable(broker.url)
    assert place.log.stat().st_size < 100_000


@pytest.mark.parametrize(("content", "dropped"), [(b"", 0), (b"a\r\n", 0), (b"\0" * 70_000, 70_000)])
def test_only_zeroes_are_cut_off_an_aof(tmp_path: Path, content: bytes, dropped: int) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.9.incr.aof").write_bytes(b"old\0")
    newest = tmp_path / "appendonlydir" / "appendonly.aof.10.incr.aof"
    newest.write_bytes(content)
    assert daemon.drop_zeroed_tail(tmp_path) == dropped
    assert newest.read_bytes() == content[: len(content) - dropped]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_neither_daemon_nor_server_holds_secrets_of_the_environment_or_dumps_core(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_WORKER_SMTP_PASSWORD", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgres://ada:hunter2@db/x")
    with EmbeddedBroker(state_dir):
        folders = (state_dir / "broker", state_dir / "broker" / "data")  # of the daemon, of the server
        found = [process for process in Path("/proc").glob("[0-9]*") if _folder(process) in folders]
        assert len(found) == 2
        for process in found:
            assert b"hunter2" not in (process / "environ").read_bytes()
            assert re.search(rb"Max core file size +0 +0 ", (process / "limits").read_bytes())


def _folder(process: Path) -> Path | None:
    """Where a process runs; None for one of somebody else's, and one that has ended."""
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None
