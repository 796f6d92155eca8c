"""Fields: which way values take, and that names of fields are not mistaken for parts of a schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    TypeAdapter,
    computed_field,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.errors import ConfigurationError
from auth_worker.tasks.codec import Fields, UnfitValuesError


@pytest.mark.parametrize("name", ["metadata", "serialization", "expected", "default", "type", "strict"])
def test_a_field_may_have_any_name(name: str) -> None:
    fields = Fields("task", {name: bytes})
    assert fields.write({name: b"\xff"}) == {name: "_w=="}
    assert fields.read({name: "/w=="}) == {name: b"\xff"}


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        (dict[str, list[int | None]], {"a": [1, None]}, {"a": [1, None]}),
        (set[int], {1}, [1]),
        (tuple[int, str], (1, "a"), [1, "a"]),
        (datetime | str, datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 - naive on purpose
        (Any, {"b": {"when": datetime(2026, 1, 2)}}, {"b": {"when": "2026-01-02T00:00:00"}}),  # noqa: DTZ001
        (complex, 1 + 2j, "1+2j"),
    ],
)
def test_values_become_json_and_are_read_back(kind: Any, value: Any, wire: Any) -> None:
    fields = Fields("task", {"value": kind})
    assert fields.write({"value": value}) == {"value": wire}
    if kind is not Any:
        assert fields.read({"value": wire}) == {"value": value}


def test_the_bytes_of_a_model_are_as_its_config_says() -> None:
    class Photo(BaseModel):
        raw: bytes

    class Encoded(Photo):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    fields = Fields("task", {"photo": Encoded})
    assert fields.write({"photo": Encoded(raw=b"\xff")}) == {"photo": {"raw": "_w=="}}
    assert fields.read({"photo": {"raw": "/w=="}}) == {"photo": Encoded(raw=b"\xff")}
    with pytest.raises(UnfitValuesError) as caught:
        Fields("task", {"photo": Photo}).write({"photo": Photo(raw=b"\xff")})
    assert "set ser_json_bytes and val_json_bytes" in caught.value.fields[0]["message"]


def test_a_key_that_the_data_brought_is_masked_and_long_lists_are_cut() -> None:
    fields = Fields("task", {"ages": dict[str, int]})
    with pytest.raises(UnfitValuesError) as caught:
        fields.read({"ages": {f"hunter{number}": "x" for number in range(30)}})
    assert len(caught.value.fields) == 21
    assert caught.value.fields[0] == {"field": "ages.***", "message": "Input should be a valid integer"}
    assert caught.value.fields[-1] == {"field": "data", "message": "10 more problems"}
    assert "hunter" not in str(caught.value.fields)


@pytest.mark.parametrize(
    "kind",
    [
        str | bytes,
        bytes | str | None,
        list[bytes | UUID],
        dict[str, Annotated[bytes, Field(max_length=4)] | Decimal],
        bytes | int | date,
    ],
)
def test_bytes_that_another_text_may_look_like_are_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="task: a union of bytes and another text"):
        Fields("task", {"value": kind})


@pytest.mark.parametrize(
    ("kind", "value"),
    [(bytes | None, b"\xff"), (list[int] | bytes, b"\xff"), (dict[str, str] | bytes, {"a": "b"})],
)
def test_bytes_beside_what_is_no_text_are_read_back(kind: Any, value: Any) -> None:
    fields = Fields("task", {"value": kind})
    assert fields.read(fields.write({"value": value})) == {"value": value}


def test_what_is_computed_is_not_data_but_belongs_to_a_result() -> None:
    class Square(BaseModel):
        side: int

        @computed_field
        def area(self) -> int:
            return self.side**2

    class Closed(Square):
        model_config = ConfigDict(extra="forbid")

    fields = Fields("task", {"square": Closed, "listed": Json[list[int]]})
    values = {"square": Closed(side=2), "listed": "[1]"}
    data = fields.write(values)
    assert data == {"square": {"side": 2}, "listed": "[1]"}
    assert fields.read(data) == {"square": Closed(side=2), "listed": [1]}
    result = Fields("task", {"square": Square}, is_result=True)
    written = result.convert({"square": Square(side=2)})
    assert written == {"square": {"side": 2, "area": 4}}
    assert result.read(written) == {"square": Square(side=2)}
    for kind, problem in ((Closed, "Closed.area is a computed field"), (Json[list[int]], "Json.* as text")):
        with pytest.raises(ConfigurationError, match=problem):
            Fields("task", {"it": kind}, is_result=True)


class Written(BaseModel):
    a: int = Field(1, serialization_alias="A")


class Read(BaseModel):
    a: int = Field(1, validation_alias="A")


class ReadDeep(BaseModel):
    a: int = Field(validation_alias=AliasPath("A", 0))


class ReadByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
    a: int = Field(alias="A")


class Hidden(BaseModel):
    a: int = Field(exclude=True)


class SometimesHidden(BaseModel):
    a: int = Field(exclude_if=lambda a: a == 0)


@dataclass
class WrittenDataclass:
    a: Annotated[int, Field(serialization_alias="A")]


class HiddenDict(TypedDict):
    a: Annotated[int, Field(exclude=True)]


class Around(BaseModel):
    within: dict[str, list[Written | None]]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Written, "Written.a is written as 'A'"),
        (Read, "Read.a is written as 'a'"),
        (ReadDeep, "ReadDeep.a is written as 'a'"),
        (ReadByName, "ReadByName.a is written as 'A'"),
        (WrittenDataclass, "WrittenDataclass.a is written as 'A'"),
        (Around, "Written.a is written as 'A'"),
        (Hidden, "Hidden.a is left out"),
        (SometimesHidden, "SometimesHidden.a is left out"),
        (HiddenDict, "HiddenDict.a is left out"),
    ],
)
@pytest.mark.parametrize("is_result", [False, True])
def test_a_field_that_cannot_be_read_as_it_is_written_is_refused(kind: Any, problem: str, is_result: bool) -> None:
    with pytest.raises(ConfigurationError, match=f"task: {problem}"):
        Fields("task", {"value": kind}, is_result=is_result)


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=False, extra="forbid")
    a: int = Field(alias="A")
    b: int = Field(2, validation_alias=AliasChoices("x", AliasPath("y", 0), "b"))
    c: int = Field(3, exclude=True)


class AliasedDict(TypedDict):
    a: Annotated[int, Field(alias="A")]


class OwnForm(BaseModel):
    a: int = Field(1, serialization_alias="A")

    @model_serializer
    def write(self) -> int:
        return self.a

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {"a": value} if isinstance(value, int) else value


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        (Aliased, Aliased(A=1), {"A": 1, "b": 2}),
        (AliasedDict, {"A": 1}, {"A": 1}),
        (OwnForm, OwnForm(a=7), 7),
    ],
)
@pytest.mark.parametrize("is_result", [False, True])
def test_what_is_written_by_an_alias_is_read_by_it(kind: Any, value: Any, wire: Any, is_result: bool) -> None:
    fields = Fields("task", {"value": kind}, is_result=is_result)
    written = fields.convert({"value": value})
    assert written == {"value": wire}
    assert fields.read(written) == {"value": TypeAdapter(kind).validate_python(value)}


@pytest.mark.parametrize("keys", [int, UUID, date, bool, int | str])
def test_keys_are_checked_as_json_has_them(keys: Any) -> None:
    key = {int: 1, UUID: UUID(int=1), date: date(2026, 1, 2), bool: True}.get(keys, "a")
    fields = Fields("task", {"by": dict[keys, int]})
    data = fields.write({"by": {key: 1}})
    assert fields.read(decode_json(encode_json(data).decode())) == {"by": {key: 1}}


def test_a_key_that_json_cannot_have_is_refused() -> None:
    fields = Fields("task", {"by": dict[int | None, int]})
    with pytest.raises(UnfitValuesError):
        fields.write({"by": {None: 1}})
