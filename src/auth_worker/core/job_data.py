"""Encodes the data of a new job."""

from __future__ import annotations

from typing import Any

from auth_worker.core.error_text import error_text
from auth_worker.core.json_codec import encode_data
from auth_worker.errors import ConfigurationError


def encode_job_data(name: Any, data: Any, longest: int, max_payload_bytes: int) -> bytes:
    """Encode the data of a job ``name`` as JSON of at most ``longest`` bytes.

    ``max_payload_bytes`` is the setting, ``longest`` that or the job's own ``size_limit``. Raises
    ``ConfigurationError``.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"name must be a text that is not empty, not {name!r:.80}")
    try:
        text = encode_data(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"data of job {name!r} is not JSON: {error_text(error)}") from error
    if len(text) > longest:
        what = "max_payload_bytes" if longest == max_payload_bytes else "size_limit"
        raise ConfigurationError(f"data of job {name!r} has {len(text)} bytes, more than {what} allows: {longest}")
    return text
