"""Redis Cluster: all queues of a prefix with a hash tag live on one node; here is asked which one it is now.

A BullMQ script touches many keys of a queue, and a dead letter two queues at once, so they must share a slot:
``{bull}`` as the prefix sees to that. When the slot moves, Redis answers MOVED, the connection is given up, and
the next one asks again. Prefixes with different tags spread over the nodes.
"""

from __future__ import annotations

import re
import ssl

from redis.asyncio.cluster import ClusterNode, RedisCluster

from auth_worker.errors import BrokerUnavailableError, ConfigurationError


def check_prefix(prefix: str) -> None:
    """Raise ``ConfigurationError`` unless ``prefix`` has a hash tag."""
    if not re.search(r"\{[^}]+\}", prefix):
        raise ConfigurationError(
            f"prefix {prefix!r}: in a Redis Cluster it needs a hash tag, so that the keys of a queue share "
            "a slot: set prefix to {bull} (AUTH_WORKER_PREFIX), here and in every producer"
        )


async def node_of(
    key: str,
    nodes: tuple[tuple[str, int], ...],
    *,
    username: str | None,
    password: str | None,
    tls: ssl.SSLContext | None,
) -> tuple[str, int]:
    """The host and port of the primary that has ``key`` now, asked from any of ``nodes``.

    Raises ``BrokerUnavailableError`` when none of them knows.
    """
    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes],
        username=username,
        password=password,
        ssl=tls is not None,
        socket_timeout=2,
        socket_connect_timeout=2,
    )
    try:
        await client.initialize()
        node = client.get_node_from_key(key)
        if node is None:
            raise BrokerUnavailableError(f"no node of the cluster has the slot of {key}")
        return str(node.host), int(node.port)
    except BrokerUnavailableError:
        raise
    except Exception as error:
        raise BrokerUnavailableError(f"no node of the cluster answers: {error}") from error
    finally:
        await client.aclose()
