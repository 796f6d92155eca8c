"""Serves the style sheet, the scripts and the icon of the pages.

Their folder is named after what is in them, so that neither a page nor a script gets one of another version from
the browser's cache.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
NOT_KEPT = {**HEADERS, "cache-control": "no-store"}


async def serve(request: Request) -> Response:
    """Return one file of the package's folder ``static``. Raises ``HTTPException``.

    While replicas are replaced, one may be asked for files of another version. No browser may keep its answer.
    """
    name = request.path_params["name"]
    body = _files().get(name)
    if body is None:
        raise HTTPException(404)
    headers = HEADERS if request.path_params["version"] == version() else NOT_KEPT
    return Response(body, 200, headers, KINDS[name.rpartition(".")[2]])


@cache
def version() -> str:
    """Return the name of the folder, which changes with the files."""
    found = hashlib.sha256()
    for name, body in sorted(_files().items()):
        found.update(f"{name} {len(body)} ".encode() + body)
    return found.hexdigest()[:16]


@cache
def _files() -> dict[str, bytes]:
    folder = resources.files("auth_worker.http.dashboard") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in KINDS}
