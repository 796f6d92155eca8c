"""Renders subject, HTML and text of each mail from the templates and texts in this package.

A job's data is only ever a value in a template, never a template. Texts are one TOML file per language.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

LOCALES = ("en", "de")
LOCALE_PATTERN = r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}\Z"

_MINUTES_A_DAY = 24 * 60


class EmailKind(StrEnum):
    """The kinds of mails."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a kind of mail, not a password
    MAGIC_LINK = "magic_link"
    ONE_TIME_CODE = "one_time_code"


class RenderedEmail(NamedTuple):
    """A rendered mail."""

    subject: str
    html: str
    text: str


def language_of(locale: str | None) -> str:
    """Return the shipped language closest to a locale such as ``de-AT``, or English.

    Raises ``ValueError`` if ``locale`` does not look like a locale.
    """
    if locale is None:
        return LOCALES[0]
    if not re.match(LOCALE_PATTERN, locale):
        raise ValueError("must be a locale such as en or de-AT")
    language = re.split("[-_]", locale.lower(), maxsplit=1)[0]
    return language if language in LOCALES else LOCALES[0]


def render(
    kind: EmailKind,
    *,
    product_name: str,
    secret: str,
    name: str = "",
    locale: str | None = None,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> RenderedEmail:
    """Render one mail. ``secret`` is its link, or its code if ``kind`` is ``ONE_TIME_CODE``.

    ``name`` is shown unchanged (see ``addresses.shown_name``). ``expires_at`` and ``now`` are aware times.
    """
    language = language_of(locale)
    catalogue = _catalogue(language)
    is_code = kind is EmailKind.ONE_TIME_CODE
    values = {"product": product_name, "name": name, "code": secret if is_code else ""}
    text = {key: entry.format_map(values) for key, entry in catalogue[kind].items()}
    text["greeting"] = catalogue["greeting" if name else "greeting_nameless"].format_map(values)
    text["expiry"] = _expiry(catalogue, "code" if is_code else "link", expires_at, now or datetime.now(UTC))
    text["fallback"] = catalogue["fallback"]
    text["footer"] = catalogue["footer"].format_map(values)
    context = {
        "locale": language,
        "product": product_name,
        "monogram": product_name[:1].upper(),
        "subject": text["subject"],
        "link": "" if is_code else secret,
        "code": secret if is_code else "",
        "text": text,
    }
    html, plain = (_environment().get_template(f"email.{ending}").render(context) for ending in ("html", "txt"))
    return RenderedEmail(text["subject"], html, plain)


def duration(catalogue: Mapping[str, Any], minutes: int) -> str:
    """Format ``minutes`` in words, in at most two units: 90 is "1 hour 30 minutes"."""
    if minutes >= _MINUTES_A_DAY:
        parts = [("days", minutes // _MINUTES_A_DAY), ("hours", minutes % _MINUTES_A_DAY // 60)]
    else:
        parts = [("hours", minutes // 60), ("minutes", minutes % 60)]
    return " ".join(
        catalogue[unit][count != 1].format(count=count) for unit, count in parts if count
    ) or catalogue["minutes"][0].format(count=1)


def _expiry(catalogue: Mapping[str, Any], what: str, expires_at: datetime | None, now: datetime) -> str:
    if expires_at is None:
        return str(catalogue[f"{what}_limited"])
    moment = expires_at.astimezone(UTC)
    date = catalogue["date"].format(
        day=moment.day, month=catalogue["months"][moment.month - 1], year=moment.year, time=f"{moment:%H:%M}"
    )
    left = duration(catalogue, round((expires_at - now).total_seconds() / 60))
    return str(catalogue[f"{what}_expires"].format(date=date, duration=left))


@cache
def _catalogue(language: str) -> dict[str, Any]:
    file = resources.files("auth_worker.email") / "templates" / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@cache
def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(
        loader=PackageLoader("auth_worker.email", "templates"),
        autoescape=lambda name: name is None or name.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
