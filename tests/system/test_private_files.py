"""What the service writes is its owner's alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from auth_worker.brokers.embedded.files import socket_path_in
from auth_worker.system.private_files import make_private_directories, write_private
from support.embedded_users import nothing_runs
from support.polling import wait_until

WRITE_ALL = """
import asyncio, os, sys, time
from email.message import EmailMessage
from pathlib import Path

import redis

from auth_worker.brokers.embedded.broker import EmbeddedBroker
from auth_worker.email import OutboxEmailService

umask, state = int(sys.argv[1], 8), Path(sys.argv[2])
os.umask(umask)
mail = EmailMessage()
mail["To"], mail["Message-ID"] = "ada@example.com", "<one@example.com>"
mail.set_content("secret")
if sys.argv[3] == "outbox first":
    asyncio.run(OutboxEmailService(state / "outbox").send(mail))
with EmbeddedBroker(state) as broker:
    with redis.Redis.from_url(broker.url) as client:
        client.set("job", "secret")
        client.bgrewriteaof()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.01)
    asyncio.run(OutboxEmailService(state / "outbox").send(mail))
    for path in sorted(state.parent.parent.rglob("*")):
        print(path.relative_to(state.parent.parent), oct(path.lstat().st_mode & 0o777))
"""
UMASKS = ("000", "022", "077", "277", "777")


def modes(umask: str, state: Path, order: str) -> dict[str, int]:
    """The mode of each file, directory and socket, while the broker runs and a mail has been written."""
    ended = subprocess.run(
        [sys.executable, "-B", "-c", WRITE_ALL, umask, str(state), order],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return {name: int(mode, 8) for name, mode in (line.rsplit(" ", 1) for line in ended.stdout.splitlines())}


@pytest.mark.parametrize("order", ["broker first", "outbox first"])
@pytest.mark.parametrize("umask", UMASKS)
def test_broker_state_directory_and_outbox_are_private_under_any_umask(
    tmp_path: Path, umask: str, order: str
) -> None:
    state = tmp_path / "a" / "b" / "state"
    found = modes(umask, state, order)
    wait_until(lambda: nothing_runs(state), "a daemon or server is left over")
    names = ("broker/broker.sock", "broker/broker.log", "broker/users.lock", "broker/data", "outbox/one.eml")
    assert {f"b/state/{name}" for name in names} <= found.keys()
    directories = {name for name in found if (tmp_path / "a" / name).is_dir()}
    assert {
        name: oct(mode) for name, mode in found.items() if mode != (0o700 if name in directories else 0o600)
    } == {}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


@pytest.mark.parametrize("umask", UMASKS)
def test_the_directory_of_a_socket_with_a_long_path_is_private_under_any_umask(tmp_path: Path, umask: str) -> None:
    directory = tmp_path / ("x" * 200)
    directory.mkdir()
    before = os.umask(int(umask, 8))
    try:
        place = Path(socket_path_in(directory)).parent
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "socket-directory").stat().st_mode) == 0o600
    place.rmdir()


def test_a_directory_that_the_user_created_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert not make_private_directories(tmp_path)
    assert make_private_directories(tmp_path / "new" / "newer")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_private_directories(tmp_path / "file")


def test_a_file_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o666)
    write_private(tmp_path / "file", "secret")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
