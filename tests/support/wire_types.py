"""A TaskQueue with each kind of type that a job's data can have, and a task of a producer in TypeScript."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from auth_worker import WorkerService
from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue

T = TypeVar("T")


class Colour(enum.Enum):
    """A colour; not */ the end of a comment."""

    RED = "red"
    BLUE = 'it\'s "blue"'


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, description="How many are left.")


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    good: bool


class Node(BaseModel):
    """A tree, which refers to itself."""

    value: int
    children: list[Node] = []


class Page(BaseModel, Generic[T]):
    items: list[T]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Aliased(BaseModel):
    first_name: str = Field(alias="first-name")


class delete(BaseModel):  # noqa: N801 - a word of TypeScript
    id: int


class Record(BaseModel):
    id: int


@dataclass
class Size:
    width: int
    height: int = 1


class Options(TypedDict):
    fast: bool
    seed: NotRequired[bytes]


class Receipt(BaseModel):
    price: Decimal
    colour: Colour
    at: datetime


queue = TaskQueue("wire-types", worker_config={"concurrency": 2})


@queue.task
def plain(text: str, number: int, ratio: float, truth: bool, nothing: None, anything: Any) -> None:
    """Nothing but JSON."""


@queue.task
def moments(at: datetime, on: date, hour: time, wait: timedelta) -> datetime:
    return at


@queue.task
def scalars(id: UUID, price: Decimal, colour: Colour, level: Level, raw: bytes) -> bytes:
    return raw


@queue.task
def containers(
    names: list[str],
    several: list[int | None],
    unique: set[int],
    pair: tuple[int, str],
    many: tuple[int, ...],
    empty: tuple[()],
    by_name: dict[str, Size],
    by_number: dict[int, list[Colour]],
    grid: list[list[float]],
) -> dict[str, int]:
    return {}


@queue.task
def objects(
    node: Node,
    pet: Annotated[Cat | Dog, Field(discriminator="kind")],
    page: Page[Size],
    open: Open,
    aliased: Aliased,
    size: Size,
    options: Options,
    removed: delete,
    record: Record,
) -> Node:
    return node


@queue.task(name="a b/c*/d")
def optional(*, size: Size | None = None, pets: list[Cat | Dog] = [], mode: Literal["on", "off", 3] = "on") -> int:  # noqa: B006
    return 1


@queue.task
async def sell(colour: Colour, price: Decimal, size: Size, *, job: Job = INJECTED) -> Receipt:
    at = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    return Receipt(price=price * size.width * size.height, colour=colour, at=at)


@queue.task
def silent() -> Any:
    pass


service = WorkerService()
service.include(queue)
other = WorkerService()
