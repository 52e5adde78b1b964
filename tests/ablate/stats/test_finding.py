import json
import math

from ablate.stats.finding import Finding, plain_json


def test_details_become_keys_and_the_fields_win() -> None:
    made = Finding(id="f", kind="mean", task=None, treatment={"rank": [4, 8]}, control={}, n=3,
                   level=0.95, family="x", estimate=math.nan,
                   details={"wins": 2, "n": 99, "seeds": (0, 1)})  # fmt: skip
    document = made.to_json()
    assert (document["wins"], document["n"], document["estimate"]) == (2, 3, None)
    assert json.loads(json.dumps(document, allow_nan=False))["seeds"] == [0, 1]
    assert "details" not in document


def test_plain_json_goes_all_the_way_down() -> None:
    assert plain_json({"a": ({"b": math.inf},)}) == {"a": [{"b": None}]}
