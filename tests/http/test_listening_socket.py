"""A listening socket that the process is given, by systemd's convention, is the one it serves on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import environment
from support.http_requests import ask
from support.multiprocess_services import APP
from support.polling import wait_until

ACTIVATED = 'LISTEN_PID=$$ exec "$@"'
"""Keeps the process id, so that it can be named beforehand."""
TAKE = """
import os
from auth_worker.errors import ConfigurationError
from auth_worker.http.listening_socket import take_given_socket
try:
    given = take_given_socket()
    text = given and f"{given.getsockname()} {os.get_inheritable(given.fileno())}"
except ConfigurationError as error:
    text = str(error)
print(text, "LISTEN_PID" in os.environ, "LISTEN_FDS" in os.environ, sep="|")
"""


@contextlib.contextmanager
def activated(
    descriptor: int, output: Path, *command: str, script: str = ACTIVATED, **given: str
) -> Iterator[int]:
    """``command`` with ``descriptor`` as systemd would start it; killed at the end, unless it has ended."""
    pid = os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", script, "sh", sys.executable, *command],
        environment(state_dir=str(output.parent / "state")) | {"LISTEN_FDS": "1", **given},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, descriptor, 3),
        ],
    )
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_the_service_serves_on_the_socket_that_it_is_given(
    tmp_path: Path, redis_url: str, processes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    run = ("-m", "auth_worker", "run", "app:service", "--redis", redis_url, "--http-port", "none", *processes)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with activated(listener.fileno(), tmp_path / "said", *run) as pid:
            listener.close()
            assert ask(port, "/startupz").status in (200, 503), "it is answered as soon as it is asked"
            wait_until(lambda: ask(port, "/readyz").status == 200, "it is not ready", 30)
            os.kill(pid, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, (tmp_path / "said").read_text()


def test_an_address_that_strangers_reach_needs_a_token_here_too(tmp_path: Path, redis_url: str) -> None:
    run = ("-m", "auth_worker", "run", "--redis", redis_url)
    listener = socket.create_server(("0.0.0.0", 0))
    with listener, activated(listener.fileno(), tmp_path / "said", *run) as pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert "set http_token" in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("kind", "script", "count", "text"),
    [
        (socket.SOCK_STREAM, ACTIVATED, "1", "False|False|False"),
        (socket.SOCK_STREAM, 'LISTEN_PID=1 exec "$@"', "1", "None|True|True"),
        (socket.SOCK_STREAM, 'exec "$@"', "1", "None|False|True"),
        (socket.SOCK_STREAM, ACTIVATED, "2", "exactly one socket|False|False"),
        (socket.SOCK_DGRAM, ACTIVATED, "1", "a stream socket (ListenStream=)|False|False"),
        (None, ACTIVATED, "1", "descriptor 3 is not a socket|False|False"),
    ],
)
def test_a_socket_is_taken_once_and_only_by_the_process_it_is_for(
    tmp_path: Path, kind: socket.SocketKind | None, script: str, count: str, text: str
) -> None:
    said = tmp_path / "said"
    given = socket.socket(type=kind) if kind is not None else (tmp_path / "file").open("w")
    with given, activated(given.fileno(), said, "-c", TAKE, script=script, LISTEN_FDS=count) as pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said.read_text()
    assert text in said.read_text()
