"""Keeps a forked child from sharing what belongs to its parent, and renews what the child needs.

A fork copies objects and descriptors, but no thread except the one that forks. So a child must not use a socket of
its parent, cannot rely on a thread of its parent, and may find a lock held by a thread that it does not have.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Descriptor(Protocol):
    """An object with a descriptor of the operating system."""

    def fileno(self) -> int:
        """The descriptor, or -1 once it is closed."""


class Renewable(Protocol):
    """An object that a forked child must reset."""

    def after_fork(self) -> None:
        """Reset the object. Called in the child, before anything else runs there."""


_descriptors: weakref.WeakSet[Descriptor] = weakref.WeakSet()
_renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()


def detach_in_child(owner: Descriptor) -> None:
    """Replace the descriptor of ``owner`` in forked children by ``/dev/null``.

    The number stays taken, so that nothing that is left of the parent's objects in a child can write to the
    socket, remove it from the parent's selector (an epoll object is shared), or close a file of the child.
    """
    _descriptors.add(owner)


def reset_in_child(owner: Renewable) -> None:
    """Call ``owner.after_fork()`` in forked children, once the descriptors of ``detach_in_child`` are replaced."""
    _renewables.add(owner)


def call_in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call ``function`` in forked children. Also a decorator. Does nothing where there is no fork (Windows)."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def call_around_fork(
    *, before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]
) -> None:
    """Call these before each fork, and after it in the parent and in the child. Without fork (Windows): never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


@call_in_child
def _renew_child() -> None:
    """Reset everything in the child, whatever fails in one part. Python prints what is raised here."""
    numbers, errors = _detached()
    try:
        _replace_by_null(numbers)
    except OSError as error:
        errors.append(error)
    for owner in list(_renewables):
        try:
            owner.after_fork()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("a forked child could not reset all that belongs to its parent", errors)


def _detached() -> tuple[list[int], list[Exception]]:
    """Return the descriptors to withhold, and the errors of owners that could not name theirs."""
    numbers: list[int] = []
    errors: list[Exception] = []
    for owner in list(_descriptors):
        try:
            number = owner.fileno()
        except ValueError:  # how a closed file answers
            continue
        except Exception as error:
            errors.append(error)
            continue
        if number >= 0:
            numbers.append(number)
    return numbers, errors


def _replace_by_null(numbers: list[int]) -> None:
    """Replace each descriptor by ``/dev/null``. Raises ``OSError`` if that cannot be opened at all."""
    if not numbers:
        return
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
    except OSError:  # the parent has used up its descriptors: free one of these
        os.close(numbers[0])
        nothing = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        if number != nothing:
            with contextlib.suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
    if nothing not in numbers:
        os.close(nothing)
