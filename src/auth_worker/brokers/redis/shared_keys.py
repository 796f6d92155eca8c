"""The keys of what belongs to no single queue."""

from __future__ import annotations

from auth_worker.brokers.redis.wire.address import Address


def shared_key_prefix(prefix: str, address: Address) -> str:
    """Return what begins the keys of no single queue; in a cluster it has the hash tag that the queues share."""
    tag = f"{{{address.tag}}}"
    return prefix if tag == "{}" or tag in prefix else f"{prefix}:{tag}"
