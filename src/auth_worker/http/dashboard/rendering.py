"""Renders the templates to HTML. Values are escaped, and their control characters made visible."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from auth_worker.admin.visible_data import encodable
from auth_worker.core.clock import now_ms
from auth_worker.core.durations import duration_text
from auth_worker.core.terminal_text import visible, visible_lines
from auth_worker.http.dashboard.charts import bars
from auth_worker.http.dashboard.form_fields import survives, unchanged_field

MOST_SHOWN = 64 * 1024
"""How many characters of one value a page shows."""
MOST_IN_A_ROW = 300
NOTHING = "\u2013"
"""Shown instead of a missing value."""
_UNPRINTABLE = re.compile(r"\r|[^\x00-\x9f]")
"""Characters that may be written as a reference. HTML has none for other control characters."""


def duration(ms: float | None, units: int = 2) -> str:
    """Format a duration (ms) in its largest ``units``; a dash for None."""
    return NOTHING if ms is None else duration_text(ms, units)


def moment(epoch_ms: int | None) -> Markup:
    """Format a time as ``<time>``: how long ago, in its largest unit, with UTC as its title.

    The browser adds the reader's own zone.
    """
    if not epoch_ms:
        return escape(NOTHING)
    try:
        then = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return Markup("<span>an invalid time</span>")
    away = now_ms() - epoch_ms
    said = f"{duration(away, 1)} ago" if away >= 0 else f"in {duration(-away)}"
    exact = then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        exact, f"{then:%Y-%m-%d %H:%M:%S}", said if abs(away) >= 1000 else "now"
    )


def number(value: int | None) -> str:
    """Format a number with a thin space between thousands; a dash for None."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\u202f")


def size(count: int) -> str:
    """Format a number of bytes."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.3g} KB" if count < 1_000_000 else f"{count / 1e6:.3g} MB"


def exact(value: object) -> Markup:
    """Escape a value for an attribute that must come back unchanged: unprintable characters become references."""
    return Markup(_UNPRINTABLE.sub(_reference, str(escape(value))))  # noqa: S704 - it has been escaped


def _reference(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else f"&#{ord(match[0])};"


def lines(value: object) -> Markup:
    """Format a text of several lines, at most ``MOST_SHOWN`` characters of it."""
    text = str(value)
    shown = visible_lines(text[:MOST_SHOWN])
    rest = len(text) - MOST_SHOWN
    return escape(shown if rest <= 0 else f"{shown}\n… and {number(rest)} characters more")


def pretty(value: object) -> Markup:
    """Format a value as JSON on several lines."""
    return lines(json.dumps(encodable(value), indent=2, ensure_ascii=False, default=str))


def brief(value: object) -> Markup:
    """Shorten a text to one line."""
    text = str(value)
    return escape(visible(text[:MOST_IN_A_ROW]) + ("…" if len(text) > MOST_IN_A_ROW else ""))


def link(page: str, **query: object) -> Markup:
    """Return the relative address of a page. What is None or empty is left out; a list is given value by value."""
    asked = urlencode(
        {key: value for key, value in query.items() if value not in (None, "")}, doseq=True, errors="replace"
    )
    return escape(f"{page}?{asked}" if asked else page)


def command(*words: object) -> str:
    """Format an ``auth-worker`` command line, quoted for a shell."""
    return shlex.join(["auth-worker", *map(str, words)])


def _shown(value: Any) -> Any:
    """Make a value that a template prints visible, unless it is markup."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(value)


class Templates:
    """The templates of the dashboard, compiled once a process: that takes 0.1 s of CPU."""

    def render(self, name: str, **values: Any) -> str:
        """Return the text of the template ``name``."""
        return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("auth_worker.http.dashboard", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        {
            "brief": brief,
            "duration": duration,
            "exact": exact,
            "lines": lines,
            "moment": moment,
            "number": number,
            "pretty": pretty,
            "size": size,
        }
    )
    environment.globals.update({"bars": bars, "command": command, "link": link})
    environment.globals.update({"survives": survives, "unchanged": unchanged_field})
    return environment
