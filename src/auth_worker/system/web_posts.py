"""Sends a POST to an address of the web, with a time limit."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from auth_worker.system.daemon_threads import call_in_daemon_thread


class NoRedirect(HTTPRedirectHandler):
    """Treats a redirection as the answer, since what is sent may be secret and is for the given address alone."""

    def redirect_request(self, *_: Any) -> None:
        """Part of urllib."""


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> concurrent.futures.Future[int]:
    """Send ``body`` in a thread, and return the status of the answer as a future.

    Certificates are verified against the authorities of the system, or those of ``SSL_CERT_FILE``; a proxy of the
    environment is used. Each step takes at most ``timeout_s``, except for looking up the host. The future raises
    ``OSError``, ``ValueError`` or ``http.client.HTTPException`` without an answer.
    """
    return call_in_daemon_thread(partial(_post, url, body, headers, timeout_s), "auth-worker-post")


def _post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
    request = Request(url, body, dict(headers), method="POST")  # noqa: S310 - http or https, as the settings check
    try:
        with build_opener(NoRedirect).open(request, timeout=timeout_s) as reply:
            return int(reply.status)
    except HTTPError as error:
        with error:
            return error.code
