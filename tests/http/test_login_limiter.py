"""Failures to log in: counted, forgotten, bounded."""

from __future__ import annotations

import pytest

from auth_worker.http.login_limiter import LIMIT, MOST_SOURCES, WINDOW_S, LoginLimiter, source_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test may change."""
    now = [1000.0]
    monkeypatch.setattr("auth_worker.http.login_limiter.time.monotonic", lambda: now[0])
    return now


def fail(found: LoginLimiter, address: str, times: int) -> None:
    for _ in range(times):
        found.add(address)


def test_after_the_last_attempt_an_address_waits_until_the_window_ends(clock: list[float]) -> None:
    found = LoginLimiter()
    fail(found, "10.0.0.1", LIMIT - 1)
    assert found.wait_s("10.0.0.1") == 0
    found.add("10.0.0.1")
    assert found.wait_s("10.0.0.1") == WINDOW_S
    assert found.wait_s("10.0.0.2") == 0
    clock[0] += WINDOW_S - 0.5
    assert found.wait_s("10.0.0.1") == 1
    clock[0] += 0.5
    assert found.wait_s("10.0.0.1") == 0
    fail(found, "10.0.0.1", LIMIT - 1)
    assert found.wait_s("10.0.0.1") == 0, "it counts from the beginning"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0a00:0001", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_a_host_counts_as_one_however_its_address_is_written(address: str, source: str) -> None:
    assert source_of(address) == source


def test_the_memory_is_bounded(clock: list[float]) -> None:
    found = LoginLimiter()
    for number in range(3 * MOST_SOURCES):
        fail(found, f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", LIMIT)
    assert len(found._found) == MOST_SOURCES
