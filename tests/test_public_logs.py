"""The public names for logging stay importable."""

from __future__ import annotations

from auth_worker import logs, observability


def test_the_public_names_are_those_of_the_service() -> None:
    assert set(logs.__all__) <= set(observability.logs.__all__)
    assert all(getattr(logs, name) is getattr(observability.logs, name) for name in logs.__all__)
