"""The paths of the dashboard's pages. All are in one folder, so that every link on them can be relative.

So the dashboard need not know under which path it is mounted, or what a proxy before it strips. The subject of a
page is in its query, where an id may have any character.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope

LOOK = (
    *("/", "/queue", "/job", "/dead", "/letter", "/errors", "/history", "/schedulers", "/workers", "/search"),
    *("/alerts", "/changes", "/operations", "/operation", "/export", "/events"),
)
"""What every logged-in caller may see, by GET."""
ACT = (
    "/change-queue",
    "/bulk",
    "/again",
    "/change-job",
    "/change-letter",
    "/change-scheduler",
    "/add-job",
    "/change-worker",
    "/export-data",
    "/change-limits",
    "/obliterate",
    "/stop",
    "/test-alerts",
)
"""What an admin may do, by POST."""
PORT_PATHS = frozenset(("/api", "/health", "/livez", "/metrics", "/readyz", "/startupz"))
"""What else is in this folder where the dashboard is at the root of an HTTP port."""
LOG_IN, LOG_OUT = "/login", "/logout"
STATIC = "/static/"
_NO_PAGES = frozenset(("export", "events"))
_PATHS = frozenset((*LOOK, *ACT, LOG_IN, LOG_OUT))


def page_at(address: str) -> str:
    """Return the relative ``address`` if it is that of a page, else that of the overview.

    It comes from outside, so it is taken to pieces and put together anew.
    """
    name, _, query = address.partition("?")
    if f"/{name}" not in LOOK or name in _NO_PAGES:
        return "./"
    asked = urlencode(parse_qsl(query))
    return f"{name or './'}?{asked}" if asked else name or "./"


def whole_path(path: str, root_path: str) -> str:
    """Return ``path`` with all of ``root_path`` before it, as ASGI has it.

    An application that is told by ``FastAPI(root_path=...)`` what a proxy strips leaves that part out of ``path``.
    """
    for place, character in enumerate(root_path):
        here = root_path[place:]
        if character == "/" and (path == here or path.startswith(f"{here}/")):
            return root_path[:place] + path
    return path


def is_dashboard_request(scope: Scope) -> bool:
    """Whether the dashboard at the root of an HTTP port handles a request.

    That is one for a path of its own, and that of a browser for one that nothing has: a person gets a page.
    """
    path = scope["path"]
    return path in _PATHS or path.startswith(STATIC) or (_is_in_folder(path) and _wants_page(scope))


def _is_in_folder(path: str) -> bool:
    return path.count("/") == 1 and path not in PORT_PATHS


def _wants_page(scope: Scope) -> bool:
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] == "GET" and b"text/html" in accepted
