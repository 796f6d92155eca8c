"""What a forked child must not share with its parent, and what it begins anew.

A fork copies objects and descriptors, but no thread except the one that forks. So a child must not use a socket of
its parent's, cannot rely on a thread of its parent's, and may find a lock held by a thread that it does not have.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Descriptor(Protocol):
    """Something with a descriptor of the operating system."""

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""


class Renewable(Protocol):
    """Something that a forked child begins anew."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""


_descriptors: weakref.WeakSet[Descriptor] = weakref.WeakSet()
_renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()


def withhold(owner: Descriptor) -> None:
    """Keep the descriptor of ``owner`` from forked children: they have ``/dev/null`` in its place.

    The number stays taken, so that nothing which is left of the parent's objects in a child can write to the
    socket, take it out of the parent's selector (an epoll object is shared), or close a file of the child's own.
    """
    _descriptors.add(owner)


def renew(owner: Renewable) -> None:
    """Call ``owner.after_fork()`` in forked children, once they have no descriptors of ``withhold`` any more."""
    _renewables.add(owner)


def call_in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call ``function`` in forked children; where there is no fork (Windows), never. Also a decorator."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


def call_around_fork(
    *, before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]
) -> None:
    """Call these before each fork, and after it in the parent and in the child; without fork (Windows), never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


@call_in_child
def _begin_child() -> None:
    found = [number for number in (owner.fileno() for owner in list(_descriptors)) if number >= 0]
    if found:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in found:
            with contextlib.suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
        os.close(nothing)
    for owner in list(_renewables):
        owner.after_fork()
