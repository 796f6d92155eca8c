"""The API's application, and its error responses."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.error_text import error_text
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.http.api import alert_routes, job_routes, routes, scheduler_routes, setting_routes, worker_routes
from auth_worker.http.api.context import CALLER_NAME, CONTEXT, ApiContext
from auth_worker.http.guard import CALLER
from auth_worker.http.refusals import internal_error, refusal, refuse
from auth_worker.version import __version__

ABOUT = """The operations of the command line over HTTP.

Requests that change something need the header `X-Auth-Worker` (any value), which no form of another site can send.
There is no CORS. If the service has tokens, each request needs one: `Authorization: Bearer ...`. A token of the
role `reader` may read only. Every error response is JSON with `reasons`.
"""


class Refusal(CamelModel):
    """Why a request was refused."""

    reasons: list[str]


_REFUSAL_REF = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": _REFUSAL_REF}
    for code, text in {
        400: "The body is not JSON, or on loopback the Host is not a name of this machine.",
        401: "No token, or a wrong one.",
        403: "The token may not change anything, or the header X-Auth-Worker is missing.",
        404: "Not found.",
        409: "The state of the job or queue does not permit it.",
        413: "The body is too large.",
        415: "The body is not sent as JSON.",
        422: "A parameter or a field of the body is wrong; the reasons name it.",
        429: "Too many wrong tokens from this address. Retry-After says when to try again.",
        502: "Redis refused a command.",
        503: "Redis cannot be reached, or the service's event loop is blocked.",
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


class _Api(FastAPI):
    """A FastAPI whose document describes ``Refusal`` once.

    If it were the model of each error response, FastAPI would build a validator for each: 450 that nothing uses,
    which would be most of the cost of the first request.
    """

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"]["Refusal"] = Refusal.model_json_schema(mode="serialization")
        return document


def build_api(context: ApiContext) -> ASGIApp:
    """Build the API of ``context``, to be mounted at ``/api``."""
    api = application()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONTEXT] = context
        await api(scope, receive, send)

    return answer


@cache
def application() -> FastAPI:
    """Return the application that all APIs of this process share: to analyse its routes takes 0.1 s of CPU."""
    api = _Api(
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
            Depends(_remember_caller),
            Depends(_refuse_unknown_parameters),
            Depends(_refuse_other_than_json),
        ],
        generate_unique_id_function=_operation_id,
    )
    for router in (
        *(routes.look, routes.act, job_routes.look, job_routes.act),
        *(alert_routes.look, alert_routes.act),
        *(setting_routes.look, setting_routes.act),
        *(scheduler_routes.look, scheduler_routes.act),
        *(worker_routes.look, worker_routes.act),
    ):
        api.include_router(router)
    api.add_exception_handler(HTTPException, refuse)
    api.add_exception_handler(RequestValidationError, _refuse_input)
    api.add_exception_handler(TimeoutError, _refuse_while_blocked)
    api.add_exception_handler(Exception, _hide_failure)
    for kind in STATUS:
        api.add_exception_handler(kind, _refuse_operation)
    return api


async def _remember_caller(request: Request) -> None:
    CALLER_NAME.set(request.scope[CALLER].name)


async def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse unknown parameters, since a misspelt filter would otherwise have no effect."""
    known = _query_names(request.scope["route"].dependant)
    if unknown := sorted(set(request.query_params) - known):
        meant = f"there are {', '.join(sorted(known))}" if known else "there are none here"
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": f"unknown parameter; {meant}"} for name in unknown]
        )


async def _refuse_other_than_json(request: Request) -> None:
    """Refuse other content types. The framework would read such a body as text, and report a misleading error."""
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


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _refuse_input(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for nothing else
    reasons = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
    ]
    return JSONResponse({"reasons": reasons}, 422)


async def _refuse_operation(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return JSONResponse({"reasons": [error_text(error, own_words=True)]}, status)


async def _hide_failure(request: Request, error: Exception) -> JSONResponse:
    """Respond without details. The framework raises the error again, and the outer application reports it."""
    return internal_error()


async def _refuse_while_blocked(request: Request, error: Exception) -> JSONResponse:
    return refusal(503, "a consumer blocks the event loop; nothing was done")
