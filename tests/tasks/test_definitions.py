"""What a task's signature may be, and what is refused when the service includes it."""

from __future__ import annotations

import functools
import sys
import typing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, Secret, SecretBytes, SecretStr
from pydantic.alias_generators import to_camel

from auth_worker import WorkerService
from auth_worker.errors import ConfigurationError, InvalidJobDataError
from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue
from support.processors import Harness
from support.task_services import add_raw, completed, dead_letter, failed, task_queue, working

if TYPE_CHECKING:
    from decimal import Decimal


class Client: ...


Plain = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]


class Person(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True)

    full_name: str
    born_at: datetime


@pytest.fixture
def queue(harness: Harness) -> TaskQueue:
    return task_queue(harness)


def include(harness: Harness, queue: TaskQueue) -> None:
    WorkerService(harness.url, settings=harness.settings()).include(queue)


def test_a_queue_without_tasks_cannot_be_included(harness: Harness, queue: TaskQueue) -> None:
    with pytest.raises(ConfigurationError, match="has no tasks"):
        include(harness, queue)


def test_two_tasks_of_one_name_are_refused(queue: TaskQueue) -> None:
    queue.task(name="greet")(lambda: None)
    with pytest.raises(ConfigurationError, match="there is a task greet already"):
        queue.task(name="greet")(lambda: None)


class Greeting:
    def __call__(self, name: str) -> str:
        return name


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (5, "int"),
        (Greeting, "type"),
        (Greeting(), "Greeting"),
        (functools.partial(len, "s3cret"), "partial"),
        (classmethod(lambda cls: None), "classmethod"),
    ],
)
def test_what_is_no_function_is_no_task(queue: TaskQueue, given: Any, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"a task is a function, not {kind}$"):
        queue.task(given)


def test_a_method_is_no_task_unless_it_needs_no_instance(harness: Harness, queue: TaskQueue) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @queue.task
        @staticmethod
        def sell(item: str) -> str:
            return item

        def close(self, day: int) -> tuple[str, int]:
            return self.name, day

    assert Shop.sell.definition.encode(("pen",), {}) == {"item": "pen"}
    bound = queue.task(name="of an instance")(Shop("corner").close)
    assert (bound.definition.encode((1,), {}), bound(1)) == ({"day": 1}, ("corner", 1))
    queue.task(Shop.close)
    with pytest.raises(ConfigurationError, match="task close: parameter self: a job calls a function without an"):
        include(harness, queue)


def test_a_generator_is_no_task(queue: TaskQueue) -> None:
    def numbers() -> Any:
        yield 1

    async def letters() -> Any:
        yield "a"

    for function in (numbers, letters):
        with pytest.raises(ConfigurationError, match=f"task {function.__name__} is a generator"):
            queue.task(function)


class Login(BaseModel):
    password: Secret[str]


@pytest.mark.parametrize("kind", [SecretStr, list[SecretStr], dict[str, SecretBytes | None], Login])
def test_what_would_be_written_as_stars_is_refused(harness: Harness, queue: TaskQueue, kind: Any) -> None:
    async def log_in(login: Any) -> None: ...

    log_in.__annotations__["login"] = kind
    queue.task(log_in)
    with pytest.raises(ConfigurationError, match="task log_in: SecretStr and its like are written as stars"):
        include(harness, queue)


async def test_a_secret_that_says_how_it_is_written_is_data(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def log_in(password: Plain) -> str:
        return password.get_secret_value()

    async with working(harness, queue):
        assert await completed(harness, (await log_in.enqueue(SecretStr("s3cret"))).id) == "s3cret"


def test_a_parameter_that_is_neither_data_nor_a_resource_is_named(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def greet(name: str, client: Client) -> None: ...

    with pytest.raises(ConfigurationError, match="task greet: client: Client is neither data"):
        include(harness, queue)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes it from then on")
def test_a_typed_dict_that_this_python_cannot_read_is_named(harness: Harness, queue: TaskQueue) -> None:
    make: Any = typing.TypedDict
    place: Any = make("Place", {"street": str})

    async def greet(place: Any) -> None: ...

    greet.__annotations__["place"] = place
    queue.task(greet)
    with pytest.raises(ConfigurationError, match="place: Place must be a TypedDict of typing_extensions"):
        include(harness, queue)


def test_a_parameter_that_nothing_provides_is_named(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def greet(name: str, client: Client = INJECTED) -> None: ...

    with pytest.raises(ConfigurationError, match="parameter client: queue tasks has no resource for Client"):
        include(harness, queue)


async def test_who_only_enqueues_needs_no_resource(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def greet(name: str, client: Client = INJECTED) -> None: ...

    assert (await greet.enqueue("ada")).id
    await queue.close()


def star(*names: str) -> None: ...
def double_star(**names: str) -> None: ...
def positional(name: str, /) -> None: ...


@pytest.mark.parametrize("function", [star, double_star, positional])
def test_each_parameter_needs_a_name(harness: Harness, queue: TaskQueue, function: Any) -> None:
    queue.task(function)
    with pytest.raises(ConfigurationError, match="each needs a name"):
        include(harness, queue)


def test_a_field_in_the_place_of_a_default_is_refused(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    def pay(amount: int = Field(gt=0)) -> None: ...

    with pytest.raises(ConfigurationError, match=r"task pay: parameter amount .* write it as Annotated"):
        include(harness, queue)


def test_an_annotation_that_is_not_there_at_run_time_is_named(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def pay(amount: Decimal) -> None: ...

    with pytest.raises(ConfigurationError, match=r"task pay: .*'Decimal'"):
        include(harness, queue)


def test_a_process_task_must_be_importable(harness: Harness, queue: TaskQueue) -> None:
    @queue.task(execution="process")
    def compute() -> None: ...

    with pytest.raises(ConfigurationError, match="at the top of a module"):
        include(harness, queue)


async def test_a_job_comes_first_or_by_its_annotation(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def first(job: Job, name: str, times: int = 2) -> str:
        return f"{job.name} {name} {times}"

    @queue.task
    async def last(name: str, *, this: Annotated[Job, "the job"] = INJECTED) -> str:
        return f"{this.name} {name}"

    async with working(harness, queue):
        ids = [(await first.enqueue("ada", 3)).id, (await last.enqueue("bob")).id]
        assert [await completed(harness, each) for each in ids] == ["first ada 3", "last bob"]


async def test_a_model_goes_over_the_wire_by_its_aliases(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def greet(person: Person) -> Person:
        return person

    async with working(harness, queue):
        wire = {"fullName": "Ada", "bornAt": "1815-12-10T00:00:00"}
        raw = await add_raw(harness, "greet", {"person": wire})
        assert await completed(harness, raw) == wire
        person = Person.model_validate_json('{"fullName": "Ada", "bornAt": "1815-12-10T00:00:00"}')
        assert await completed(harness, (await greet.enqueue(person)).id) == wire


async def test_constraints_of_parameters_hold_at_both_ends(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def roll(sides: Annotated[int, Field(ge=2)]) -> int:
        return sides

    with pytest.raises(InvalidJobDataError, match="sides: Input should be greater than or equal to 2"):
        await roll.enqueue(1)
    async with working(harness, queue):
        raw = await add_raw(harness, "roll", {"sides": 1})
        assert (await dead_letter(harness, raw))["reasonClass"] == "invalid_payload"


@pytest.mark.parametrize("data", [[1], "hunter2", 5])
async def test_data_that_is_no_object_is_dead_at_once(harness: Harness, queue: TaskQueue, data: Any) -> None:
    @queue.task
    async def greet(name: str = "") -> None: ...

    async with working(harness, queue):
        raw = await add_raw(harness, "greet", data, attempts=3)
        job = await failed(harness, raw)
        assert (await dead_letter(harness, raw))["reasonClass"] == "invalid_payload"
    assert job["atm"] == "1"
    assert job["failedReason"] == "Invalid data for task greet (the value: Input should be an object)"


async def test_a_result_that_is_not_what_its_annotation_says_fails_for_good(
    harness: Harness, queue: TaskQueue
) -> None:
    @queue.task(attempts=3)
    async def count() -> int:
        return "hunter2"  # type: ignore[return-value]

    async with working(harness, queue):
        job = await failed(harness, (await count.enqueue()).id)
    assert job["atm"] == "1"
    assert "result: Input should be a valid integer" in job["failedReason"]
    assert "hunter2" not in str(job)


async def test_results_without_annotation_are_written_by_what_they_are(harness: Harness, queue: TaskQueue) -> None:
    @queue.task
    async def find():  # type: ignore[no-untyped-def]
        return {"person": Person.model_validate_json('{"fullName": "Ada", "bornAt": "1815-12-10T00:00:00"}')}

    async with working(harness, queue):
        returned = await completed(harness, (await find.enqueue()).id)
    assert returned == {"person": {"fullName": "Ada", "bornAt": "1815-12-10T00:00:00"}}


async def test_a_value_that_json_cannot_hold_is_not_enqueued(queue: TaskQueue) -> None:
    @queue.task
    async def keep(anything: Any) -> None: ...

    for value in (float("nan"), object()):
        with pytest.raises(InvalidJobDataError, match="cannot be written as JSON"):
            await keep.enqueue(value)


def test_tasks_and_queues_say_what_they_are(queue: TaskQueue) -> None:
    task = queue.task(name="greet")(star)
    assert repr(task) == "<Task 'greet' of tasks>"
    assert repr(queue) == "<TaskQueue 'tasks' with 1 tasks>"
