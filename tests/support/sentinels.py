"""A primary, its replicas, and the sentinels that monitor them: real processes with little memory each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

from redis.asyncio import Redis

from support.processors import eventually
from support.replication import becomes, replication_of
from support.servers import Server

SERVICE = "primary"
DOWN_AFTER_MS = 500
FAILOVER_LIMIT_S = 30.0
"""How long (s) a failover may take. It takes two seconds; a busy machine needs more."""
QUICK: dict[str, str | int] = {"repl-diskless-sync-delay": 0}


class Sentinel(Server):
    """A server that runs as a sentinel, and stores what it learns in a file of its own."""

    def __init__(self, primary: Server, quorum: int = 2) -> None:
        super().__init__(binary=primary.binary)
        self._watched = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )

    def _arguments(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        if not file.exists():
            file.write_text(f"bind 127.0.0.1\ndir {self.directory}\n{self._watched}")
        return [str(file), "--sentinel", "--port", str(self.port)]


class Watched:
    """``primary`` and ``replica`` as they are at the start. Later the sentinels decide who is which."""

    def __init__(self) -> None:
        self._servers = ExitStack()
        self.primary = Server(config=QUICK)

    @property
    def url(self) -> str:
        """The URL of the sentinels."""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}"

    async def __aenter__(self) -> Self:
        self._servers.enter_context(self.primary)
        config = {**QUICK, "replicaof": f"127.0.0.1 {self.primary.port}"}
        self.replica = self._servers.enter_context(Server(config=config))
        self.sentinels = [self._servers.enter_context(Sentinel(self.primary)) for _ in range(3)]
        await eventually(self._all_know_all, "the sentinels know each other and the replica", FAILOVER_LIMIT_S)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._servers.close()

    async def promoted(self) -> None:
        """Wait until the sentinels have made the replica the primary."""

        await becomes(self.replica, "master", FAILOVER_LIMIT_S)

    async def _all_know_all(self) -> bool:
        for sentinel in self.sentinels:
            async with Redis(port=sentinel.port) as redis:
                state: Any = await redis.sentinel_master(SERVICE)
                if (state["num-slaves"], state["num-other-sentinels"]) != (1, 2):
                    return False
        return replication_of(self.replica).get("master_link_status") == "up"
