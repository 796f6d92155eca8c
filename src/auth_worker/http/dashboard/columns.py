"""The columns of the list of jobs: which there are, and which a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """A column: its name in the URL, its heading, and whether it is right-aligned."""

    name: str
    heading: str
    right: bool = False


COLUMNS = (
    Column("name", "Name"),
    Column("error", "Error"),
    Column("added", "Added"),
    Column("due", "Runs"),
    Column("began", "Began"),
    Column("ended", "Ended"),
    Column("worker", "Worker"),
    Column("waited", "Waited", right=True),
    Column("ran", "Ran", right=True),
    Column("attempts", "Attempts", right=True),
    Column("data", "Data", right=True),
    Column("priority", "Priority", right=True),
)
"""All columns but the id, which always comes first, in the order in which they are shown."""
_ALWAYS = frozenset(("name", "added", "attempts", "data"))
_OF_STATE = {
    "active": ("began", "worker"),
    "completed": ("ended", "ran"),
    "delayed": ("due", "error"),
    "failed": ("ended", "ran", "error"),
    "prioritized": ("priority",),
    "wait": ("error",),
}
"""The columns besides those of every state that a state has unless others are chosen."""


def columns_of(state: str, chosen: Sequence[str]) -> list[Column]:
    """Return the columns with the ``chosen`` names; if none is one of a column, those that ``state`` has."""
    wanted = {column.name for column in COLUMNS}.intersection(chosen) or _ALWAYS.union(_OF_STATE.get(state, ()))
    return [column for column in COLUMNS if column.name in wanted]
