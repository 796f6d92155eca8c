"""What an optional part of the package says where it is not installed."""

from __future__ import annotations

import pytest

from auth_worker.core.extras import install_command, needs_extra
from auth_worker.errors import ConfigurationError, MissingExtraError


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtraError) as refusal, needs_extra("email", "e-mail"):
        raise ModuleNotFoundError("No module named 'aiosmtplib.errors'", name="aiosmtplib.errors")
    assert str(refusal.value) == (
        'e-mail needs the package aiosmtplib, which is not installed: pip install "auth-worker[email]"'
    )
    assert refusal.value.name == "aiosmtplib.errors"
    assert isinstance(refusal.value, ConfigurationError)
    assert isinstance(refusal.value, ImportError)


@pytest.mark.parametrize("name", ["auth_worker.http.nowhere", None])
def test_a_module_of_ours_that_is_missing_is_a_fault_and_no_extra(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), needs_extra("http", "the HTTP port"):
        raise ModuleNotFoundError("No module", name=name)


def test_the_command_can_be_pasted_into_every_shell() -> None:
    assert install_command("otel") == 'pip install "auth-worker[otel]"'
