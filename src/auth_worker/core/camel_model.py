"""The base of what the command line and the API show."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class CamelModel(BaseModel):
    """A value that cannot be changed, with names in snake_case in Python and camelCase in JSON."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, alias_generator=to_camel)
