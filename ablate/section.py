"""What all parts of a study file are made of: sections, lists, numbers, patterns."""

import sys
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Field(strict=False)]
Pattern = dict[str, Any]
"""Field -> value, or a list of values; matches an arm that has one of them."""


def shown(value: Any) -> str:
    """A number as people type it in a study: `1e-4`, `0.05`, `16`."""
    if isinstance(value, float) and value and abs(value) <= 0.01:
        mantissa, exponent = f"{value:.6e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, but got {value!r}")
    if value != value or abs(value) > sys.float_info.max:  # A whole number may be beyond it.
        raise ValueError(f"must be finite, but got {shown(value)[:40]}")
    return value


Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]


class Section(BaseModel):
    """A mapping of a study file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )
