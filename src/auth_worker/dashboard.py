"""The dashboard, to be mounted in an ASGI application: FastAPI, Starlette, Django."""

from auth_worker.core.extras import needs_extra

with needs_extra("http", "the dashboard"):
    from auth_worker.http.access_tokens import Caller
    from auth_worker.http.dashboard.mounted import MountedDashboard, dashboard

__all__ = ["Caller", "MountedDashboard", "dashboard"]
