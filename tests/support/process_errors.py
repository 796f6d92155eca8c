# ruff: noqa: N818 - as consumers name theirs
"""Exceptions with constructors of their own, as consumers write them."""

from __future__ import annotations

from typing import Any

from auth_worker.errors import Delay, InvalidJobDataError, RateLimited, UnrecoverableError, WaitForChildren


class Later(Delay):
    """In minutes; rebuilt from its message, it would take that for the minutes."""

    def __init__(self, minutes: int) -> None:
        super().__init__(minutes * 60)


class Tomorrow(Delay):
    def __init__(self) -> None:
        super().__init__(86400)


class AtTen(Delay):
    def __init__(self, *, hour: int) -> None:
        super().__init__(hour * 3600)


class Locked(Delay):
    seconds = 7

    def __init__(self, name: str, *, handle: Any) -> None:
        Exception.__init__(self, name)
        self.handle = lambda: handle


class Slow(RateLimited):
    def __init__(self, *, provider: str) -> None:
        super().__init__(2)
        self.provider = provider


class Waiting(WaitForChildren):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class NoSuchUser(UnrecoverableError):
    def __init__(self, number: int, tenant: str) -> None:
        super().__init__(f"user {number} of {tenant}")


class Gone(NoSuchUser):
    reason_class = "gone"


class BadOrder(InvalidJobDataError):
    def __init__(self, field: str, message: str) -> None:
        super().__init__("bad order", [{"field": field, "message": message}])


class Odd(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Final(Odd):
    retryable = False


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")

    def __reduce__(self) -> Any:
        raise TypeError("no")


def local_error() -> Exception:
    class Local(Exception):
        pass

    return Local("of a function")
