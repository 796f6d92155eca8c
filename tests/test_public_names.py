"""The names of the package itself, which are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import auth_worker


def test_every_public_name_is_there() -> None:
    assert {name for name in auth_worker.__all__ if not hasattr(auth_worker, name)} == set()
    assert set(auth_worker.__all__) <= set(dir(auth_worker))


def test_modules_are_attributes_without_being_imported_first() -> None:
    program = "import auth_worker; print(auth_worker.config.WORKER_CONFIG is auth_worker.WORKER_CONFIG)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout == "True\n"


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = auth_worker.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute '_nothing'"):
        _ = auth_worker._nothing  # type: ignore[attr-defined]
