"""The mails as their readers see them."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from auth_worker.email.rendering import LOCALES, EmailKind, language_of, render

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
LINK = "https://app.example.org/go?token=abc&user=1"
EVIL = "<script>alert(1)</script>\"'{{ 7*7 }}{% raw %}"


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values["href"] or ""] if tag == "a" else []
        self.sources += [values["src"] or ""] if "src" in values else []


def catalogue(locale: str) -> dict[str, Any]:
    file = resources.files("auth_worker.email") / "templates" / f"{locale}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def secret_of(kind: EmailKind) -> str:
    return "482913" if kind is EmailKind.ONE_TIME_CODE else LINK


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", list(EmailKind))
def test_every_mail_contains_its_secret_its_expiry_and_what_to_do_otherwise(kind: EmailKind, locale: str) -> None:
    texts = catalogue(locale)[kind]
    mail = render(
        kind,
        product_name="Acme",
        secret=secret_of(kind),
        name="Zoë",
        locale=locale,
        expires_at=NOW + timedelta(minutes=90),
        now=NOW,
    )
    page = Page(mail.html)
    assert "Acme" in mail.subject
    assert secret_of(kind) not in mail.subject
    assert page.links == ([] if kind is EmailKind.ONE_TIME_CODE else [LINK, LINK])
    assert secret_of(kind) in mail.text
    assert page.sources == []
    for seen in (mail.html, mail.text):
        assert "Zoë" in seen
        assert "13:30" in seen
        assert texts["unasked_title"] in seen
    assert f'lang="{locale}"' in mail.html


def test_all_languages_have_the_same_texts() -> None:
    shapes = [
        {
            key: sorted(value) if isinstance(value, dict) else len(value) * isinstance(value, list)
            for key, value in catalogue(locale).items()
        }
        for locale in LOCALES
    ]
    assert all(shape == shapes[0] for shape in shapes)
    assert set(EmailKind) <= set(shapes[0])


@pytest.mark.parametrize("kind", list(EmailKind))
def test_data_of_a_job_never_becomes_markup_or_template(kind: EmailKind) -> None:
    honest = render(kind, product_name="Acme", secret=secret_of(kind), name="Zoë", now=NOW)
    evil = render(kind, product_name=EVIL, secret=secret_of(kind), name=EVIL, now=NOW)
    assert Page(evil.html).tags == Page(honest.html).tags
    assert "49" not in evil.text.replace("482913", "")
    assert EVIL in evil.text


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        (None, "en"),
        ("en", "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("DE_de", "de"),
        ("fr", "en"),
        ("zh-Hant-TW", "en"),
    ],
)
def test_a_locale_finds_the_nearest_language(locale: str | None, language: str) -> None:
    assert language_of(locale) == language


@pytest.mark.parametrize(
    "locale", ["", "e", "../../etc/passwd", "de\n", "en;rm", "deutsch", "en--us", "{{x}}", "ｄｅ"]
)
def test_an_invalid_locale_is_refused(locale: str) -> None:
    with pytest.raises(ValueError, match="locale"):
        language_of(locale)


@pytest.mark.parametrize(
    ("locale", "minutes", "words"),
    [
        ("en", 0.2, "for 1 minute,"),
        ("en", 1, "for 1 minute,"),
        ("en", 15, "for 15 minutes,"),
        ("en", 59.99, "for 1 hour,"),
        ("en", 61, "for 1 hour 1 minute,"),
        ("en", 120, "for 2 hours,"),
        ("en", 24 * 60, "for 1 day,"),
        ("en", 49 * 60, "for 2 days 1 hour,"),
        ("de", 90, "noch 1 Stunde 30 Minuten,"),
        ("de", 48 * 60, "noch 2 Tage,"),
    ],
)
def test_the_time_left_is_given_in_words(locale: str, minutes: float, words: str) -> None:
    mail = render(
        EmailKind.MAGIC_LINK,
        product_name="Acme",
        secret=LINK,
        locale=locale,
        expires_at=NOW + timedelta(minutes=minutes),
        now=NOW,
    )
    assert words in mail.text


def test_a_mail_without_expiry_mentions_none() -> None:
    mail = render(EmailKind.MAGIC_LINK, product_name="Acme", secret=LINK)
    assert "for a limited time only" in mail.text
    assert "Hello,\n" in mail.text
