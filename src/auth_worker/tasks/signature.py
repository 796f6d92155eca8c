"""Reads a task's signature: which parameters come from the job's data, and which the worker provides."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, NoReturn

from pydantic.fields import FieldInfo

from auth_worker.errors import ConfigurationError
from auth_worker.job import Job

if sys.version_info >= (3, 14):  # annotations are evaluated when they are read
    from annotationlib import Format, get_annotations

    _LAZILY: dict[str, Any] = {"annotation_format": Format.FORWARDREF}

    def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
        return get_annotations(function, format=Format.FORWARDREF)
else:
    _LAZILY: dict[str, Any] = {}

    def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
        return function.__annotations__


class _Injected:
    """The default of parameters that the worker provides."""

    def __repr__(self) -> str:
        return "INJECTED"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"the worker provides this parameter: pass a value when you call the function yourself ({name})"
        )


INJECTED: Final[Any] = _Injected()
"""The default of a parameter that the worker provides, as in ``job: Job = INJECTED``.

It is needed for type checkers, which otherwise require the parameter in ``enqueue``, and in a program that has
the task but not the resource. There the type may be imported under ``if TYPE_CHECKING:`` alone.
"""
_TYPE_NAME = re.compile(r"[A-Za-z_][\w.]*")


class TypeName(NamedTuple):
    """The name of a type that only type checkers import, as an annotation writes it."""

    name: str

    def __str__(self) -> str:
        return self.name

    def is_of(self, kind: Any) -> bool:
        """Whether ``kind`` is a type of this name."""
        return getattr(kind, "__name__", None) == self.name.rpartition(".")[2]


class Signature(NamedTuple):
    """The parameters of a task.

    ``data`` are the types of its data by name, those in ``optional`` have a default. ``positional`` are the names
    of data that may be passed by position. ``jobs`` are the names of parameters that take the ``Job``,
    ``resources`` the types of the other parameters that the worker provides, or a ``TypeName``. ``result`` is what
    it returns.
    """

    data: Mapping[str, Any]
    optional: frozenset[str]
    positional: tuple[str, ...]
    jobs: tuple[str, ...]
    resources: Mapping[str, Any]
    result: Any


def read_signature(
    owner: str, function: Callable[..., Any], scope: Mapping[str, Any], is_resource: Callable[[Any], bool]
) -> Signature:
    """Read the signature of ``function``. ``scope`` are the local variables where it is defined.

    Raises ``ConfigurationError`` naming ``owner`` and what is wrong.
    """
    parameters = list(inspect.signature(function, **_LAZILY).parameters.values())
    hints = _hints(owner, function, scope, [each.name for each in parameters if each.default is INJECTED])
    data: dict[str, Any] = {}
    optional, positional, jobs = [], [], []
    resources: dict[str, Any] = {}
    by_position = True
    _check_no_method(owner, function, parameters)
    for index, parameter in enumerate(parameters):
        name, hint = parameter.name, hints.get(parameter.name, Any)
        _check(owner, parameter)
        if _is_injected(parameter, hint, is_resource):
            by_position = by_position and index == 0
            if _plain(hint) is Job:
                jobs.append(name)
            else:
                resources[name] = _plain(hint)
            continue
        data[name] = hint
        if parameter.default is not parameter.empty:
            optional.append(name)
        if by_position and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(name)
    return Signature(
        data, frozenset(optional), tuple(positional), tuple(jobs), resources, hints.get("return", Any)
    )


def _hints(
    owner: str, function: Callable[..., Any], scope: Mapping[str, Any], injected: Collection[str]
) -> dict[str, Any]:
    """Evaluate the annotations. Those of ``injected`` parameters may name types that only type checkers import."""
    try:
        return typing.get_type_hints(function, localns=dict(scope), include_extras=True)
    except NameError as error:
        if not injected:
            raise _unknown_name(owner, error) from error
    except TypeError as error:
        raise ConfigurationError(f"{owner}: its annotations cannot be read: {error}") from error
    return {
        name: _hint(owner, annotation, function, scope, may_be_name=name in injected)
        for name, annotation in _annotations(function).items()
    }


def _hint(
    owner: str, annotation: Any, function: Callable[..., Any], scope: Mapping[str, Any], *, may_be_name: bool
) -> Any:
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    known = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(holder, known, dict(scope), include_extras=True)["it"]
    except NameError as error:
        text = getattr(annotation, "__forward_arg__", annotation)
        if may_be_name and _TYPE_NAME.fullmatch(text):
            return TypeName(text)
        raise _unknown_name(owner, error) from error


def _unknown_name(owner: str, error: NameError) -> ConfigurationError:
    return ConfigurationError(
        f"{owner}: its annotations name {error.name!r}, which cannot be found when it runs: import it outside of "
        "`if TYPE_CHECKING:`, or if the worker provides it, give the parameter the default INJECTED"
    )


def _check_no_method(owner: str, function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    place = getattr(function, "__qualname__", "").rpartition(".")[0]
    first = parameters[0] if parameters else None
    if first and first.name in ("self", "cls") and first.annotation is first.empty and place[-1:] not in ("", ">"):
        raise ConfigurationError(
            f"{owner}: parameter {first.name}: a job calls a function without an instance: make it a function of "
            "the module, or a staticmethod under @queue.task"
        )


def _check(owner: str, parameter: inspect.Parameter) -> None:
    if isinstance(parameter.default, FieldInfo):
        raise ConfigurationError(
            f"{owner}: parameter {parameter.name} would be a Field for whoever calls the function: write it as "
            f"Annotated[..., Field(...)], and the default, if it has one, after ="
        )
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ConfigurationError(
            f"{owner}: parameter {parameter}: data is an object by parameter name, so that each needs a name: "
            "no *args, no **kwargs, nothing before a /"
        )


def _is_injected(parameter: inspect.Parameter, hint: Any, is_resource: Callable[[Any], bool]) -> bool:
    return parameter.default is INJECTED or _plain(hint) is Job or is_resource(_plain(hint))


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
