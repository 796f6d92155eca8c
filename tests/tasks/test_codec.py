"""Fields: which way values take, and that names of fields are not mistaken for parts of a schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

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
