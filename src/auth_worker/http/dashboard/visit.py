"""One request to the dashboard: its caller, parameters and form, and how to respond."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from auth_worker.admin.bulk_records import is_operation_id, new_operation_id
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import JobFilter
from auth_worker.core.names import check_queue_name
from auth_worker.errors import ConfigurationError
from auth_worker.http.access_tokens import LOCAL
from auth_worker.http.dashboard import static
from auth_worker.http.dashboard.form_fields import decoded
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.rendering import Templates, link
from auth_worker.http.dashboard.sampler import Sampler
from auth_worker.http.dashboard.sessions import FORM_FIELD, Session
from auth_worker.http.dashboard.way_back import PAGE_FIELD, SELECTED, way_back
from auth_worker.version import __version__

PAGE = 100
"""How many rows of a list a page shows."""
LONGEST = 1000
"""How many characters of a filter or an id are read."""
MOST_FIELDS = 2000
MOST_FORM_BYTES = 2_000_000
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
DONE = {
    "add": "The job is added.",
    "cancel": "The job is cancelled: it has failed, or its worker has been asked to stop it.",
    "dead-letter": "The job is in the dead letters.",
    "limit": "The limits are set, for all workers of the queue.",
    "logout": "You are logged out.",
    "note": "The note is added.",
    "obliterate": "The queue is removed with all its jobs.",
    "pause": "The queue is paused. Running jobs go on.",
    "pause-worker": "The process will pause within 2 s. Its running jobs go on, and so do other processes.",
    "promote": "The job is promoted: it runs as soon as a worker is free.",
    "purge": "The dead letter is purged.",
    "redrive": "The dead letter is redriven: its job waits again, with fresh attempts.",
    "remove": "The job is removed.",
    "remove-scheduler": "The job scheduler is removed, with the job that it had waiting.",
    "resume": "The queue is resumed.",
    "resume-worker": "The process will resume within 2 s.",
    "retry": "The job waits again, with fresh attempts.",
    "run": "This job is added besides those of the job scheduler. Its schedule stays as it is.",
    "shut-down-worker": "The process will begin to shut down within 2 s.",
    "stop": "The bulk operation is stopped. What it has changed stays changed.",
}
"""The messages after a change, by the code in the query, so that no link can put a text of its own on the page."""


class Visit:
    """One request to the dashboard in its ``session`` (None: not logged in). ``fields`` are those of a form."""

    def __init__(
        self, request: Request, session: Session | None, host: Host, templates: Templates, sampler: Sampler
    ) -> None:
        self.request = request
        self.session = session
        self.host = host
        self.sampler = sampler
        self.fields: dict[str, list[str]] = {}
        query = request.query_params
        self._asked = decoded({name: query.getlist(name) for name in query})
        self._templates = templates

    @property
    def may_change(self) -> bool:
        """Whether the caller may change anything."""
        return self.session is not None and self.session.caller.may_change

    @property
    def caller_name(self) -> str:
        """The name of the caller, for the audit log."""
        return "" if self.session is None else self.session.caller.name

    async def read_form(self) -> None:
        """Read the fields of a form. Raises ``ValueError`` if there are too many."""
        body = b""
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MOST_FORM_BYTES:
                raise ValueError("the form is too large")
        self.fields = decoded(parse_qs(body.decode(errors="replace"), max_num_fields=MOST_FIELDS))

    def once(self) -> str | None:
        """Return what names the form that was sent, so that sending it twice does what it does once; None without.

        A form of the page has it as its field ``once``.
        """
        sent = self.field("once")
        return sent if is_operation_id(sent) else None

    def field(self, name: str, default: str = "") -> str:
        """Return the last value of a field of the form that was read."""
        return self.fields.get(name, [default])[-1]

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the URL's query."""
        return next(reversed(self.asked_all(name)), "") or default

    def asked_all(self, name: str) -> list[str]:
        """Return all values of a parameter of the URL's query."""
        return self._asked.get(name, [])

    def here(self) -> str:
        """Return the relative address of this page, with its query."""
        name, query = self.request.url.path.rpartition("/")[2], self.request.url.query
        return f"{name}?{query}" if query else name

    def own_address(self) -> str:
        """Return the relative address of this page; of one that answers a form, that of the page with the form."""
        address = self.here() if self.request.method == "GET" else self.field(PAGE_FIELD)
        return way_back({PAGE_FIELD: [address]})

    def way_back(self) -> str:
        """Return the relative address of the page whose form was sent, with the rows that were selected there."""
        return way_back(self.fields)

    def api_address(self) -> str | None:
        """Return the address of the API, as the caller reaches this page; None without one."""
        return f"{str(self.request.base_url).rstrip('/')}/api/v1" if self.host.has_api else None

    def offset(self, total: int, rows: int = PAGE) -> int:
        """Return where the requested page of a list with ``total`` rows starts, ``rows`` on a page.

        That of the last page if the requested one is behind the end, since rows have been removed meanwhile.
        """
        text = self.asked("offset")
        found = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
        return found if found < total else max(total - 1, 0) // rows * rows

    async def known_queue(self, name: str) -> str:
        """Return ``name`` if it exists. Raises ``ConfigurationError``, ``NotFoundError``, ``BrokerError``."""
        queue = check_queue_name("queue", name)
        await (await self.operations()).queues.check_exists(queue)
        return queue

    async def operations(self) -> Operations:
        """Return the operations. Raises ``BrokerError``."""
        return await self.host.operations()

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Render a template."""
        session = self.session
        text = self._templates.render(
            template,
            asked=self.asked,
            caller=None if session is None else session.caller.name,
            done=DONE.get(self.asked("done"), ""),
            form_field=FORM_FIELD,
            form_token="" if session is None else session.form_token,
            kept_rows=frozenset(self.asked_all(SELECTED)),
            may_change=self.may_change,
            once=new_operation_id(),
            own_address=self.own_address(),
            page_field=PAGE_FIELD,
            may_log_out=session is not None and session.caller is not LOCAL and self.host.authorize is None,
            files=f"static/{static.version()}",
            prefix=self.host.settings.prefix,
            version=__version__,
            **values,
        )
        return HTMLResponse(text, status, HEADERS)

    def go(self, page: str, **query: object) -> Response:
        """Redirect to another page of the dashboard."""
        return self.go_to(str(link(page, **query).unescape()))

    def go_to(self, address: str) -> Response:
        """Redirect to a relative address."""
        return RedirectResponse(address, 303, HEADERS)


def job_filter(visit: Visit) -> JobFilter:
    """Return which jobs the query of the URL asks for."""
    asked = {name: visit.asked(name)[:LONGEST] or None for name in ("id", "name", "error", "errorGroup", "frame")}
    return JobFilter(
        id=asked["id"],
        name=asked["name"],
        text=asked["error"],
        error_group=asked["errorGroup"],
        frame=asked["frame"],
    )


def next_offset(offset: int, total: int) -> int | None:
    """Return where the page after the one at ``offset`` of ``total`` rows starts; None after the last page."""
    return offset + PAGE if offset + PAGE < total else None


def unknown_action(action: str) -> ConfigurationError:
    """Return the error for a form with an ``action`` that its page does not have."""
    return ConfigurationError(f"there is no action {action!r:.80} here")
