"""The types of settings: texts and secrets as they are mounted, times, counts and tokens."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.encoded_text import strip_text
from auth_worker.core.worker_config import FrozenModel, Real, Whole


def strip_secret(value: Any) -> Any:
    """Strip whitespace and a byte order mark around ``value``: files of mounted secrets end with a line end.

    Raises ``ValueError``, without the value, if nothing is left, and for a control character within.
    """
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value
    value = strip_text(value)
    if not value:
        raise ValueError("must not be blank")
    if _CONTROL.search(value):
        raise ValueError("must be one line of text, without control characters")
    return value


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
Secret = Annotated[SecretStr, BeforeValidator(strip_secret)]
Stripped = Annotated[str, BeforeValidator(strip_secret)]
"""A text that is not secret itself, but is mounted from the same files."""
Seconds = Annotated[Real, Field(le=1e9)]
"""A time in s, at most 31 years: timers of threads accept no more than 292."""
Count = Annotated[Whole, Field(le=MAX_NUMBER)]


class HttpToken(FrozenModel):
    """A token of the HTTP port. An ``admin`` may do everything, a ``reader`` may only read.

    The role ``metrics`` may read ``/metrics`` and nothing else.
    """

    token: Secret
    role: Literal["admin", "reader", "metrics"] = "admin"


TokenName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


def setting(default: Any, description: str, **constraints: Any) -> Any:
    """A field of ``Settings``: its default, what it is for, and what else pydantic's ``Field`` takes."""
    return Field(default=default, description=description, **constraints)
