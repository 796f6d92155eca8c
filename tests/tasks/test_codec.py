"""Fields: which way values take, and that names of fields are not mistaken for parts of a schema."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, computed_field

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
        model_config = ConfigDict(extra="forbid")
        side: int

        @computed_field
        def area(self) -> int:
            return self.side**2

    fields = Fields("task", {"square": Square, "listed": Json[list[int]]})
    values = {"square": Square(side=2), "listed": "[1]"}
    data = fields.write(values)
    assert data == {"square": {"side": 2}, "listed": "[1]"}
    assert fields.read(data) == {"square": Square(side=2), "listed": [1]}
    assert fields.convert(values)["square"] == {"side": 2, "area": 4}


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
