"""TLS with a private authority and client certificates: everything works over it, and errors name the cause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from auth_worker import Job, JobQueue, Settings, UnrecoverableError, WorkerService
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.errors import BrokerError, BrokerUnavailableError
from support.certificates import Authority
from support.command_line import run_here
from support.processors import DEAD, FAST, QUEUE, eventually
from support.servers import Server, free_port
from support.tls_servers import SecureServer, redis_server

SHORT_LEASE = {**FAST, "lock_duration": 600}
NO_AUTHORITY = r"cannot be trusted: self.signed certificate .*\?ssl_ca_certs="
NO_CLIENT = r"client certificate \(ssl_certfile, ssl_keyfile\)"
PLAIN_TO_TLS = r"is that Redis\? If the port speaks TLS, use rediss://"
TLS_TO_PLAIN = r"does that port speak TLS\? If not, use redis://"
Url = Callable[[SecureServer, Path], str]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    with SecureServer(tmp_path_factory.mktemp("tls")) as server:
        yield server


def strangers_certificate(server: SecureServer, folder: Path) -> str:
    client = Authority(folder / "stranger").issue("client")
    return server.url_at(f"rediss://127.0.0.1:{server.port}", client=client)


def wrong_authority(server: SecureServer, folder: Path) -> str:
    return server.url_at(f"rediss://127.0.0.1:{server.port}", authority=Authority(folder / "wrong").file)


def no_client_certificate(server: SecureServer, folder: Path) -> str:
    return f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={server.authority.file}"


def wrong_host(server: SecureServer, folder: Path) -> str:
    """By a name of this machine that its certificate does not have."""
    return server.url_at(f"rediss://localhost:{server.port}")


REFUSED: dict[str, tuple[Url, str]] = {
    "an authority that nobody named": (lambda server, _: f"rediss://127.0.0.1:{server.port}", NO_AUTHORITY),
    "another authority": (wrong_authority, NO_AUTHORITY),
    "another host": (wrong_host, r"is for another host: .*connect by a name in it, or .* \(subjectAltName\)"),
    "no client certificate": (no_client_certificate, NO_CLIENT),
    "a stranger's client certificate": (strangers_certificate, NO_CLIENT),
    "no TLS at a port that speaks it": (lambda server, _: f"redis://127.0.0.1:{server.port}", PLAIN_TO_TLS),
    "TLS at a port without": (
        lambda server, _: server.url_at(f"rediss://127.0.0.1:{server.plain.port}"),
        TLS_TO_PLAIN,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_connection_is_reported_with_its_remedy(
    secure: SecureServer, tmp_path: Path, case: str
) -> None:
    url, message = REFUSED[case]
    link = Link(Address.of(url(secure, tmp_path)), name="test")
    with pytest.raises(BrokerError, match=message):
        await link.start(0.5)


async def test_an_untrusted_certificate_is_reported_at_once(secure: SecureServer, tmp_path: Path) -> None:
    link = Link(Address.of(wrong_authority(secure, tmp_path)), name="test")
    with pytest.raises(BrokerError) as refused:
        await asyncio.wait_for(link.start(60), 5)
    assert not isinstance(refused.value, BrokerUnavailableError)
    assert "within" not in str(refused.value)


async def test_everything_works_over_tls(secure: SecureServer) -> None:
    """Producer, doorbell, leases from the watch loop, a retry, a dead letter; connections break."""
    slow = asyncio.Event()

    async def consumer(job: Job) -> None:
        if job.name == "dies":
            raise UnrecoverableError("no")
        if job.name == "retried" and job.attempt == 1:
            raise ValueError("once")
        if job.name == "slow":
            await slow.wait()

    settings = Settings(http_port=None, log_level="ERROR", reconcile_interval=0.2)
    service = WorkerService(secure.url, settings=settings)
    service.register_processor(
        queue_name=QUEUE, processor=consumer, worker_config=SHORT_LEASE, dead_letter_queue_name=DEAD
    )
    with Redis(port=secure.plain.port) as eyes:

        def have(state: str, number: int) -> bool:
            return bool(eyes.zcard(f"bull:{QUEUE}:{state}") == number)

        async with service, JobQueue(QUEUE, secure.url, settings=settings) as queue:
            job_id = await queue.add("slow", {})
            await queue.add_bulk(
                {"name": name, "data": {"n": "x" * 200_000}} for name in ("good", "retried", "dies")
            )
            await eventually(lambda: have("completed", 2) and have("failed", 1), "the others are done")
            eyes.client_kill_filter(_type="normal", skipme=True)
            first = eyes.pttl(f"bull:{QUEUE}:{job_id}:lock")
            await eventually(lambda: eyes.pttl(f"bull:{QUEUE}:{job_id}:lock") > first, "the lease is renewed")
            slow.set()
            await eventually(lambda: have("completed", 3), "the slow one is done")
            await queue.add("good", {})
            await eventually(lambda: have("completed", 4), "one that came to an idle worker is done")
        assert eyes.llen(f"bull:{DEAD}:wait") == 1
        assert not eyes.hget(f"bull:{QUEUE}:{job_id}", "stc")


def test_the_command_line_works_over_tls(secure: SecureServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("add", "letters", "n", "--data", "{}", "--redis", secure.url) == 0
    assert run_here("queues", "--redis", secure.url) == 0
    assert "letters" in capsys.readouterr().out
    assert run_here("doctor", "--redis", secure.url) == 0
    assert "the user may run every command that is needed" in capsys.readouterr().out


async def test_a_sentinel_is_asked_over_tls(secure: SecureServer) -> None:
    files = "\n".join(f"{name} {value}" for name, value in secure.files.items())
    sentinel = SecureSentinel(files, secure.port)
    with sentinel:
        url = secure.url_at(f"rediss+sentinel://127.0.0.1:{sentinel.tls_port}/primary")
        async with JobQueue("found", url) as queue:
            assert await queue.add("n", {})
        stranger = f"rediss+sentinel://127.0.0.1:{sentinel.tls_port}/primary?ssl_ca_certs={secure.authority.file}"
        with pytest.raises(BrokerUnavailableError, match=NO_CLIENT):
            await Address.of(stranger).resolve()


async def test_a_cluster_is_asked_over_tls(secure: SecureServer) -> None:
    port = free_port()
    config: dict[str, str | int] = {
        "cluster-enabled": "yes",
        "cluster-port": free_port(),
        "tls-cluster": "yes",
        "tls-port": port,
    }
    with Server(config={**secure.files, **config}, binary=redis_server()) as node:
        assert node.ask("CLUSTER ADDSLOTSRANGE 0 16383").startswith(b"+OK")
        await eventually(lambda: b"cluster_state:ok" in node.ask("CLUSTER INFO"), "the cluster is formed")
        url = secure.url_at(f"rediss+cluster://127.0.0.1:{port}")
        async with JobQueue("{found}", url) as queue:
            assert await queue.add("n", {})


class SecureSentinel(Server):
    """One that watches the server at ``port`` over TLS, and speaks it."""

    def __init__(self, files: str, port: int) -> None:
        super().__init__(binary=redis_server())
        self.tls_port = free_port()
        self._lines = (
            f"bind 127.0.0.1\ndir {self.directory}\n{files}\ntls-port {self.tls_port}\ntls-replication yes\n"
            f"sentinel monitor primary 127.0.0.1 {port} 1\n"
        )

    def _arguments(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        file.write_text(self._lines)
        return [str(file), "--sentinel", "--port", str(self.port)]
