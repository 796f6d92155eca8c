"""Somebody with a browser: keeps the session's cookie, reads pages, and sends the forms that stand on them."""

from __future__ import annotations

import re
from functools import cached_property
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin

from support.http_requests import Answer, ask_apart

Fields = list[tuple[str, str]]


class Form:
    """A form of a page: where it is sent, and its hidden fields."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: Fields = []
        self.buttons: Fields = []


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.sources: set[str] = set()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= found.keys()
        if tag == "form":
            self.forms.append(Form(found.get("action", "")))
        elif tag == "a":
            self.links.append(found["href"])
        elif tag in ("script", "link", "img"):
            self.sources.add(found.get("src") or found.get("href", ""))
        elif tag == "input" and found.get("type") == "hidden":
            self.forms[-1].fields.append((found["name"], found["value"]))
        elif tag == "button" and "name" in found:
            self.forms[-1].buttons.append((found["name"], found["value"]))


class Page:
    """A page that was answered."""

    def __init__(self, answer: Answer, path: str) -> None:
        self.status, self.headers, self.text = answer
        self.path = path

    @cached_property
    def _read(self) -> _Reader:
        """What stands on it, read once a test asks for that: many only look at the text."""
        read = _Reader()
        read.feed(self.text)
        return read

    @property
    def links(self) -> list[str]:
        """What its links say."""
        return self._read.links

    @property
    def forms(self) -> list[Form]:
        """Its forms."""
        return self._read.forms

    @property
    def tags(self) -> set[str]:
        """The tags that it has."""
        return self._read.tags

    @property
    def attributes(self) -> set[str]:
        """The attributes that its tags have."""
        return self._read.attributes

    @property
    def targets(self) -> list[str]:
        """Where its links lead, as paths."""
        return [urljoin(self.path, link) for link in self.links]

    @property
    def actions(self) -> list[str]:
        """Where its forms are sent, as paths."""
        return [urljoin(self.path, form.action) for form in self.forms]

    @property
    def sources(self) -> set[str]:
        """What it loads, as paths."""
        return {urljoin(self.path, source) for source in self._read.sources}

    @property
    def location(self) -> str:
        """Where it sends the browser, as a path."""
        return urljoin(self.path, self.headers["location"])

    def form(self, action: str, button: str = "") -> Form:
        """The form that is sent to ``action``; the one with a ``button`` of that value."""
        return next(
            form
            for form in self.forms
            if form.action == action and (not button or button in [value for _, value in form.buttons])
        )


class Visitor:
    """A browser without scripts, at the dashboard of ``port`` under ``base``."""

    def __init__(self, port: int | None, base: str = "/") -> None:
        assert port is not None
        self._port = port
        self.base = base
        self.cookie = ""

    async def log_in(self, token: str) -> Page:
        """Exchange a token for a session."""
        return await self.post("login", [("token", token)])

    async def get(self, page: str = "", **query: Any) -> Page:
        """Load a page; a redirect is not followed."""
        path = urljoin(self.base, f"{page}?{urlencode(query)}" if query else page)
        return await self._ask("GET", path)

    async def post(self, page: str, fields: Fields, **headers: str) -> Page:
        """Send these fields, with line ends as browsers send them."""
        sent = [(name, re.sub(r"\r\n?|\n", "\r\n", value)) for name, value in fields]
        return await self._ask("POST", urljoin(self.base, page), sent, headers)

    async def send(self, form: Form, *more: tuple[str, str]) -> Page:
        """Send a form, with a button and what was typed."""
        return await self.post(form.action, [*form.fields, *more])

    async def follow(self, page: Page) -> Page:
        """Load the page that a redirect leads to."""
        assert page.status == 303, page.text
        return await self._ask("GET", page.location)

    async def _ask(
        self, method: str, path: str, fields: Fields | None = None, headers: dict[str, str] | None = None
    ) -> Page:
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.cookie:
            sent["Cookie"] = self.cookie
        body = None
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields).encode()
        answer = await ask_apart(self._port, path, method, sent, body)
        if (kept := answer.headers.get("set-cookie")) is not None:
            self.cookie = kept.partition(";")[0]
        return Page(answer, path)
