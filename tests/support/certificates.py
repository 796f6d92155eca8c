"""A private certificate authority, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority:
    """A certificate authority. Its own certificate is ``file``; those it issues are in ``folder``."""

    def __init__(self, folder: Path, name: str = "private authority") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl("-subj", f"/CN={name}", "-keyout", self._key, "-out", self.file)

    def issue(self, name: str, subject_alt_name: str = "DNS:localhost") -> tuple[Path, Path]:
        """Issue a certificate for ``name``, valid for server and client, and its key."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        _openssl(
            *("-subj", f"/CN={name}", "-CA", self.file, "-CAkey", self._key),
            *("-addext", f"subjectAltName={subject_alt_name}", "-addext", "basicConstraints=critical,CA:false"),
            *("-keyout", key, "-out", certificate),
        )
        return certificate, key


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", "req", "-x509", *_KEY, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
