"""Login with a token, and logout."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.http.dashboard.paths import page_at
from auth_worker.http.dashboard.sessions import Sessions, set_cookie
from auth_worker.http.dashboard.visit import Visit


async def show_login(visit: Visit) -> Response:
    """Show the login form."""
    return login_page(visit)


def login_page(visit: Visit, status: int = 200, problem: str = "", back: str = "") -> Response:
    """Show the login form, with the ``problem`` of the last attempt.

    It leads to the page ``back``, if given, or else to the one that was asked for.
    """
    leads_to = back or visit.field("next") or visit.asked("next")
    return visit.page("login.html", status, problem=problem, next=leads_to)


async def log_in(visit: Visit, sessions: Sessions) -> Response:
    """Exchange a token for a session."""
    try:
        await visit.read_form()
    except ValueError:
        return login_page(visit, 400, "The form cannot be read.")
    token = visit.field("token")
    session = sessions.open(token)
    if session is None:
        wait = sessions.wait_after_wrong(token.strip(), visit.request)
        if wait:
            return login_page(visit, 429, f"Too many wrong tokens: wait {wait} s.")
        return login_page(visit, 401, "This token does not open the dashboard.")
    response = visit.go_to(page_at(visit.field("next")))
    set_cookie(response, visit.request, session)
    return response


async def log_out(visit: Visit) -> Response:
    """Make the browser forget the session."""
    response = visit.go("login", done="logout")
    set_cookie(response, visit.request, None)
    return response
