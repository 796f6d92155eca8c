"""Parses what is searched for: ``queue:mail* state:failed error:"timed out" data.user.id=12 older:2h``.

This is the one place that knows the qualifiers. Whoever searches passes the whole text on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from auth_worker.admin.job_conditions import ROOTS, Condition, glob_matches, literal_of
from auth_worker.admin.selection import ALL, STATES_BY_INTEREST, JobFilter, checked_state
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.config_errors import nearest
from auth_worker.core.durations import duration_of
from auth_worker.errors import ConfigurationError

LONGEST_QUERY = 1000
"""How many characters a query may have."""
MOST_CONDITIONS = 20
QUALIFIERS = ("queue", "state", "id", "name", "error", "older", "newer", "worker")
_QUALIFIER = re.compile(r'([^\s":=]+)([:=])')
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|(?!")\S+', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_SPACE = re.compile(r"\s*")


class SearchQuery(CamelModel):
    """Which jobs are searched for: those in the queues that match ``queue``, in ``state``, that match ``filter``.

    None matches anything. ``text`` are the words without a qualifier, which are the id, or part of a queue's name.
    """

    queue: str | None = None
    state: str | None = None
    filter: JobFilter = ALL
    text: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """The states to search, those that need attention first."""
        return STATES_BY_INTEREST if self.state is None else (self.state,)

    @property
    def job_id(self) -> str | None:
        """The one id that is searched for; None if it may be one of several."""
        return None if self.filter.id is None else literal_of(self.filter.id)

    @property
    def is_id(self) -> bool:
        """Whether it is nothing but an id, or a part of a queue's name."""
        asked = self.filter.id if self.text else None
        return asked is not None and self == SearchQuery(text=self.text, filter=JobFilter(id=asked))

    def matches_queue(self, name: str) -> bool:
        """Whether jobs of the queue ``name`` are searched for."""
        return self.queue is None or glob_matches(self.queue, name)


class Word(NamedTuple):
    """A part of a query: ``value`` as it is meant, after ``key`` and its ``mark``, or alone."""

    key: str
    mark: str
    value: str


def parse_query(text: str) -> SearchQuery:
    r"""Parse a query.

    ``"..."`` quotes a value with spaces; in it ``\"`` is a quotation mark and two backslashes are one. A text
    without a qualifier is an id. Raises ``ConfigurationError``, which names the nearest known qualifier.
    """
    if len(text) > LONGEST_QUERY:
        raise ConfigurationError(f"a search has at most {LONGEST_QUERY} characters, not {len(text)}")
    given: dict[str, str] = {}
    where: list[Condition] = []
    bare: list[str] = []
    for word in _words(text):
        if not word.key:
            bare.append(word.value)
        elif word.key.partition(".")[0] in ROOTS:
            where.append(Condition.of(f"{word.key}=").model_copy(update={"text": word.value}))
        elif word.key in given:
            raise ConfigurationError(f"{word.key}: is given twice")
        else:
            given[word.key] = word.value
    if len(where) > MOST_CONDITIONS:
        raise ConfigurationError(f"a search has at most {MOST_CONDITIONS} conditions, not {len(where)}")
    return _query(given, tuple(where), " ".join(bare))


def _query(given: Mapping[str, str], where: tuple[Condition, ...], text: str) -> SearchQuery:
    if text and "id" in given:
        raise ConfigurationError(f"{text!r:.80} has no qualifier, so it is an id, but id: is given too")
    ages = {name: _seconds(name, given[name]) for name in ("older", "newer") if name in given}
    return SearchQuery(
        queue=given.get("queue"),
        state=checked_state(given["state"]) if "state" in given else None,
        filter=JobFilter(
            id=given.get("id") or text or None,
            name=given.get("name"),
            text=given.get("error"),
            worker=given.get("worker"),
            where=where,
            older_than=ages.get("older"),
            newer_than=ages.get("newer"),
        ),
        text=text,
    )


def _seconds(name: str, age: str) -> float:
    try:
        return duration_of(age if age[-1:].isalpha() else f"{age}s") / 1000
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _words(text: str) -> list[Word]:
    words: list[Word] = []
    position = _end_of_space(text, 0)
    while position < len(text):
        key, mark = "", ""
        if (qualifier := _QUALIFIER.match(text, position)) and _is_qualifier(qualifier[1], qualifier[2]):
            key, mark = qualifier[1], qualifier[2]
            position = qualifier.end()
        value = _VALUE.match(text, position)
        if value is None:
            raise ConfigurationError(_fault(text[position:], key + mark))
        words.append(Word(key, mark, value[0] if value[1] is None else _ESCAPE.sub(r"\1", value[1])))
        position = _end_of_space(text, value.end())
    return words


def _is_qualifier(key: str, mark: str) -> bool:
    """Whether a word that begins so has a qualifier. Raises ``ConfigurationError`` if that is none of ours."""
    known: tuple[Any, ...] = QUALIFIERS if mark == ":" else ()
    root, dot, _ = key.partition(".")
    if key in known or (dot and root in ROOTS):
        return True
    if mark == "=" and not dot:
        return False  # such as an id in base64
    names = [*(f"{name}:" for name in QUALIFIERS), *(f"{root}." for root in ROOTS)]
    hint = nearest(f"{root}." if dot else f"{key}:", names) or "."
    raise ConfigurationError(
        f"{key + mark!r:.80} is no qualifier{hint} There are "
        f"{', '.join(names)} with a path, such as data.user.id=12; an id that has such a character is quoted"
    )


def _fault(rest: str, before: str) -> str:
    if rest.startswith('"'):
        return f'a quotation mark is not closed: write {before}"...", and \\" for one in between'
    return f'{before} has no value: write {before}text or {before}"a longer text"'


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()
