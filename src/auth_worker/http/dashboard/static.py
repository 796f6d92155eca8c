"""Serves the style sheet, the scripts and the icon of the pages."""

from __future__ import annotations

from functools import cache
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS = {
    "cache-control": "public, max-age=3600",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


async def serve(request: Request) -> Response:
    """Return one file of the package's folder ``static``. Raises ``HTTPException``."""
    name = request.path_params["name"]
    body = _files().get(name)
    if body is None:
        raise HTTPException(404)
    return Response(body, 200, HEADERS, KINDS[name.rpartition(".")[2]])


@cache
def _files() -> dict[str, bytes]:
    folder = resources.files("auth_worker.http.dashboard") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in KINDS}
