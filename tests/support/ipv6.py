"""Whether this machine can serve IPv4 and IPv6 on one socket."""

from __future__ import annotations

import socket

from support.needed import skip_or_fail


def needs_dual_stack() -> None:
    """Skip the test where one socket cannot serve both; in CI fail it."""
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            port = server.getsockname()[1]
            for address in ("127.0.0.1", "::1"):
                socket.create_connection((address, port), timeout=5).close()
    except (OSError, ValueError) as error:
        skip_or_fail(
            f"the loopback interface needs 127.0.0.1 and ::1 ({type(error).__name__})",
            "sysctl net.ipv6.conf.lo.disable_ipv6=0",
        )
