"""A service with an HTTP port, and somebody who asks its API; see ``support.admin_api``."""

from support.admin_api import api, paused_api, port, service

__all__ = ["api", "paused_api", "port", "service"]
