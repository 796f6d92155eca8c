"""Fields of forms that must come back unchanged, whatever characters others have put in their values.

A browser changes what it sends of a form: each line end becomes CR LF, NUL and a lone surrogate become another
character. A value with one of them is percent-encoded, and its field's name gets a star, as parameters of
HTTP's headers do (RFC 8187).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from markupsafe import Markup

ENCODED = "*"
_CHANGED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ERRORS = "surrogatepass"


def survives(value: object) -> bool:
    """Whether a browser sends the value as it is."""
    return not _CHANGED.search(str(value))


def unchanged_field(name: str, value: object) -> Markup:
    """Return the attributes ``name`` and ``value`` of a field that nobody edits."""
    if survives(value):
        return Markup('name="{}" value="{}"').format(name, str(value))
    return Markup('name="{}" value="{}"').format(name + ENCODED, quote(str(value), safe="", errors=_ERRORS))


def decoded(fields: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the fields under their own names, with their values as they were before ``unchanged_field``."""
    found: dict[str, list[str]] = {}
    for name, values in fields.items():
        own = name.removesuffix(ENCODED)
        found.setdefault(own, []).extend(values if own == name else [_unquoted(value) for value in values])
    return found


def _unquoted(value: str) -> str:
    try:
        return unquote(value, errors=_ERRORS)
    except UnicodeDecodeError:  # not of a form of ours
        return unquote(value)
