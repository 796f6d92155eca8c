"""auth-worker: the production worker service for BullMQ queues in Python."""

from auth_worker.version import __version__

__all__ = ["__version__"]
