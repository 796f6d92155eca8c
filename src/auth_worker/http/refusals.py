"""Responses that refuse a request: JSON with ``reasons``."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response to a request that is refused for ``reason``."""
    return JSONResponse({"reasons": [reason]}, status, headers)


def internal_error() -> JSONResponse:
    """Return the response after an unexpected exception, which it does not describe."""
    return refusal(500, "internal error; the log says why")


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """Handle an ``HTTPException`` of the framework."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return refusal(error.status_code, error.detail, dict(error.headers or {}))
