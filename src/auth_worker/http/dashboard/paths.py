"""The paths of the dashboard's pages. All are in one folder, so that every link on them can be relative.

So the dashboard need not know under which path it is mounted, or what a proxy before it strips. The subject of a
page is in its query, where an id may have any character.
"""

from __future__ import annotations

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
LOG_IN, LOG_OUT = "/login", "/logout"
STATIC = "/static/"
_PATHS = frozenset((*LOOK, *ACT, LOG_IN, LOG_OUT))


def is_dashboard_path(path: str) -> bool:
    """Whether the dashboard at the root of an HTTP port handles ``path``."""
    return path in _PATHS or path.startswith(STATIC)
