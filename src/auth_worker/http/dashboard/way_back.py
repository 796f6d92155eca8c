"""Leads back to the page of a form that was refused, with the rows that were selected there.

A form names its page, and only its ids come back: what was typed may be secret, and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from auth_worker.http.dashboard.paths import page_at

PAGE_FIELD = "page"
"""The field of every form that changes something: the address of its page."""
SELECTED = "selected"
"""The parameter of a page with rows: the ids of those that are selected."""
LONGEST = 6000
"""How many characters of an address the selected rows may take. If they need more, none is selected."""
_MOMENTARY = ("done", SELECTED)


def way_back(fields: dict[str, list[str]]) -> str:
    """Return the relative address of the page whose form has these ``fields``; of the overview without one."""
    name, _, query = page_at(fields.get(PAGE_FIELD, [""])[-1]).partition("?")
    shown = [(key, value) for key, value in parse_qsl(query) if key not in _MOMENTARY]
    rows = _rows(fields.get("ids", ()))
    asked = "&".join(part for part in (urlencode(shown), rows) if part)
    return f"{name}?{asked}" if asked else name


def _rows(ids: Sequence[str]) -> str:
    rows = urlencode([(SELECTED, each) for each in ids], errors="replace")
    return rows if len(rows) <= LONGEST else ""
