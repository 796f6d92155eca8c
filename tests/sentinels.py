"""A primary, its replicas, and the sentinels that watch them: real processes, each with a small memory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

from redis.asyncio import Redis

from replication import becomes, replication_of
from servers import Server
from workers import eventually

SERVICE = "primary"
DOWN_AFTER_MS = 500
FAILOVER_LIMIT_S = 30.0
"""It takes two seconds; a busy machine is given time."""
QUICK: dict[str, str | int] = {"repl-diskless-sync-delay": 0}


class Sentinel(Server):
    """A server binary as a sentinel; keeps what it learns in a file of its own, as sentinels do."""

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
    """``primary`` and ``replica`` as they are at the start; later the sentinels say who is which."""

    def __init__(self) -> None:
        self._servers = ExitStack()
        self.primary = Server(config=QUICK)

    @property
    def url(self) -> str:
        """Where the service finds it."""
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
