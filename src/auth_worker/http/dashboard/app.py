"""The dashboard as an ASGI application: routes, access, and error pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.core.error_text import error_text
from auth_worker.errors import AuthWorkerError, BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.http.access_tokens import AccessTokens
from auth_worker.http.api.context import CALLER_NAME
from auth_worker.http.dashboard import (
    actions,
    alerts,
    changes,
    dead_letters,
    errors,
    export,
    history,
    jobs,
    live,
    login,
    new_jobs,
    overview,
    paths,
    queue_settings,
    schedulers,
    search,
    static,
    workers,
)
from auth_worker.http.dashboard.host import Host
from auth_worker.http.dashboard.rendering import Templates
from auth_worker.http.dashboard.sampler import Sampler
from auth_worker.http.dashboard.sessions import FORM_FIELD, Sessions, set_cookie
from auth_worker.http.dashboard.visit import HEADERS, Visit

Role = Literal["anybody", "reader", "admin"]
FOREIGN = frozenset(("cross-site", "same-site"))
"""The Sec-Fetch-Site of a request that another site has sent."""
NOT_AUTHORIZED = "The application does not permit you to see this dashboard."
LOG_IN_THERE = "Log in to the application as a user who may."
LOGGED_OUT = (
    "You are not logged in any more, and nothing was changed. Log in: you come back to the page, "
    "where selected rows are still selected. Then do it again."
)
SEND_AGAIN = "Nothing was changed. Go back to the page, and try again."


class Page(NamedTuple):
    """A page: the method and path that it answers, the function that does so, and the role that may use it."""

    method: str
    path: str
    answer: Callable[[Visit], Awaitable[Response]]
    role: Role


PAGES = (
    Page("GET", "/", overview.show_overview, "reader"),
    Page("GET", "/queue", jobs.show_queue, "reader"),
    Page("GET", "/job", jobs.show_job, "reader"),
    Page("GET", "/dead", dead_letters.show_dead_letters, "reader"),
    Page("GET", "/letter", dead_letters.show_letter, "reader"),
    Page("GET", "/history", history.show_history, "reader"),
    Page("GET", "/errors", errors.show_errors, "reader"),
    Page("GET", "/schedulers", schedulers.show_schedulers, "reader"),
    Page("GET", "/workers", workers.show_workers, "reader"),
    Page("GET", "/search", search.show_search, "reader"),
    Page("GET", "/alerts", alerts.show_alerts, "reader"),
    Page("GET", "/changes", changes.show_changes, "reader"),
    Page("GET", "/operations", actions.show_operations, "reader"),
    Page("GET", "/operation", actions.show_operation, "reader"),
    Page("GET", "/events", live.stream, "reader"),
    Page("POST", "/change-queue", actions.change_queue, "admin"),
    Page("POST", "/bulk", actions.bulk, "admin"),
    Page("POST", "/test-alerts", alerts.test_alerts, "admin"),
    Page("POST", "/again", actions.again, "admin"),
    Page("POST", "/change-job", actions.change_job, "admin"),
    Page("POST", "/change-letter", actions.change_letter, "admin"),
    Page("POST", "/change-scheduler", schedulers.change_scheduler, "admin"),
    Page("POST", "/change-limits", queue_settings.change_limits, "admin"),
    Page("POST", "/obliterate", queue_settings.obliterate, "admin"),
    Page("POST", "/add-job", new_jobs.add_job, "admin"),
    Page("GET", "/export", export.export_jobs, "reader"),
    Page("POST", "/export-data", export.export_data, "admin"),
    Page("POST", "/change-worker", workers.change_worker, "admin"),
    Page("POST", "/stop", actions.stop, "admin"),
    Page("GET", paths.LOG_IN, login.show_login, "anybody"),
    Page("POST", paths.LOG_OUT, login.log_out, "reader"),
)


class Dashboard:
    """The dashboard of ``host`` as an ASGI application. Belongs to one event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._templates = Templates()
        self._sampler = Sampler(host)
        self._sessions = Sessions(AccessTokens(host.settings, host.report_wrong_token), host.authorize)
        routes = [Route(page.path, self._endpoint(page), methods=[page.method]) for page in PAGES]
        routes.append(Route(paths.LOG_IN, self._log_in, methods=["POST"]))
        routes.append(Route(f"{paths.STATIC}{{version}}/{{name}}", static.serve))
        self._app = Starlette(routes=routes, exception_handlers={404: self._refuse, 405: self._refuse})
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] != "http":
            return
        if scope["path"] == scope.get("root_path", ""):  # /jobs: the links of a page need /jobs/
            folder = f"{scope['path'].rpartition('/')[2]}/"
            await RedirectResponse(folder if folder != "/" else "./", 307, HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def stop(self) -> None:
        """End the background reads of the queues."""
        await self._sampler.stop()

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            session = self._sessions.find(request)
            if page.method == "GET" and (session is None or session.is_new) and _is_linked_from_outside(request):
                visit = Visit(request, None, self._host, self._templates, self._sampler)
                return visit.page("from_outside.html", address=visit.here() or "./")
            visit = Visit(request, session, self._host, self._templates, self._sampler)
            response = await self._refusal(visit, page)
            if response is None:
                if session is not None:
                    CALLER_NAME.set(session.caller.name)
                response = await self._attempt(visit, page)
                if page.method == "POST":
                    self._sampler.forget()
            if session is not None and session.is_new:
                set_cookie(response, request, session)
            return response

        return answer

    async def _refusal(self, visit: Visit, page: Page) -> Response | None:
        """Return the refusal for a caller who may not use the page; None for one who may."""
        if page.role == "anybody":
            return None if self._sessions.need_token else visit.go("./")
        if visit.session is None:
            if not self._sessions.need_token:
                return visit.page(
                    "fault.html", 403, title="Not allowed", reason=NOT_AUTHORIZED, remedy=LOG_IN_THERE
                )
            if page.method == "GET" and page.path != "/events":
                return visit.go("login", next=visit.here())
            return await _login_again(visit)
        if page.role == "admin" and not visit.may_change:
            who = visit.session.caller.name
            reason = f"The token {who} may read only."
            return visit.page("fault.html", 403, title="Not allowed", reason=reason, remedy="Log in as an admin.")
        if page.method == "POST" and (problem := await _form_problem(visit)):
            title, back = "Not sent from this page", "" if _is_foreign(visit) else visit.way_back()
            return visit.page("fault.html", 403, title=title, reason=problem, remedy=SEND_AGAIN, back=back)
        return None

    async def _attempt(self, visit: Visit, page: Page) -> Response:
        try:
            return await page.answer(visit)
        except AuthWorkerError as error:
            status, title, remedy = _described(error)
            retries = isinstance(error, BrokerError) and page.method == "GET"
            if retries:
                remedy = f"This page retries every 5 s. {remedy}"
            elif isinstance(error, BrokerUnavailableError):
                remedy = f"When it responds, see whether it was done before you do it again. {remedy}"
            reason = error_text(error, own_words=True)
            return visit.page("fault.html", status, title=title, reason=reason, remedy=remedy, retries=retries)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            return visit.page("fault.html", 422, title="Invalid request", reason=wrong, remedy="")
        except Exception as error:
            self._host.report_failure(page.path, error)
            reason = "Internal error. The log says why."
            return visit.page("fault.html", 500, title="Internal error", reason=reason, remedy="")

    async def _log_in(self, request: Request) -> Response:
        visit = Visit(request, None, self._host, self._templates, self._sampler)
        return await login.log_in(visit, self._sessions) if self._sessions.need_token else visit.go("./")

    async def _refuse(self, request: Request, error: Exception) -> Response:
        visit = Visit(request, None, self._host, self._templates, self._sampler)
        status = getattr(error, "status_code", 404)
        return visit.page("fault.html", status, title="No such page", reason="There is no such page.", remedy="")


def _is_linked_from_outside(request: Request) -> bool:
    """Whether another site led the browser here. Then it has sent no cookie of ours, which is SameSite=Strict.

    It sends the cookie where a page of our own leads it.
    """
    sent = request.headers
    return sent.get("sec-fetch-site") == "cross-site" and sent.get("sec-fetch-mode") == "navigate"


def _is_foreign(visit: Visit) -> bool:
    """Whether another site has sent the request."""
    return visit.request.headers.get("sec-fetch-site", "") in FOREIGN


async def _login_again(visit: Visit) -> Response:
    """Refuse a form of a session that has ended, with a login that leads back to its page."""
    if visit.request.method != "POST" or _is_foreign(visit):
        return login.login_page(visit, 401, LOGGED_OUT)
    try:
        await visit.read_form()
    except ValueError:
        return login.login_page(visit, 401, LOGGED_OUT)
    return login.login_page(visit, 401, LOGGED_OUT, visit.way_back())


async def _form_problem(visit: Visit) -> str:
    """Return why the form does not come from a page of the caller's session; empty if it does."""
    if _is_foreign(visit):
        return "The form was sent by another site."
    try:
        await visit.read_form()
    except ValueError as error:
        return f"The form cannot be read: {error}."
    assert visit.session is not None  # noqa: S101 - whoever has none has been refused
    return "" if visit.session.accepts(visit.field(FORM_FIELD)) else "The form belongs to another session."


def _described(error: AuthWorkerError) -> tuple[int, str, str]:
    match error:
        case NotFoundError():
            return 404, "Not found", "It may have been removed: retention removes finished jobs."
        case RefusedError():
            return 409, "Not possible in this state", "Reload it: it may have changed."
        case ConfigurationError():
            return 422, "Invalid request", ""
        case BrokerUnavailableError():
            return 503, "Redis does not respond", "Run auth-worker doctor, and check that Redis runs."
        case BrokerError():
            return 503, "Redis refuses this", "Run auth-worker doctor, which says why."
    return 500, "Internal error", ""
