"""Runs the command line in the server of programs: ``program_client.py SOCKET [ARGUMENT...]``."""

from __future__ import annotations

import json
import os
import socket
import sys


def main(address: str, *arguments: str) -> int:
    """Start the program with this process's streams, folder and environment; returns its exit code."""
    start = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(start).encode()], [0, 1, 2])
        server.recv(64)  # the pid
        return int(server.recv(64))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
