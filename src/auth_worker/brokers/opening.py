"""Opens a broker: what the user passed, the settings' URL, or the embedded server. The only place that chooses.

Adapters are imported when a broker is opened, so that importing ``auth_worker.queue`` stays quick.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from auth_worker.core.partitions import check_partitions, partition_names
from auth_worker.errors import ConfigurationError
from auth_worker.system.forks import reset_in_child
from auth_worker.system.main_reimport import is_loading_consumer

if TYPE_CHECKING:
    from auth_worker.brokers.embedded.broker import EmbeddedBroker
    from auth_worker.brokers.redis.wire.address import Address
    from auth_worker.config import Settings
    from auth_worker.core.ports.operator import OperatorBroker
    from auth_worker.core.ports.producer import FlowBroker, ProducerBroker


class BrokerSource:
    """Where the broker is: ``connection``, else the URL of ``settings``, else the embedded one in their state_dir.

    The embedded one is held from ``start`` until ``stop``, and has ``startup_timeout`` s (30) to load its data;
    its ``address`` is known after the first ``start``. Any thread and event loop may use it. Raises
    ``ConfigurationError`` for an invalid connection, and where the settings forbid the embedded one.
    """

    def __init__(self, connection: Any, settings: Settings, *, startup_timeout: float | None = None) -> None:
        self._chosen_by = "the program"
        if connection is None and settings.redis_url is not None:
            connection, self._chosen_by = settings.redis_url.get_secret_value(), "redis_url"
        if connection is None and not settings.embedded:
            raise ConfigurationError(
                "redis_url (AUTH_WORKER_REDIS_URL) is not set, and embedded=false (AUTH_WORKER_EMBEDDED) forbids "
                "the embedded broker"
            )
        self._state_dir = settings.state_dir
        self._connection = connection
        if not is_loading_consumer():
            self.address  # noqa: B018 - raises if it is invalid
        self._embedded: EmbeddedBroker | None = None
        if connection is None:
            from auth_worker.brokers.embedded.broker import STARTUP_TIMEOUT, EmbeddedBroker

            timeout = STARTUP_TIMEOUT if startup_timeout is None else startup_timeout
            self._embedded = EmbeddedBroker(settings.state_dir, startup_timeout=timeout)
        self._mutex = threading.Lock()
        reset_in_child(self)

    @cached_property
    def address(self) -> Address:
        """Where the broker is."""
        from auth_worker.brokers.redis.wire.address import Address

        return Address() if self._connection is None else Address.of(self._connection)

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded one."""
        return self._embedded is not None

    @property
    def description(self) -> str:
        """Which broker was chosen, and why, without secrets."""
        if self.is_embedded:
            return f"embedded in {self._state_dir.absolute()}, as redis_url is not set"
        return f"{self.address}, as {self._chosen_by} says"

    async def start(self) -> Address:
        """Return the address once a server is running.

        Raises ``ConfigurationError`` and ``BrokerUnavailableError``.
        """
        if self._embedded is not None:
            self.address = type(self.address).of(await asyncio.to_thread(self._start, self._embedded))
        return self.address

    async def stop(self, is_unused: Callable[[], bool] = lambda: True) -> None:
        """Release the embedded server, if there is one and it ``is_unused``."""
        if self._embedded is not None:
            await asyncio.to_thread(self._stop, self._embedded, is_unused)

    def after_fork(self) -> None:
        """Replace the mutex in a forked child: another thread of the parent may hold it forever."""
        self._mutex = threading.Lock()

    def _start(self, embedded: EmbeddedBroker) -> str:
        with self._mutex:
            return embedded.start()

    def _stop(self, embedded: EmbeddedBroker, is_unused: Callable[[], bool]) -> None:
        with self._mutex:
            if is_unused():
                embedded.stop()


class Redirection(Protocol):
    """Where producers go instead of their own broker, however they were made: to that of a test."""

    @property
    def in_memory(self) -> bool:
        """Whether it is reached without a connection, so that any event loop serves for a call."""

    def producer(
        self, queue: str, settings: Settings, defaults: Mapping[str, Any], timeout: float
    ) -> ProducerBroker:
        """Return the broker for producers of ``queue``; called at each use. As ``producer_broker``."""

    def flows(self, settings: Settings, timeout: float) -> FlowBroker:
        """Return the broker for flows; called at each use. As ``flow_broker``."""


redirections: list[Redirection] = []
"""The ones in force; the last one counts. It holds for every thread of the process."""


@contextlib.contextmanager
def redirect(redirection: Redirection) -> Iterator[None]:
    """Send every producer of this process to ``redirection`` while the block runs."""
    redirections.append(redirection)
    try:
        yield
    finally:
        redirections.remove(redirection)


def producer_broker(
    queue: str,
    connection: Any,
    settings: Settings,
    defaults: Mapping[str, Any],
    timeout: float,
    partitions: int = 1,
) -> ProducerBroker:
    """Open the broker for producers of ``queue``, which has ``partitions``, chosen as ``BrokerSource`` does.

    ``defaults`` are options of its jobs. ``timeout`` (s) bounds connecting and each add. Raises
    ``ConfigurationError`` naming what is invalid.
    """
    from auth_worker.brokers.redis.producer import RedisProducer

    source = BrokerSource(connection, settings)
    check_partitions(queue, partitions, settings.prefix)
    if partitions == 1:
        return RedisProducer(queue, source, settings, defaults, timeout)
    from auth_worker.brokers.redis.partitioned_producer import PartitionedProducer

    names = partition_names(queue, partitions)
    parts = [RedisProducer(name, source, settings, defaults, timeout) for name in names]
    return PartitionedProducer(queue, parts, source, settings.prefix, defaults)


def flow_broker(connection: Any, settings: Settings, timeout: float) -> FlowBroker:
    """Open the broker for flows, chosen as ``BrokerSource`` does. ``timeout`` (s) bounds connecting and each add.

    Raises ``ConfigurationError`` naming what is invalid.
    """
    from auth_worker.brokers.redis.flows import RedisFlows

    return RedisFlows(BrokerSource(connection, settings), settings, timeout)


async def registered_partitions(settings: Settings, queue: str, timeout: float) -> int:
    """Return how many partitions a worker or a producer has registered last for ``queue``; 1 if none has.

    ``timeout`` (s) bounds connecting. Raises ``ConfigurationError`` and ``BrokerError``.
    """
    from auth_worker.brokers.redis.partition_registry import registered_partitions

    source = BrokerSource(None, settings)
    address = await source.start()
    try:
        return await registered_partitions(address, settings.prefix, queue, timeout)
    finally:
        await source.stop()


def operator_broker(connection: Any, prefix: str) -> OperatorBroker:
    """Open the broker for operators at ``connection``: a URL, a mapping, a redis.asyncio.Redis or an ``Address``.

    Raises ``ConfigurationError`` for an invalid connection.
    """
    from auth_worker.brokers.redis.operator import RedisOperatorBroker
    from auth_worker.brokers.redis.wire.address import Address

    return RedisOperatorBroker(Address.of(connection), prefix)


def check_url(url: str) -> None:
    """Raise ``ConfigurationError`` unless ``url`` names a broker."""
    from auth_worker.brokers.redis.wire.address import Address

    Address.of(url)


def acl_rules(settings: Settings) -> tuple[str, str | None]:
    """Return the minimal ACL of a user of the broker, and of one of its sentinels, if it has any.

    Raises ``ConfigurationError``.
    """
    from auth_worker.brokers.redis.server import acl_rule, sentinel_acl_rule
    from auth_worker.brokers.redis.wire.address import Address

    address = Address.of(settings.redis_url.get_secret_value()) if settings.redis_url else Address()
    rule = acl_rule(settings.prefix, cluster=bool(address.cluster))
    return rule, sentinel_acl_rule() if address.sentinels else None


def is_embedded_running(state_dir: Path) -> bool:
    """Whether a process runs the embedded broker of ``state_dir``."""
    from auth_worker.brokers.embedded.daemon import Place, answers
    from auth_worker.brokers.embedded.files import socket_path_in

    directory = Place(state_dir.expanduser().absolute() / "broker").directory
    return directory.is_dir() and answers(socket_path_in(directory))
