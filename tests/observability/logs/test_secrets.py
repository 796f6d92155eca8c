"""No secret reaches a line: whatever its shape, and wherever it stands in an event, an error or a line."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from auth_worker import events
from auth_worker.config import Settings
from auth_worker.events import EventBus
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.log_lines import MOVES, STATES, LogObserver
from auth_worker.observability.logs import Log, add_job_context, logger_of, open_log, redact_fields
from auth_worker.observability.logs.sink import sink_of
from auth_worker.observability.logs.stdlib import configure_logging
from support.secret_shapes import SHAPES

NAMES = {
    "trace_id",
    "queue",
    "job_id",
    "job_name",
    "dead_letter_id",
    "target",
    "connection",
    "message",
    "state",
    "reason_class",
    "to",
}
"""Fields of events that hold our own names and ids, or words from short lists."""
EVENTS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, tuple) and kind is not tuple
]
TOLD = {"message": WORKER_ERRORS.MAINTENANCE_FAILED, "state": min(STATES), "to": min(MOVES)}
secrets = st.from_regex(r"[A-Z][a-z0-9]{6}[0-9][A-Za-z0-9]{3,12}", fullmatch=True)
"""Secrets shaped like passwords and tokens: not words, and not part of what the tests' own lines hold."""
texts = st.sampled_from(SHAPES)
urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["https", "http", "HTTPS"]),
    st.sampled_from(["", "user:{}@", ":{}@", "{}@", "{}:x@"]),
    st.sampled_from(["app.example.com", "10.0.0.7:8443", "[::1]:80"]),
    st.sampled_from(["/{}", "/a/{}/b", "/?token={}", "/x?a=1&b={}#{}", "#{}", "?{}"]),
)
secret_names = st.sampled_from(
    [
        "password",
        "smtp_password",
        "accessToken",
        "otp",
        "verificationCode",
        "pin",
        "cookie",
        "api_key",
        "client_secret",
    ]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(texts, urls, st.builds(dict, st.tuples(st.tuples(secret_names, st.just("{}"))))),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2),
        st.tuples(inner),
        st.dictionaries(st.sampled_from(["a", "to", "rows"]), inner, min_size=1, max_size=2),
    ),
    max_leaves=4,
)


def filled(value: Any, secret: str) -> Any:
    """Return ``value`` with the secret in every text of it."""
    match value:
        case str():
            return value.replace("{}", secret).replace("{{", "{").replace("}}", "}")
        case dict():
            return {filled(key, secret): filled(item, secret) for key, item in value.items()}
        case list():
            return [filled(item, secret) for item in value]
        case tuple():
            return tuple(filled(item, secret) for item in value)
    return value


def event_of(kind: Any, text: str) -> Any:
    """Build an event with ``text`` in every free text."""
    made: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if name in NAMES:
            made[name] = TOLD.get(name, "work")
        elif hint is str:
            made[name] = text
        elif hint in (int, float):
            made[name] = 7
        elif hint is bool:
            made[name] = False
        elif hint == tuple[str, ...]:
            made[name] = ("job-1",)
    return kind(**made)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> str:
    sink_of(stream).drain()
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


def test_every_kind_of_event_is_tried() -> None:
    assert {kind.__name__ for kind in EVENTS} >= {"JobFailed", "JobMoved", "JobLogged", "BrokerChanged", "Problem"}


@pytest.mark.parametrize("form", ["json", "console", "a logger of the user's"])
@given(secret=secrets, shape=st.one_of(texts, urls), data=st.data())
@settings(max_examples=60)
def test_no_field_of_any_event_lets_a_secret_through(form: str, secret: str, shape: str, data: Any) -> None:
    stream, said = io.StringIO(), []
    if form == "a logger of the user's":
        take = lambda message, **fields: said.append((message, fields))  # noqa: E731
        log = Log(SimpleNamespace(info=take, warning=take, error=take), None, None)
    else:
        log = open_log(None, Settings(http_port=None, log_format=form), stream)
    bus = EventBus()
    LogObserver(log).attach(bus)
    kind = data.draw(st.sampled_from(EVENTS))
    bus.emit(event_of(kind, filled(shape, secret)))
    assert secret not in written(stream) + str(said)


@pytest.mark.parametrize("form", ["json", "console"])
@given(secret=secrets, name=st.sampled_from(["event", "to", "queue", "job_id", "rows"]), value=values)
@settings(max_examples=60)
def test_no_field_of_a_consumers_line_lets_a_secret_through(form: str, secret: str, name: str, value: Any) -> None:
    stream = io.StringIO()
    configure_logging(Settings(http_port=None, log_format=form), stream)
    held = filled(value, secret)
    if name == "event":
        logging.getLogger("app").info("%s", held)
        structlog.get_logger("app").info(str(held))
    else:
        logging.getLogger("app").info("hello", extra={name: held})
        structlog.get_logger("app").info("hello", **{name: held})
    text = written(stream)
    assert text.count('"app"' if form == "json" else "app") >= 2
    assert secret not in text


@given(secret=secrets, shapes=st.lists(st.one_of(texts, urls), min_size=1, max_size=3), linked=st.booleans())
@settings(max_examples=60)
def test_no_exception_lets_a_secret_through(secret: str, shapes: list[str], linked: bool) -> None:
    """The same holds for its causes, notes and members."""
    stream = io.StringIO()
    configure_logging(Settings(http_port=None), stream)
    error: Exception = ValueError("the first")
    for shape in shapes:
        try:
            raise RuntimeError(filled(shape, secret)) from (error if linked else None)
        except RuntimeError as raised:
            error = raised
            error.add_note(filled(shape, secret))
    for each in (error, ExceptionGroup(filled(shapes[0], secret), [error])):
        logging.getLogger("app").error("failed", exc_info=each)
        structlog.get_logger("app").error("failed", exc_info=each)
        logger_of(None, Settings(http_port=None), stream).error("failed", exc_info=each)
    text = written(stream)
    assert text.count("RuntimeError") >= 6
    assert secret not in text


@given(name=secret_names, value=st.one_of(st.integers(), st.floats(), secrets, secrets.map(str.encode)))
def test_a_field_named_as_a_secret_is_masked_whatever_its_value(name: str, value: Any) -> None:
    assert redact_fields(None, "info", {"event": "hello", name: value})[name] == "***"
    nested = redact_fields(None, "info", {"event": "hello", "user": [{name: value}]})
    assert nested["user"] == [{name: "***"}]


@pytest.mark.parametrize(
    "fields",
    [{"rows": 20_000, "ms": 1.5, "ok": True, "none": None}, {"status_code": 200, "exit_code": 3, "nodes": 2}],
)
def test_a_field_that_is_not_secret_stays(fields: dict[str, Any]) -> None:
    assert redact_fields(None, "info", {"event": "sent 12 of 345", **fields}) == {
        "event": "sent 12 of 345",
        **fields,
    }


def test_a_value_that_cannot_be_read_is_replaced_by_a_note() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no")

    deep: Any = "end"
    for _ in range(20):
        deep = [deep]
    line = redact_fields(None, "info", add_job_context(None, "info", {"event": "x", "it": Broken(), "deep": deep}))
    assert line["it"] == "(its text cannot be read)"
    assert "..." in str(line["deep"])
