"""Errors of settings and configs: one sentence a field, and never a value, since it may be secret."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from auth_worker.errors import ConfigurationError

UNION_MEMBERS = frozenset(("int", "float", "str", "bool", "Backoff", "Retention"))
"""What pydantic adds to the name of a field that may be of several types."""


def configuration_error(what: str, error: ValidationError, model: type[BaseModel]) -> ConfigurationError:
    """Turn pydantic's report into one sentence a field; values are left out, since they may be secret."""
    sentences = []
    for problem in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in problem["loc"] if part not in UNION_MEMBERS) or what
        if problem["type"] == "extra_forbidden":
            sentences.append(f"{field} is not known{nearest(field, model.model_fields)}")
        else:
            sentences.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}")
    return ConfigurationError(f"{what}: " + "; ".join(sentences))


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` with the likeliest of the ``known``, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else ""
