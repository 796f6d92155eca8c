"""Fake servers that misbehave, each in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import hiredis

Answer = Callable[[bytes], bytes]


@contextlib.contextmanager
def impostor(answer: Callable[[], Answer]) -> Iterator[int]:
    """Listen on a free port of 127.0.0.1. Each connection gets an ``answer()`` that decides the replies."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    open_sockets = [listener]

    def serve(connection: socket.socket, say: Answer) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(say(data))

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_sockets.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection, answer())))
                threads[-1].start()

    threads.append(threading.Thread(target=listen))
    threads[0].start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for one in open_sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join(10)


def web_server() -> Answer:
    """Answers everything as a bad request."""
    return lambda data: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def silence() -> Answer:
    """Listens, and never answers."""
    return lambda data: b""


def redis_that_throws_out_the_first() -> Callable[[], Answer]:
    """Logs clients in, but sends the first one an extra reply after the last of the login."""
    clients = 0

    def next_client() -> Answer:
        nonlocal clients
        clients += 1
        first, say = clients == 1, redis_of_old()
        return lambda data: say(data) + (b"+OK\r\n" if first and b"ID" in data else b"")

    return next_client


def redis_of_old() -> Answer:
    """Redis 5, as far as a client sees that only logs in."""
    reader = hiredis.Reader()
    info = b"redis_version:5.0.14\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"
    answers = {b"PING": b"+PONG\r\n", b"CLIENT": b":7\r\n", b"INFO": b"$%d\r\n%s\r\n" % (len(info), info)}

    def say(data: bytes) -> bytes:
        reader.feed(data)
        said = b""
        while (command := reader.gets()) is not False:
            said += answers.get(command[0], b"+OK\r\n")
        return said

    return say
