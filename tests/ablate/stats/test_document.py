import jsonschema
import pytest

from ablate.stats.document import SCHEMA, schema, validate
from trials.errors import UserError

EMPTY = {"schema": SCHEMA, "level": 0.95, "metric": None, "split": None, "looks": 1,
         "findings": [], "variance": [], "missing": [], "claims": []}  # fmt: skip


def test_an_empty_document_is_valid() -> None:
    validate(EMPTY)


@pytest.mark.parametrize("name", ["findings", "frame"])
def test_the_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_a_newer_schema_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"f\.json: schema: findings schema 2 is newer than"):
        validate({**EMPTY, "schema": 2}, source="f.json")


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        validate({**EMPTY, "level": "high", "claims": [{"id": "c"}]})
    text = str(caught.value)
    assert "level" in text
    assert "claims[0]" in text


@pytest.mark.parametrize("document", [[], {}, None, {"schema": "1"}])
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(UserError):
        validate(document)
