"""Programs that fork while something that guards descriptors fails; each prints what the child has, as JSON.

``fork_guards.py SCENARIO``
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from typing import Any

from auth_worker.system.forks import detach_in_child, reset_in_child
from support.forking import Child


class Held:
    """One end of a pipe, which a child must not have."""

    def __init__(self) -> None:
        self.theirs, self._ours = os.pipe()
        detach_in_child(self)
        reset_in_child(self)
        self.renewed = False

    def fileno(self) -> int:
        return self._ours

    def after_fork(self) -> None:
        self.renewed = True

    @property
    def is_shared(self) -> bool:
        """Whether the descriptor is still the end of the pipe."""
        return os.path.exists(f"/proc/self/fd/{self._ours}") and "pipe:" in os.readlink(
            f"/proc/self/fd/{self._ours}"
        )


class Broken(Held):
    """Raises whenever it is asked."""

    def fileno(self) -> int:
        raise LookupError("no")

    def after_fork(self) -> None:
        raise LookupError("no")


def found(held: list[Held]) -> dict[str, Any]:
    """What a child has of ``held``."""
    sound = [one for one in held if not isinstance(one, Broken)]
    return {"shared": sum(one.is_shared for one in sound), "renewed": sum(one.renewed for one in sound)}


def one_that_raises() -> Any:
    """Some before it, some after it: a set has no order that could be relied on."""
    held = [Broken() if number % 3 == 1 else Held() for number in range(9)]
    return Child(lambda: found(held)).result()


def a_closed_file() -> Any:
    """Its ``fileno`` raises ``ValueError``; nobody needs to hear of that."""
    files = []
    for _ in range(5):
        with open(os.devnull) as file:
            detach_in_child(file)
        files.append(file)
    held = [Held() for _ in range(4)]
    return Child(lambda: found(held)).result()


def no_descriptor_left() -> Any:
    """The parent has used up its descriptors."""
    held = [Held() for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    child_needs = os.pipe()
    greedy = []
    with contextlib.suppress(OSError):
        while True:
            greedy.append(os.open(os.devnull, os.O_RDONLY))
    for number in child_needs:
        os.close(number)
    return Child(lambda: found(held)).result()


print(json.dumps(globals()[sys.argv[1]]()))
