"""Connects by Happy Eyeballs (RFC 8305) on every event loop: uvloop itself tries one address after another."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections import deque
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

ATTEMPT_DELAY = 0.25
"""How long (s) one address may take before the next one is tried as well (RFC 8305, section 5)."""
Target = tuple[int, int, Any]
"""Family, protocol and address of a socket."""
SocketOption = tuple[int, int, int]
"""Level, name and value, as ``setsockopt`` takes them."""


async def connect(host: str, port: int, options: Iterable[SocketOption] = ()) -> socket.socket:
    """Open a TCP connection to the first address of ``host`` that accepts one, and return its non-blocking socket.

    The addresses are tried in the resolver's order, alternating between families: each one 0.25 s after the
    previous one, or at once if that has failed. The other sockets are closed. There is no timeout; the caller sets
    one. ``options`` are set on each socket before it connects. Raises ``OSError`` with the reason of every
    address.
    """
    untried = deque(await _targets(host, port))
    waiting: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while untried or waiting:
            if untried:
                waiting.add(asyncio.create_task(_attempt(untried.popleft(), options)))
            delay = ATTEMPT_DELAY if untried else None
            done, waiting = await asyncio.wait(waiting, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    opened = task.result()
                except OSError as error:
                    errors.append(error)
                else:
                    waiting |= done - {task}
                    return opened
    finally:
        for task in waiting:
            task.add_done_callback(_close)
            task.cancel()
    raise _failure(host, errors)


async def _targets(host: str, port: int) -> list[Target]:
    """Resolve ``host`` to addresses, in the order to try them in. An IP address needs no resolver."""
    try:
        ipaddress.ip_address(host)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_family: dict[int, list[Target]] = {}
    for family, _, protocol, _, address in found:
        targets = by_family.setdefault(family, [])
        if (target := (family, protocol, address)) not in targets:
            targets.append(target)
    return [target for target in chain.from_iterable(zip_longest(*by_family.values())) if target is not None]


async def _attempt(target: Target, options: Iterable[SocketOption]) -> socket.socket:
    family, protocol, address = target
    if family == socket.AF_INET6 and address[3] and "%" not in address[0]:  # uvloop resolves host and port again
        address = (f"{address[0]}%{address[3]}", *address[1:])
    connection = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        connection.setblocking(False)
        for option in options:
            connection.setsockopt(*option)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError) and error.errno:  # each event loop words this differently
            place = host_and_port(*address[:2])
            raise OSError(error.errno, f"{place}: {os.strerror(error.errno)}") from error
        raise
    return connection


def host_and_port(host: str, port: int) -> str:
    """Format ``host:port`` as in a URL, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _close(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _failure(host: str, errors: list[OSError]) -> OSError:
    """Combine the errors of all addresses into one, of the kind of the first."""
    if not errors:
        return OSError(f"{host} resolves to no address")
    if len(errors) == 1:
        return errors[0]
    return OSError(errors[0].errno, "; ".join(error.strerror or str(error) for error in errors))
