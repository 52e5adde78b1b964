import json
from dataclasses import replace
from pathlib import Path

from trials.catalogue import LocalCode, complete
from trials.places import Assignment, Places
from trials.spec import Recipe, Splits, TrialSpec

SPEC = TrialSpec(
    task="t", backbone="b", method="lora_mini", hyperparameters=complete("lora_mini", {}),
    targets=("query", "value"), recipe=Recipe(steps=3), splits=Splits(), seed=1, stage="search",
)  # fmt: skip


def test_an_assignment_travels_as_json() -> None:
    sent = Assignment(
        spec=SPEC,
        task="./t",
        backbone="tiny",
        places=Places(data=("/d", "/e"), models=("/m",), base="/study"),
        folder="/out",
        code=(LocalCode("mine.py", "x = 1\n"), LocalCode("yours.py", "y = 2\n")),
        device="cuda:1",
        threads=3,
    )
    received = Assignment.from_json(json.loads(json.dumps(sent.to_json())))
    assert received.spec.id == sent.spec.id
    assert received.to_json() == sent.to_json()
    assert received.places == sent.places
    assert received.code == sent.code
    assert (received.device, received.threads, received.folder) == ("cuda:1", 3, "/out")


def test_what_is_not_said_has_a_default() -> None:
    sent = Assignment(spec=SPEC, task="t", backbone="tiny", places=Places(), folder="/out")
    received = Assignment.from_json(json.loads(json.dumps(sent.to_json())))
    assert received.places == Places()
    assert (received.device, received.threads, received.code) == ("cpu", 1, ())


def test_where_things_are_is_no_part_of_what_is_trained() -> None:
    one = Assignment(spec=SPEC, task="t", backbone="tiny", places=Places(), folder="/out")
    other = Assignment(
        spec=SPEC, task="t", backbone="tiny", places=Places(data=("/d",)), folder="/elsewhere"
    )
    assert one.spec.id == other.spec.id


def test_heads_that_read_something_else_share_no_pass() -> None:
    one = Assignment(spec=SPEC, task="t", backbone="tiny", places=Places(), folder="/out")
    other = replace(one, task="u", reads="tokens")
    assert one.kind == replace(one, task="v").kind != other.kind
    assert Assignment.from_json(other.to_json()).reads == "tokens"


def test_places_are_paths() -> None:
    places = Places(data=("/d",), models=("/m", "/n"), base="/study")
    assert places.data_roots == (Path("/d"),)
    assert places.model_roots == (Path("/m"), Path("/n"))
    assert places.base_folder == Path("/study")
    assert Places().base_folder is None
    assert hash(places) == hash(Places(data=("/d",), models=("/m", "/n"), base="/study"))
