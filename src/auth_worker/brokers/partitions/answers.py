"""The answers of partitions: of those whose nodes can be reached, and of their lists as one list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from auth_worker.errors import BrokerUnavailableError

Part = TypeVar("Part")
Answer = TypeVar("Answer")


async def read_available(parts: Iterable[Part], read: Callable[[Part], Awaitable[Answer]]) -> list[Answer]:
    """Return what ``read`` returns for each part whose node is not away.

    Raises ``BrokerUnavailableError`` if all are, and any other error of ``read``.
    """
    results = await asyncio.gather(*map(read, parts), return_exceptions=True)
    answers: list[Answer] = []
    away: BaseException | None = None
    for result in results:
        if isinstance(result, BrokerUnavailableError):
            away = result
        elif isinstance(result, BaseException):
            raise result
        else:
            answers.append(result)
    if away is not None and not answers:
        raise away
    return answers


async def find_answer(parts: Iterable[Part], ask: Callable[[Part], Awaitable[Answer | None]]) -> Answer | None:
    """Return the first answer of a part that is neither None nor False; None if there is none.

    Raises ``BrokerUnavailableError`` if there is none and the node of a part is away, and any other error of
    ``ask``.
    """
    away: BrokerUnavailableError | None = None
    for part in parts:
        try:
            if answer := await ask(part):
                return answer
        except BrokerUnavailableError as error:
            away = error
    if away is not None:
        raise away
    return None


async def read_page(
    parts: Sequence[Part],
    read: Callable[[Part, int, int], Awaitable[list[Answer]]],
    count: Callable[[Part], Awaitable[int]],
    offset: int,
    limit: int,
) -> list[Answer]:
    """Return ``limit`` entries from ``offset`` on of lists that are one behind the other.

    ``read`` reads entries of one part, ``count`` counts them. Those of nodes that are away are left out.
    """
    found: list[Answer] = []
    for part in parts:
        try:
            entries = await read(part, offset, limit - len(found))
            offset = 0 if entries or not offset else max(offset - await count(part), 0)
        except BrokerUnavailableError:
            continue
        found += entries
        if len(found) >= limit:
            break
    return found
