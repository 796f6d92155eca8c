"""Turns pydantic's errors about settings into one message per field, without values, which may be secret."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from auth_worker.errors import ConfigurationError

UNION_MEMBERS = frozenset(("int", "constrained-int", "float", "str", "bool", "Backoff", "Retention"))
"""What pydantic adds to the location of a field with a union type."""
_NAMED = "http_tokens"
"""The setting whose keys (names) a user may confuse with its values (tokens)."""


def configuration_error(
    what: str, error: ValidationError, model: type[BaseModel], places: Mapping[str, str] | None = None
) -> ConfigurationError:
    """Turn pydantic's report into one message per field, without values, since they may be secret.

    ``places`` says where fields are set: in which file or variable.
    """
    problems = error.errors(include_url=False, include_input=False)
    nameless = {problem["loc"][1] for problem in problems if _may_quote_a_token(problem)}
    messages = []
    for problem in problems:
        loc = problem["loc"]
        if len(loc) > 1 and loc[0] == _NAMED and loc[1] in nameless:
            messages.append(_token_message(loc, problem["msg"]))
            continue
        field = ".".join(str(part) for part in loc if not _is_member(part)) or what
        place = places.get(str(loc[0])) if places and loc else None
        where = f" (in {place})" if place else ""
        if problem["type"] == "extra_forbidden":
            messages.append(f"{field} is not known{nearest(str(loc[-1]), _fields_at(model, loc[:-1]))}{where}")
        else:
            messages.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}{where}")
    return ConfigurationError(f"{what}: " + "; ".join(dict.fromkeys(messages)))


def _is_member(part: int | str) -> bool:
    """Whether this part of a location is pydantic's name for a union member, rather than a name of ours."""
    return part in UNION_MEMBERS or str(part).startswith("function-")


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Return the field names of the nested model at ``loc`` in ``model``, by name or as the type of the field."""
    for part in loc:
        field = next((each for name, each in model.model_fields.items() if part in (name, each.alias)), None)
        model = next(_models_in(field.annotation), model) if field is not None else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` with the closest of the ``known`` names, or an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else ""


def _may_quote_a_token(problem: Mapping[str, Any]) -> bool:
    """Whether the key at the problem's location may be a token, since its entry is not a table with a token."""
    loc = problem["loc"]
    if len(loc) < 2 or loc[0] != _NAMED:
        return False
    return len(loc) == 2 or loc[2] == "[key]" or problem["type"] in ("missing", "extra_forbidden")


def _token_message(loc: Sequence[int | str], message: str) -> str:
    if loc[-1] == "[key]":
        return f"{_NAMED}: a key is the name of a token, 1 to 64 letters, digits or . _ @ -, and not the token"
    field = f" {loc[2]}: {message};" if loc[2:] in (("token",), ("role",)) else ""
    return (
        f"{_NAMED}:{field} an entry is a name and a table with token and role; which one is wrong is not shown, "
        "since its key may be the token"
    )
