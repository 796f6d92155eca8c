"""The primary is another server now, or somebody says so who is wrong: scenarios with servers of their own.

As in ``chaos.scenarios``, each returns what went wrong, nothing as long as its safeguard works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from chaos.harness import ChaosHarness
from chaos.worker_pool import ForkServer
from support.proxy import Proxy
from support.replication import settle
from support.sentinels import QUICK, SERVICE, Sentinel
from support.servers import Server

PATIENCE_S = 3.0
LASTING = {"lock_duration": 60_000}


async def demoted_primary(fork_server: ForkServer, directory: Path, off: str) -> list[str]:
    """The old primary lives on as a replica, and its name leads to the new one."""
    with Server(config=QUICK) as old, Server(config={**QUICK, "replicaof": f"127.0.0.1 {old.port}"}) as new:
        async with (
            Proxy(old.port) as name,
            ChaosHarness(fork_server, directory, old.url, found_by=name.url) as harness,
        ):
            await harness.workers.start(off=off, config=LASTING)
            await harness.add(*({"s": 0.05} for _ in range(40)))
            await harness.started(10)
            await settle(old, new)
            new.ask("REPLICAOF NO ONE")
            name.target = new.port
            await harness.look_at(new.url)
            old.ask(f"REPLICAOF 127.0.0.1 {new.port}")
            old.ask("CLIENT UNPAUSE")
            return await harness.verdict(PATIENCE_S)


async def outvoted_sentinel(fork_server: ForkServer, directory: Path, off: str) -> list[str]:
    """The first of three sentinels was cut off, and takes a server of before for the primary."""
    with ExitStack() as servers:
        primary, former = (servers.enter_context(Server()) for _ in range(2))
        sentinels = [servers.enter_context(Sentinel(watched)) for watched in (former, primary, primary)]
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        async with ChaosHarness(fork_server, directory, primary.url) as harness:
            await harness.workers.start(off=off, url=f"redis+sentinel://{places}/{SERVICE}")
            await harness.add({}, {})
            return await harness.verdict(PATIENCE_S)


RELOCATIONS: dict[str, Callable[[ForkServer, Path, str], Awaitable[list[str]]]] = {
    "leaving a demoted primary": demoted_primary,
    "majority of the sentinels": outvoted_sentinel,
}
"""By the safeguard that keeps it right."""
