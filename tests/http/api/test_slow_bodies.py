"""Bodies that come slowly take no turn of the API, and those that are held have a bound."""

from __future__ import annotations

import asyncio

from auth_worker.http.request_limiter import BodyMemory
from support.admin_api import ADMIN, service_at
from support.http_requests import Api, asked
from support.processors import QUEUE, Harness

SLOW = 12
"""More than one caller's turns."""
ROOM = 1024 * 1024


async def _send_part(port: int | None, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose last byte does not come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /api/v1/queues/{QUEUE}/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n"
        f"X-Auth-Worker: 1\r\nContent-Length: {size + 1}\r\n\r\n".encode()
        + b" " * size
    )
    await writer.drain()
    return reader, writer


async def test_slow_bodies_keep_nobody_from_a_turn(harness: Harness) -> None:
    async with service_at(harness.url) as service, asyncio.timeout(20):
        api = Api(service.http_port, ADMIN)
        slow = [await _send_part(service.http_port, 10) for _ in range(SLOW)]
        assert (await api.post(f"/queues/{QUEUE}/jobs", {"name": "good"})).status == 201
        assert (await asked(service.http_port, "/livez")).status == 200
        for _, writer in slow:
            writer.close()


async def test_the_bodies_of_one_caller_share_a_bound(harness: Harness) -> None:
    async with service_at(harness.url, max_payload_bytes=1024) as service, asyncio.timeout(20):
        held = [await _send_part(service.http_port, ROOM) for _ in range(3)]
        first = [asyncio.create_task(reader.readline()) for reader, _ in held]
        done, _ = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().split()[1] for task in done] == [b"429"]
        for _, writer in held:
            writer.close()
        await asyncio.gather(*first, return_exceptions=True)


def test_memory_is_bounded_for_each_caller_and_in_total() -> None:
    memory = BodyMemory(each=2, most=3)
    assert [memory.take("a", 2), memory.take("a", 1), memory.take("b", 2), memory.take("b", 1)] == [0, 429, 503, 0]
    memory.release("a", 2)
    assert memory.take("b", 1) == 0
