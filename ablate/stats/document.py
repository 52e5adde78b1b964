"""The JSON schemas of the files that statistics are exchanged in, and checking against them."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from trials.errors import Problem, UserError

SCHEMA = 1
"""Number of the `findings.json` format; raised when a reader of the old one would misread it."""

_MOST_PROBLEMS = 20


@cache
def schema(name: str) -> Any:
    """A schema that ships with the package: `findings` or `frame` (one row)."""
    text = (files("ablate") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def validate(document: Any, *, source: str = "findings.json") -> None:
    """Refuse a document that is not a `findings.json` of a version this code can read.

    Args:
        document: parsed JSON.
        source: what to call it in messages.

    Raises:
        UserError: a newer format, or every place where the document departs from the schema.
    """
    from jsonschema import Draft202012Validator

    number = document.get("schema") if isinstance(document, dict) else None
    if isinstance(number, int) and number > SCHEMA:
        raise UserError(
            Problem(f"findings schema {number} is newer than schema {SCHEMA}, the newest that "
                    "this version of ablate reads; upgrade ablate", file=source, key="schema")
        )  # fmt: skip
    errors = sorted(
        Draft202012Validator(schema("findings")).iter_errors(document), key=lambda e: e.json_path
    )
    if errors:
        raise UserError(
            *(Problem(error.message[:300], file=source, key=error.json_path.removeprefix("$."))
              for error in errors[:_MOST_PROBLEMS])
        )  # fmt: skip
