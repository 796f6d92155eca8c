"""The API's application, and how its refusals look."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from auth_worker.admin.access import CALLER
from auth_worker.admin.api import job_routes, routes
from auth_worker.admin.api.desk import WHO, Desk
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.report import Report
from auth_worker.version import __version__

ABOUT = """The operations of the command line over HTTP.

What changes something needs the header `X-Auth-Worker` (any value), which no form of another site can send; there
is no CORS. Where the service has tokens, each request bears one: `Authorization: Bearer ...`. One of the role
`reader` may look and not change. Every answer that is no success is JSON with `reasons`.
"""


class Refusal(Report):
    """Why a request was not carried out, one sentence each."""

    reasons: list[str]


REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal, "description": text}
    for code, text in {
        400: "The body is no JSON, or on loopback the Host is none of this machine's names.",
        401: "No token, or a wrong one.",
        403: "The token may not change anything, or the header X-Auth-Worker is missing.",
        404: "There is no such thing.",
        409: "It is there, but as things stand this cannot be done to it.",
        413: "The body is too large.",
        415: "The body is not sent as JSON.",
        422: "A parameter or a field of the body is wrong; the reasons name it.",
        429: "Too many wrong tokens from this address. Retry-After says when to try again.",
        502: "Redis refused a command.",
        503: "Redis cannot be reached, or the service's event loop stands still.",
    }.items()
}
STATUS: dict[type[Exception], int] = {
    NotFoundError: 404,
    RefusedError: 409,
    ConfigurationError: 422,
    BrokerUnavailableError: 503,
    BrokerBusyError: 503,
    BrokerError: 502,
}


def build_api(desk: Desk) -> ASGIApp:
    """The application on ``desk``; mounted at ``/api``."""
    api = FastAPI(
        title="auth-worker",
        version=__version__,
        description=ABOUT,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=REFUSALS,
        dependencies=[
            Depends(HTTPBearer(auto_error=False)),
            Depends(_remember_who),
            Depends(_refuse_unknown_parameters),
            Depends(_refuse_what_is_not_json),
        ],
        generate_unique_id_function=_name_of,
    )
    api.state.desk = desk
    for router in (routes.look, routes.act, job_routes.look, job_routes.act):
        api.include_router(router)
    api.add_exception_handler(HTTPException, _refuse)
    api.add_exception_handler(RequestValidationError, _refuse_input)
    api.add_exception_handler(TimeoutError, _say_it_stands_still)
    for kind in STATUS:
        api.add_exception_handler(kind, _refuse_operation)
    return api


async def _remember_who(request: Request) -> None:
    WHO.set(request.scope[CALLER].name)


async def _refuse_unknown_parameters(request: Request) -> None:
    """A filter that nobody knows would be no filter at all."""
    known = _query_names(request.scope["route"].dependant)
    if unknown := sorted(set(request.query_params) - known):
        meant = f"there are {', '.join(sorted(known))}" if known else "there are none here"
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": f"unknown parameter; {meant}"} for name in unknown]
        )


async def _refuse_what_is_not_json(request: Request) -> None:
    """The framework would take the body for a text, and complain of that."""
    if request.scope["route"].body_field is None or not await request.body():
        return
    sent = request.headers.get("content-type", "")
    kind = sent.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        wanted = "send the body as JSON, with the header Content-Type: application/json"
        raise HTTPException(415, f"{wanted}, not {sent}" if sent else wanted)


def _query_names(dependant: Dependant) -> set[str]:
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_query_names, dependant.dependencies))


def _name_of(route: APIRoute) -> str:
    return route.name


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return JSONResponse({"reasons": [error.detail]}, error.status_code, error.headers)


async def _refuse_input(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for nothing else
    reasons = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"reasons": reasons}, 422)


async def _refuse_operation(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return JSONResponse({"reasons": [str(error)]}, status)


async def _say_it_stands_still(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"reasons": ["the event loop stands still: a consumer blocks it; nothing was done"]}, 503)
