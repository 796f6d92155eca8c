"""Texts of exceptions leave the process without the values they quote; field names and types stay."""

from __future__ import annotations

import ast
import asyncio
import datetime
import decimal
import enum
import ipaddress
import json
import re
import subprocess
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

import psycopg.errors
import pytest
import sqlalchemy
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, TypeAdapter

from auth_worker.core.decisions import decide_error
from auth_worker.core.error_text import MAX_REASON, MAX_TRACE, error_text, error_trace
from auth_worker.core.outcome import Fail, Retry
from auth_worker.errors import UnrecoverableError
from support.factories import a_job, some_options
from support.raising import raised

SECRET = "hunter2"
EMPTY: dict[Any, Any] = {}


class Color(enum.Enum):
    """The color of a car."""

    RED = "red"


def _quoting(value: str) -> str:
    raise ValueError(f"no plan is called {value}")


class Cat(BaseModel):
    """One of two pets."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]


class Order(BaseModel):
    """A model that a consumer validates its job's data with."""

    model_config = ConfigDict(extra="forbid")
    customer_id: int
    password: int = 0
    line2: int = 0
    limits: dict[str, int] = {}
    plan: Annotated[str, AfterValidator(_quoting)] = ""
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None


def database_error() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select * from nowhere where x = :x"), {"x": SECRET})
    finally:
        engine.dispose()


def unique_violation() -> None:
    raise psycopg.errors.UniqueViolation(
        'duplicate key value violates unique constraint "users_email_key"\n'
        f"DETAIL:  Key (email)=({SECRET}) already exists."
    )


def chained() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        error.add_note(f"while reading {SECRET!r}")
        raise RuntimeError("the import failed") from error


def grouped() -> None:
    raise BaseExceptionGroup("some", [raised(lambda: int(SECRET)), raised(chained), KeyError(SECRET)])


QUOTING: dict[str, Callable[[], Any]] = {
    "pydantic": lambda: Order.model_validate({"customer_id": SECRET}),
    "pydantic constructor": lambda: Order(**{"customer_id": SECRET}),
    "pydantic missing": lambda: Order.model_validate({"password": 1, "line2": SECRET}),
    "pydantic extra key": lambda: Order.model_validate({"customer_id": 1, SECRET: 1}),
    "pydantic dict key": lambda: Order.model_validate({"customer_id": 1, "limits": {SECRET: "x"}}),
    "pydantic validator": lambda: Order.model_validate({"customer_id": 1, "plan": SECRET}),
    "pydantic tag": lambda: Order.model_validate({"customer_id": 1, "pet": {"kind": SECRET}}),
    "pydantic json": lambda: Order.model_validate_json(f'{{"customer_id": "{SECRET}"}}'),
    "pydantic bad json": lambda: Order.model_validate_json(SECRET),
    "pydantic adapter": lambda: TypeAdapter(list[int]).validate_python([SECRET]),
    "pydantic root": lambda: RootModel[dict[str, int]].model_validate({SECRET: SECRET}),
    "int": lambda: int(SECRET),
    "float": lambda: float(SECRET),
    "decimal": lambda: decimal.Decimal(SECRET),
    "uuid": lambda: uuid.UUID(SECRET),
    "isoformat": lambda: datetime.datetime.fromisoformat(SECRET),
    "strptime": lambda: datetime.datetime.strptime(SECRET, "%Y"),  # noqa: DTZ007
    "strptime rest": lambda: datetime.datetime.strptime("2024" + SECRET, "%Y"),  # noqa: DTZ007
    "enum": lambda: Color(SECRET),
    "address": lambda: ipaddress.ip_address(SECRET),
    "json": lambda: json.loads(f'{{"password": {SECRET}}}'),
    "key": lambda: EMPTY[SECRET],
    "key with blanks": lambda: EMPTY[f"Ada {SECRET}"],
    "key of a mapping": lambda: (_ for _ in ()).throw(KeyError({"password": SECRET})),
    "tuple key": lambda: EMPTY[(SECRET, 1)],
    "index": lambda: ["x"].index(SECRET),
    "apostrophe": lambda: (_ for _ in ()).throw(ValueError(f"can't read '{SECRET}' as a number")),
    "attribute": lambda: getattr(object(), SECRET),
    "keyword": lambda: dict_of(**{SECRET: "x"}),
    "unicode": lambda: SECRET.encode().decode("utf-16"),
    "codec": lambda: b"x".decode(SECRET),
    "regex": lambda: re.compile(f"({SECRET}"),
    "literal": lambda: ast.literal_eval(f"{SECRET}("),
    "command": lambda: subprocess.run(["false", SECRET], check=True),
    "yaml": lambda: yaml.safe_load(f"a: [{SECRET}"),
    "sqlalchemy": database_error,
    "postgres": unique_violation,
    "note and cause": chained,
    "group": grouped,
    "unterminated": lambda: (_ for _ in ()).throw(ValueError(f"bad '{SECRET} and more")),
}


def dict_of(*, name: str = "") -> None:
    """Takes one keyword."""


def call_of(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call it without the type checker's knowledge."""
    return function(*arguments, **named)


@pytest.mark.parametrize("name", QUOTING)
def test_a_quoted_value_is_in_neither_message_nor_trace(name: str) -> None:
    error = raised(QUOTING[name])
    for text in (error_text(error), error_trace(error)):
        assert SECRET not in text
        assert text
    assert type(error).__name__ in error_trace(error)


@pytest.mark.parametrize("name", QUOTING)
def test_a_quoted_value_is_in_no_outcome(name: str) -> None:
    outcome = decide_error(raised(QUOTING[name]), a_job(attempt=1), some_options({"attempts": 2}))
    assert isinstance(outcome, Retry)
    assert SECRET not in outcome.reason + outcome.trace


def test_wrong_fields_of_a_model_are_named_with_the_reason() -> None:
    data = {"customer_id": SECRET, "password": SECRET, "line2": "x", "limits": {"a@example.org": SECRET}}
    text = error_text(raised(lambda: Order.model_validate(data)))
    integer = "Input should be a valid integer, unable to parse string as an integer"
    assert text == (
        f"4 validation errors for Order (customer_id: {integer}; password: {integer}; line2: {integer}; "
        f"limits.***: {integer})"
    )


def test_a_missing_attribute_is_named_unless_it_is_a_value_of_the_data() -> None:
    missing = raised(lambda: getattr(asyncio, "rnu"))  # noqa: B009 - as a consumer that mistypes
    assert error_text(missing, {"field": "rn"}).endswith("has no attribute '***'")
    assert error_text(missing, {"field": "other"}) == "module 'asyncio' has no attribute 'rnu'"
    secret = raised(lambda: getattr(asyncio, "a@example.org"))
    assert error_text(secret).endswith("has no attribute '***'")


def test_an_unexpected_argument_is_named_unless_it_is_a_value_of_the_data() -> None:
    for name, data, shown in (("retris", {"retris": 1}, "retris"), ("ada", "ada", "***"), ("a@b.org", {}, "***")):
        error = raised(lambda: call_of(dict_of, **{name: 3}))  # noqa: B023
        assert error_text(error, data).endswith(f"got an unexpected keyword argument '{shown}'")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (raised(lambda: EMPTY["customer_id"]), "'customer_id'"),
        (raised(lambda: None.x), "'NoneType' object has no attribute 'x'"),  # type: ignore[attr-defined]
        (raised(lambda: "a" + 1), 'can only concatenate str (not "int") to str'),  # type: ignore[operator]
        (raised(lambda: 1 / 0), "division by zero"),
        (
            OSError(2, "No such file or directory", "/etc/app.pem"),
            "[Errno 2] No such file or directory: '/etc/app.pem'",
        ),
        (RuntimeError("smtp down"), "smtp down"),
        (RuntimeError("one\ntwo"), "one\ntwo"),
        (RuntimeError(), "RuntimeError"),
        (raised(lambda: call_of(dict_of, 1)), "dict_of() takes 0 positional arguments but 1 was given"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_text_that_is_not_a_value_stays(error: BaseException, text: str) -> None:
    assert error_text(error) == text


def test_a_missing_key_that_is_a_value_of_the_job_is_masked() -> None:
    error = raised(lambda: EMPTY["swordfish"])
    assert error_text(error, {"login": ["swordfish"]}) == "'***'"
    assert error_text(error, {"login": "other"}) == "'swordfish'"


def test_a_file_named_by_the_job_is_masked() -> None:
    error = raised(lambda: open("/nowhere/ada-lovelace.pdf"))  # noqa: SIM115
    assert error_text(error, {"who": "ada-lovelace"}) == "[Errno 2] No such file or directory: '***'"


def test_the_trace_shows_causes_members_notes_and_locations() -> None:
    trace = error_trace(raised(grouped))
    for part in ("ExceptionGroup: some (3 sub-exceptions)", "in chained", "direct cause", "while reading '***'"):
        assert part in trace
    assert "\n    ValueError: invalid literal for int() with base 10: ***" in trace


def test_a_text_in_a_line_of_code_is_masked_and_names_of_fields_stay() -> None:
    data: dict[str, Any] = {"name": "x"}
    trace = error_trace(raised(lambda: data["customer_id"] + int("hunter2") + len("to ada@example.org")))
    assert 'data["customer_id"] + int("***") + len("***")' in trace


def test_a_message_of_several_lines_is_one_line_of_the_trace() -> None:
    assert error_trace(RuntimeError("one\nJob completed")) == "RuntimeError: one\\nJob completed\n"


def test_texts_are_bounded_whatever_is_raised() -> None:
    error: BaseException = ValueError("word " * 100_000)
    for _ in range(100):
        outer = RuntimeError("word " * 100_000)
        outer.__cause__, error = error, outer
    circle = RuntimeError("a")
    circle.__cause__ = ValueError("b")
    circle.__cause__.__cause__ = circle
    for each in (error, circle, ExceptionGroup("g", [ValueError("x")] * 1000)):
        assert len(error_text(each)) <= MAX_REASON
        assert len(error_trace(each)) <= MAX_TRACE


@pytest.mark.parametrize(
    ("about", "call"),
    [
        (True, Order.model_validate),
        (True, lambda data: Order(**data)),
        (True, lambda data: Order.model_validate_json(json.dumps(data))),
        (True, lambda data: Cat.model_validate(data["pet"])),
        (True, lambda data: TypeAdapter(int).validate_python(data["customer_id"])),
        (False, lambda data: Order.model_validate({"customer_id": "an answer"})),
        (False, lambda data: Cat.model_validate({})),
        (False, lambda data: TypeAdapter(int).validate_python(None)),
        (False, lambda data: int(data["customer_id"])),
    ],
)
@pytest.mark.parametrize("in_group", [False, True])
def test_only_a_validation_error_about_the_jobs_data_is_not_retried(
    about: bool, call: Callable[[Any], Any], in_group: bool
) -> None:
    data = {"customer_id": SECRET, "pet": {"name": "Tom"}, "nothing": None}
    error = raised(lambda: call(data))
    if in_group:
        error = BaseExceptionGroup("some", [OSError("x"), error])
    outcome = decide_error(error, a_job(data=data, attempt=1), some_options({"attempts": 9}))
    assert isinstance(outcome, Fail if about else Retry)
    if isinstance(outcome, Fail):
        assert outcome.reason_class == "invalid_payload"
        assert SECRET not in outcome.reason + outcome.trace


def test_the_reason_a_consumer_gives_is_kept_without_what_errors_quoted() -> None:
    quoted = str(raised(lambda: Order.model_validate({"customer_id": SECRET})))
    for words, kept in (
        ("no plan for order 12345", "no plan for order 12345"),
        (f"bad: {quoted}", "***, input_type=str"),
    ):
        outcome = decide_error(raised(lambda: throw(UnrecoverableError(words))), a_job(), some_options())  # noqa: B023
        assert isinstance(outcome, Fail)
        assert kept in outcome.reason
        assert SECRET not in outcome.reason + outcome.trace
    mute = type("Mute", (UnrecoverableError,), {"__str__": lambda self: 1 / 0})
    assert error_text(mute(), own_words=True) == "(its message cannot be read)"


def throw(error: BaseException) -> None:
    """Raise it."""
    raise error
