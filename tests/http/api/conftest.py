"""A service with an HTTP port, and somebody who asks its API; see ``support.admin_api``."""

from support.admin_api import api, port, resting, service

__all__ = ["api", "port", "resting", "service"]
