"""Partitions: one logical queue as several queues of the broker, spread over the nodes of a Redis Cluster.

A partition of ``mailQueue`` with 6 of them is a queue such as ``{mailQueue~6-13}``, and its dead letters are in
``{mailQueue~6-13}mailDead``: what is in braces decides the node, so both are on the same one. The last number is
chosen such that the partitions are evenly spread over the slots. A name says of which queue it is which partition.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from auth_worker.core.names import LONGEST_NAME, check_queue_name
from auth_worker.errors import ConfigurationError

MOST_PARTITIONS = 100
SLOTS = 16384
_NAME = re.compile(r"\{(?P<tag>(?P<queue>.+)~(?P<partitions>[1-9][0-9]{0,2})-[0-9]+)\}(?P<other>.*)", re.DOTALL)
_TAG = re.compile(r"\{([^}]+)\}")


class Partition(NamedTuple):
    """A queue of the broker as a partition: the ``number`` of it among the ``partitions`` of the ``queue``.

    ``queue`` is the logical queue; ``family`` is what it shares the nodes with: itself, or for a dead-letter queue
    the queue whose dead letters it has.
    """

    queue: str
    family: str
    partitions: int
    number: int


def check_partitions(queue: str, partitions: object, prefix: str) -> int:
    """Return the number of partitions of ``queue`` under ``prefix``; 1 means that it has none.

    Raises ``ConfigurationError`` naming what is wrong.
    """
    if isinstance(partitions, bool) or not isinstance(partitions, int) or not 1 <= partitions <= MOST_PARTITIONS:
        raise ConfigurationError(
            f"partitions must be a whole number between 1 and {MOST_PARTITIONS}, not {partitions!r:.40}"
        )
    if partitions > 1:
        if _TAG.search(prefix):
            raise ConfigurationError(
                f"partitions: the hash tag of the prefix {prefix!r:.80} would put all of them on one node; use a "
                "prefix without braces"
            )
        if "{" in queue or "}" in queue:
            raise ConfigurationError(
                f"partitions: the name {queue!r:.80} must have no braces: each partition adds them"
            )
        for name in partition_names(queue, partitions):
            check_queue_name("the name of each partition", name)
    return partitions


@lru_cache(maxsize=256)
def tags_of(family: str, partitions: int) -> tuple[str, ...]:
    """Return the hash tag of each partition: the first one that is in its share of the slots."""
    tags = []
    for number in range(partitions):
        first, after = number * SLOTS // partitions, (number + 1) * SLOTS // partitions
        attempt = 0
        while not first <= _slot(tag := f"{family}~{partitions}-{attempt}") < after:
            attempt += 1
        tags.append(tag)
    return tuple(tags)


def partition_names(queue: str, partitions: int, family: str | None = None) -> list[str]:
    """Return the names that the partitions of ``queue`` have in the broker; its own name if it has none.

    ``family``: for a dead-letter queue the queue whose dead letters it has.
    """
    if partitions == 1:
        return [queue]
    other = "" if family is None or family == queue else queue
    return [f"{{{tag}}}{other}" for tag in tags_of(family or queue, partitions)]


def partition_of_name(name: str) -> Partition | None:
    """Return which partition the broker's queue ``name`` is; None if it is a queue by itself."""
    found = _NAME.fullmatch(name)
    if found is None or not 1 < (partitions := int(found["partitions"])) <= MOST_PARTITIONS:
        return None
    family = found["queue"]
    tags = tags_of(family, partitions)
    if len(name) > LONGEST_NAME or found["tag"] not in tags:
        return None
    return Partition(found["other"] or family, family, partitions, tags.index(found["tag"]))


def logical_name(name: str) -> str:
    """Return the queue that the broker's queue ``name`` is a partition of, or the name itself."""
    partition = partition_of_name(name)
    return name if partition is None else partition.queue


def name_beside(name: str, queue: str) -> str:
    """Return the name of ``queue`` beside the broker's queue ``name``: in its partition, if that is one."""
    partition = partition_of_name(name)
    if partition is None:
        return queue
    return partition_names(queue, partition.partitions, partition.family)[partition.number]


def partition_of_id(job_id: str, partitions: int) -> int:
    """Return the partition of the job with this id.

    As in Redis Cluster, only what is in the first braces of the id decides, if it has any: jobs whose ids have
    that in common are in one partition.
    """
    tag = _TAG.search(job_id)
    return crc32((tag[1] if tag else job_id).encode(errors="surrogateescape")) % partitions


def id_prefix_of(partition_key: str) -> str:
    """Return what ids of jobs start with that belong to ``partition_key``, without showing the key itself."""
    return f"{{{crc32(partition_key.encode(errors='surrogateescape')):08x}}}"


def _slot(tag: str) -> int:
    """Return the slot of a key with this hash tag. Source: the Redis Cluster specification (CRC16 XMODEM)."""
    return crc_hqx(tag.encode(), 0) % SLOTS
