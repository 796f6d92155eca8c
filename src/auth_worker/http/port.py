"""Opens the HTTP port of a service, if its settings ask for one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from auth_worker.core.extras import install_command, needs_extra
from auth_worker.errors import MissingExtraError
from auth_worker.http.listening_socket import listen, url_of
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES

if TYPE_CHECKING:
    from auth_worker.http.service_view import ServiceView


def open_http_port(service: ServiceView, log: Any) -> int | None:
    """Serve HTTP for as long as the watch loop runs. Call it from the work loop.

    Returns the number of the port; None for a unix socket, or without a port. Raises ``ConfigurationError`` as
    ``listen`` does, and ``MissingExtraError`` if its packages are not installed; if the port is the default one,
    that is a warning.
    """
    listening = listen(service.settings, log)
    if listening is None:
        return None
    listener, settings = listening
    try:
        with needs_extra("http", "the HTTP port"):
            from auth_worker.http.server import serve  # a service without a port does not load the web framework
    except MissingExtraError as error:
        listener.close()
        if settings.model_fields_set & {"http_port", "http_host"}:
            raise
        log.warning(WORKER_ERRORS.HTTP_EXTRA_MISSING, missing=error.name, remedy=install_command("http"))
        return None
    serve(service, listener, settings)
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    number = int(listener.getsockname()[1])
    host = settings.http_host
    log.info(WORKER_MESSAGES.HTTP_PORT_OPEN, host=host, port=number, url=url_of(host, number))
    return number
