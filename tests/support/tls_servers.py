"""A redis-server that uses TLS and requires a client certificate, signed by a private authority."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self

from support.certificates import Authority
from support.needed import skip_or_fail
from support.servers import Server, free_port


def redis_server() -> Path:
    """The redis-server to test with; without one the test is skipped, in CI it fails."""
    found = os.environ.get("AUTH_TEST_REDIS_SERVER") or shutil.which("redis-server")
    if not found:
        skip_or_fail("the tests of TLS need redis-server on the PATH", "apt-get install redis-server")
    return Path(found)


class SecureServer:
    """A server at 127.0.0.1, the only name in its certificate. ``plain`` is the same server without TLS."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "authority")
        self._client = self.authority.issue("client")
        certificate, key = self.authority.issue("redis", "IP:127.0.0.1")
        self.port = free_port()
        self.files: dict[str, str | int] = {
            "tls-ca-cert-file": str(self.authority.file),
            "tls-cert-file": str(certificate),
            "tls-key-file": str(key),
        }
        self.plain = Server(config={**self.files, "tls-port": self.port}, binary=redis_server())

    @property
    def url(self) -> str:
        """The address, with all that a client needs."""
        return self.url_at(f"rediss://127.0.0.1:{self.port}")

    def url_at(
        self, address: str, *, authority: Path | None = None, client: tuple[Path, Path] | None = None
    ) -> str:
        """``address`` with the right authority and client certificate, or with others."""
        certificate, key = client or self._client
        files = f"ssl_certfile={certificate}&ssl_keyfile={key}"
        return f"{address}?ssl_ca_certs={authority or self.authority.file}&{files}"

    def __enter__(self) -> Self:
        self.plain.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.plain.kill()
