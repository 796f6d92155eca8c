"""The shop of ``examples/shop``: worker, web application and Node producer as programs of their own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from interop.node_side import NODE_MODULES, NodeProcess
from support.command_line import environment
from support.http_requests import ask
from support.mail_servers import Mailbox, real_server
from support.processors import Harness, eventually
from support.servers import free_port
from support.warm_programs import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
PICTURE = {"title": "Blue", "ppm": base64.b64encode(b"P6 4 2 255\n" + b"\0\0\xff" * 8).decode(), "widths": [2, 1]}


@contextlib.asynccontextmanager
async def running(*command: str, env: dict[str, str], code: int) -> AsyncIterator[None]:
    """A program of the shop, which ends with ``code`` when it is told to."""
    program = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        program.terminate()
        assert await asyncio.to_thread(program.wait, 40) == code


async def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask the web application."""
    text = b"" if body is None else json.dumps(body).encode()
    answer = await asyncio.to_thread(ask, port, path, method, {"Content-Type": "application/json"}, text)
    return answer.status, answer.json


async def test_the_shop_works_with_the_web_application_and_with_node(
    harness: Harness, node_process: NodeProcess
) -> None:
    assert node_process
    mailbox = Mailbox()
    async with real_server(mailbox) as smtp_port:
        web_port = free_port()
        env = environment(redis_url=harness.url, http_port="0") | {
            "PYTHONPATH": str(ROOT),
            "NODE_PATH": str(NODE_MODULES),
            "SHOP_SMTP": f"127.0.0.1:{smtp_port}",
        }
        web = (sys.executable, "-m", "uvicorn", "examples.shop.web:app", "--port", str(web_port))
        worker = (str(PROGRAM), "run", "examples.shop.worker:service")
        async with running(*worker, env=env, code=0), running(*web, env=env, code=-signal.SIGTERM):

            async def is_up() -> bool:
                with contextlib.suppress(OSError):
                    return (await call(web_port, "GET", "/galleries/none"))[0] == 404
                return False

            await eventually(is_up, "the web application answers", within=60)
            await made_by_node(env)
            await made_by_the_web_application(web_port)
            await eventually(lambda: len(mailbox.messages) == 3, "all mails are sent", within=30)
        subjects = sorted(str(mail["Subject"]) for mail in mailbox.messages)
        assert subjects == ["Welcome, Ada", "Welcome, Grace", "Your order N-1"]
        assert await harness.redis.zcard("bull:shopMail:repeat") == 1


async def made_by_node(env: dict[str, str]) -> None:
    """Node enqueues mails, awaits a thumbnail, and a gallery of two."""
    command = ["node", "examples/shop/producer.js"]
    node = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert (node.returncode, node.stderr) == (0, "")
    assert json.loads(node.stdout) == {"width": 2, "height": 1, "title": "Grey", "widths": [3, 1]}


async def made_by_the_web_application(port: int) -> None:
    """A customer signs up, orders and takes it back; thumbnails and a gallery are made."""
    customer = {"email": "ada@example.org", "name": "Ada"}
    assert await call(port, "POST", "/customers", customer) == (202, {"job": "welcome-ada@example.org"})
    order = {"number": "7", "email": "ada@example.org", "total": 12.5}
    assert await call(port, "POST", "/orders", order) == (202, None)
    assert await call(port, "DELETE", "/orders/7") == (200, None)
    assert (await call(port, "DELETE", "/orders/7"))[0] == 409
    assert await call(port, "POST", "/thumbnails", PICTURE) == (200, {"width": 2, "height": 1})
    assert (await call(port, "POST", "/thumbnails", {**PICTURE, "ppm": "R0lG"}))[0] == 422
    _, gallery = await call(port, "POST", "/galleries", PICTURE)

    async def made() -> Any:
        _, shown = await call(port, "GET", f"/galleries/{gallery['job']}")
        return "widths" in shown and shown

    assert await eventually(made, "the gallery is made", within=30) == {"title": "Blue", "widths": [2, 1]}
