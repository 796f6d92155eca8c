"""Reads settings from the environment and from the settings file."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from auth_worker.core.config_errors import nearest
from auth_worker.core.encoded_text import decode_utf8, strip_text
from auth_worker.errors import ConfigurationError

PREFIX = "AUTH_WORKER_"
_SERVICE_NAME = re.compile(
    r"AUTH_WORKER(?:_\w+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?"
    r"|ENV_\w+)"
)
_SERVICE_VALUES = (
    (re.compile(r"AUTH_WORKER(?:_\w+)?_PORT"), re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")),
    (re.compile(r"AUTH_WORKER(?:_\w+)?_NAME"), re.compile(r"/[^/\s]+/[^/\s]+")),
)
"""Variables of Kubernetes or Docker that only their values distinguish from settings such as http_port and name.
"""


def config_file() -> Path:
    """Return the path of the settings: ``AUTH_WORKER_CONFIG``, or ``auth-worker.toml`` in the current folder."""
    return Path(strip_text(os.environ.get("AUTH_WORKER_CONFIG", "")) or "auth-worker.toml").expanduser()


def strip_texts(value: Any) -> Any:
    """Strip whitespace and a byte order mark around the texts in ``value``, which may be nested.

    What is mounted from a secret or a ConfigMap often ends with a line end.
    """
    match value:
        case str():
            return strip_text(value)
        case dict():
            return {key: strip_texts(part) for key, part in value.items()}
        case list():
            return [strip_texts(part) for part in value]
    return value


def read_file(file: Path) -> dict[str, Any]:
    """Return the settings in the TOML ``file``, which may start with a byte order mark; none without a file.

    Raises ``ConfigurationError`` where it cannot be read, or where ``AUTH_WORKER_CONFIG`` names no file.
    """
    if not file.is_file():
        if os.environ.get("AUTH_WORKER_CONFIG"):
            raise ConfigurationError(f"environment: AUTH_WORKER_CONFIG names {file}, which does not exist")
        return {}
    try:
        settings: dict[str, Any] = strip_texts(tomllib.loads(decode_utf8(file.read_bytes())))
        return settings
    except tomllib.TOMLDecodeError as error:  # it may quote a key or a value
        reason = "".join(re.findall(r" \(at [^()]*\)", str(error))[-1:])
    except OSError as error:
        reason = f": {error.strerror}"
    except ValueError:
        reason = ": it is not UTF-8"
    raise ConfigurationError(f"settings: {file} cannot be read as TOML{reason}")


def read_environment(fields: Mapping[str, FieldInfo]) -> dict[str, tuple[str, Any]]:
    """Return the variable and the value of each of ``fields`` that the environment sets; an empty one sets none.

    The case of a variable's name does not matter. A table is written as JSON.
    Raises ``ConfigurationError`` for what is no JSON, and for an ``AUTH_WORKER_*`` variable that is no setting.
    """
    refuse_unknown_environment(os.environ, fields)
    found = {}
    for variable, text in os.environ.items():
        name = variable.lower().removeprefix(PREFIX.lower())
        if name in fields and len(name) < len(variable) and text and not is_service_link(variable, text):
            is_table = _is_table(fields[name].annotation)
            found[name] = variable, strip_texts(_table(name, strip_text(text)) if is_table else text)
    return found


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def _table(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # it quotes the text, which may be secret
        raise ConfigurationError(f"settings: {name} is a table: write it as JSON") from None


def merge(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the ``sources`` say, the later ones first; tables are merged key by key."""
    merged: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
            merged[name] = merge(merged[name], value) if both else value
    return merged


def is_service_link(name: str, value: str | None) -> bool:
    """Whether Kubernetes or a Docker link set the variable for a service called ``auth-worker...``.

    Source: kubelet's envvars.FromServices and Docker's legacy container links.
    """
    name = name.upper()
    if _SERVICE_NAME.fullmatch(name):
        return True
    return any(names.fullmatch(name) and values.fullmatch(value or "") for names, values in _SERVICE_VALUES)


def refuse_unknown_environment(environment: Mapping[str, str], fields: Iterable[str]) -> None:
    """Raise ``ConfigurationError`` for an ``AUTH_WORKER_*`` variable, in any case, that is not a setting."""
    known = {f"{PREFIX}{field.upper()}" for field in fields} | {f"{PREFIX}CONFIG"}
    for name, value in environment.items():
        if name.upper().startswith(PREFIX) and name.upper() not in known and not is_service_link(name, value):
            raise ConfigurationError(f"environment: {name} is not a setting{nearest(name.upper(), known)}")
