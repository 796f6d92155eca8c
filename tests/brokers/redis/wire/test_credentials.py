"""A given client's credential_provider: asked for each connection, and what it gives is never shown."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest
from redis.asyncio import Redis
from redis.credentials import CredentialProvider

from auth_worker import Job, JobQueue, Settings, WorkerService
from auth_worker.brokers.redis.wire import dialing
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.credentials import CredentialSource
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.errors import BrokerError, BrokerUnavailableError
from support.fake_servers import Answer, impostor
from support.processors import eventually
from support.servers import Server

CANARY = "t0ken-canary"


class Plain(CredentialProvider):
    """Gives the credentials of ``now``, by a plain function."""

    def __init__(self, *now: Any) -> None:
        self.now: Any = now
        self.asked: list[str] = []

    def get_credentials(self) -> Any:
        self.asked.append(threading.current_thread().name)
        return self.now() if callable(self.now) else self.now


class Asynchronous(Plain):
    """The same, by an async function, which notes in which loop it runs."""

    async def get_credentials_async(self) -> Any:
        self.loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        return self.get_credentials()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """Lets in everybody, so that a test can rotate the token of ``ann``."""
    with Server() as server:
        yield server


def rotate(server: Server, token: str) -> None:
    """Make ``token`` the one token of ann."""
    assert server.ask(f"ACL SETUSER ann reset on >{token} ~* &* +@all").startswith(b"+OK")


def throw_out(server: Server) -> None:
    """End the connections of ann, as servers do when a token expires."""
    assert int(server.ask("CLIENT KILL USER ann")[1:]) > 0


def link_of(server: Server, provider: Any) -> Link:
    client = Redis(host="127.0.0.1", port=server.port, credential_provider=provider)
    return Link(Address.of(client), name="test")


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
async def test_each_connection_has_fresh_credentials(guarded: Server, kind: type[Plain]) -> None:
    rotate(guarded, "t1")
    provider = kind("ann", "t1")
    link = link_of(guarded, provider)
    await link.start(5)
    try:
        assert await link.execute("ACL", "WHOAMI") == b"ann"
        rotate(guarded, "t2")
        provider.now = ("ann", b"t2")
        throw_out(guarded)
        await eventually(lambda: len(provider.asked) >= 2 and link.is_up)
        assert await link.execute("ACL", "WHOAMI") == b"ann"
    finally:
        await link.stop()
    assert (kind is Plain) == all(name == "credentials" for name in provider.asked), "a plain one holds up no loop"


async def test_a_password_alone_and_an_empty_user_are_the_default_user(guarded: Server) -> None:
    for given in (("pw",), ("", "pw"), [b"pw"]):
        assert await CredentialSource(Plain(*given)).get() == ("pw",)


async def test_a_stale_token_is_tried_again_with_the_next(guarded: Server) -> None:
    rotate(guarded, "t1")
    tokens = iter(["stale", "stale", "t1"])
    provider = Plain()
    provider.now = lambda: ("ann", next(tokens))
    link = link_of(guarded, provider)
    await link.start(5)
    await link.stop()
    assert len(provider.asked) == 3


async def test_a_token_that_is_never_accepted_is_reported_with_its_remedy(guarded: Server) -> None:
    rotate(guarded, "t1")
    with pytest.raises(BrokerError, match=r"WRONGPASS .*; the credential_provider gives") as refused:
        await link_of(guarded, Plain("ann", CANARY)).start(0.5)
    assert CANARY not in told(refused.value)


async def test_a_changed_token_is_sent_on_an_open_connection(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "RENEWAL_INTERVAL", 0.05)
    rotate(guarded, "t1")
    provider = Plain("ann", "t1")
    link = link_of(guarded, provider)
    await link.start(5)
    try:
        first = link.client_id
        assert guarded.ask("ACL SETUSER bob reset on >t2 ~* &* +@all").startswith(b"+OK")
        provider.now = ("bob", "wrong")
        asked = len(provider.asked)
        await eventually(lambda: len(provider.asked) > asked + 2)
        assert await link.execute("ACL", "WHOAMI") == b"ann", "a refused one costs no connection"
        provider.now = ("bob", "t2")
        await eventually(lambda: b"user=bob" in guarded.ask("CLIENT LIST"))
        assert await link.execute("ACL", "WHOAMI") == b"bob"
        assert link.client_id == first
    finally:
        await link.stop()


async def test_a_server_that_wants_a_new_log_in_gets_one() -> None:
    provider = Plain("ann", "t1")
    with impostor(forgetful()) as port:
        link = Link(Address.of({"host": "127.0.0.1", "port": port, "credential_provider": provider}), name="test")
        await link.start(5)
        try:
            with pytest.raises(BrokerUnavailableError, match="NOAUTH"):
                await link.execute("GET", "x")
            await eventually(lambda: len(provider.asked) >= 2 and link.is_up)
        finally:
            await link.stop()


def forgetful() -> Callable[[], Answer]:
    """A Redis that no longer knows who asks for a key."""

    def answer(data: bytes) -> bytes:
        return b"".join(
            {b"GET": b"-NOAUTH Authentication required.\r\n", b"INFO": b"$0\r\n\r\n", b"CLIENT": b":7\r\n"}.get(
                command[0], b"+OK\r\n"
            )
            for command in commands(data)
        )

    return lambda: answer


def commands(data: bytes) -> list[list[bytes]]:
    reader = hiredis.Reader()
    reader.feed(data)
    found = []
    while (command := reader.gets()) is not False:
        found.append(command)
    return found


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def fail() -> Any:
    raise RuntimeError(f"token {CANARY} expired")


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
@pytest.mark.parametrize(
    ("now", "said"),
    [
        (fail, "raised RuntimeError; check"),
        (None, "gave NoneType where"),
        (CANARY, "gave str where"),
        (("ann", ""), "gave tuple where"),
        (("ann", None), "gave tuple where"),
        (("ann", CANARY, 3), "gave tuple where"),
        ((), "gave tuple where"),
    ],
)
async def test_a_provider_that_fails_is_reported_without_its_token(
    guarded: Server, kind: type[Plain], now: Any, said: str
) -> None:
    provider = kind()
    provider.now = now
    with pytest.raises(BrokerUnavailableError, match=f"the credential_provider .{kind.__name__}. {said}") as error:
        await link_of(guarded, provider).start(0.3)
    assert CANARY not in told(error.value)


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
async def test_a_provider_that_hangs_is_reported_and_holds_up_nothing(guarded: Server, kind: type[Plain]) -> None:
    release = threading.Event()

    class Hanging(kind):  # type: ignore[valid-type, misc]
        pass

    provider = Hanging("ann", "t1")
    if kind is Plain:
        provider.now = lambda: release.wait(20)
    else:
        provider.get_credentials_async = lambda: asyncio.sleep(20)
    began = time.monotonic()
    link = link_of(guarded, provider)
    with pytest.raises(BrokerUnavailableError, match="gave no credentials within 5 s; check that it can reach"):
        await link.start(0.3)
    assert time.monotonic() - began < 3
    release.set()


async def test_a_provider_that_hung_is_asked_again(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.wire.credentials.PROVIDER_TIMEOUT", 0.2)
    rotate(guarded, "t1")
    release = threading.Event()
    provider = Plain()
    provider.now = lambda: (release.wait(20) and None) or ("ann", "t1")
    link = link_of(guarded, provider)
    starting = asyncio.create_task(link.start(20))
    await eventually(lambda: link.last_error is not None)
    assert "gave no credentials within 0.2 s" in str(link.last_error)
    assert len(provider.asked) == 1, "a thread that hangs is not joined by others"
    release.set()
    await starting
    await link.stop()


async def test_an_async_provider_runs_in_one_loop_for_all(guarded: Server) -> None:
    provider = Asynchronous("ann", "t1")
    source = CredentialSource(provider)
    await source.get()
    home = asyncio.get_running_loop()
    assert await asyncio.to_thread(asyncio.run, source.get()) == ("ann", "t1")
    assert provider.loop is home


def test_a_loop_that_is_over_is_no_home(guarded: Server) -> None:
    source = CredentialSource(Asynchronous("ann", "t1"))
    for _ in range(3):
        assert asyncio.run(source.get()) == ("ann", "t1")


async def test_a_blocked_home_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.wire.credentials.HOME_TIMEOUT", 0.1)
    source = CredentialSource(Asynchronous("ann", "t1"))
    await source.get()
    elsewhere = threading.Thread(target=lambda: given.append(asyncio.run(source.get())))
    given: list[Any] = []
    elsewhere.start()
    elsewhere.join(10)  # this loop is blocked meanwhile
    assert given == [("ann", "t1")]


async def test_jobs_are_added_and_worked_with_a_provider(guarded: Server) -> None:
    rotate(guarded, "t1")
    client = Redis(host="127.0.0.1", port=guarded.port, credential_provider=Asynchronous("ann", "t1"))
    service = WorkerService(client, settings=Settings(http_port=None))
    done = asyncio.Event()

    async def consume(job: Job) -> None:
        done.set()

    service.register_processor(queue_name="orders", processor=consume)
    async with service, JobQueue("orders", client) as queue:
        await queue.add("order", {})
        await asyncio.wait_for(done.wait(), 10)
