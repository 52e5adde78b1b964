import hashlib
import json
import pickle
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.spec import (
    Dropout,
    Evaluate,
    Optimizer,
    Progress,
    Recipe,
    Schedule,
    Splits,
    TrialResult,
    TrialSpec,
    canonical_json,
    digest,
)

SPEC = TrialSpec(
    task="mrpc",
    backbone="roberta-base",
    method="lora_mini",
    hyperparameters={"rank": 8, "freeze": ["a_aux", "b_aux"], "alpha": 16.0},
    targets=("query", "value"),
    recipe=Recipe(
        epochs=3.0, optimizer=Optimizer(weight_decay=0.1), schedule=Schedule(warmup=0.06)
    ),
    splits=Splits(),
    seed=3,
    stage="confirm",
    code={"mine.py": "ab" * 32},
)

GOLDEN = "5faa9248cb52ad624dd2120149be9439a133442effd1a0d4a1c38bdd579872b9"

BEFORE_ATTENTION = "af9dc14d9391f53268b3e068c9afb3361d5437737ba86c01f620701453502e16"
"""The id of a trial with dropout, as it was before there was dropout on attention."""

LATER = (
    (("recipe", "dropout"), "attention", 0.0),
    (("recipe",), "head_start", "new"),
    (("recipe",), "gradient_checkpointing", False),
    ((), "source", None),
    ((), "order_seed", None),
    ((), "repeat", 0),
)
"""Fields that came after ids had been given out: where they are, and their default."""

recipes = st.builds(
    Recipe,
    epochs=st.none() | st.floats(0.1, 100),
    steps=st.none() | st.integers(1, 10**6),
    learning_rate=st.floats(1e-8, 1.0),
    optimizer=st.builds(Optimizer, weight_decay=st.floats(0, 1), eps=st.floats(1e-12, 1e-3)),
    dropout=st.builds(
        Dropout, adapter=st.floats(0, 0.9), attention=st.just(0.0) | st.floats(0, 0.9)
    ),
    evaluate=st.builds(Evaluate, every=st.just("epoch") | st.integers(1, 1000)),
    clip=st.none() | st.floats(0.1, 10),
    head_start=st.sampled_from(["new", "backbone", "source"]),
    gradient_checkpointing=st.booleans(),
)
specs = st.builds(
    replace,
    st.just(SPEC),
    recipe=recipes,
    seed=st.integers(0, 2**31),
    stage=st.sampled_from(["search", "confirm"]),
    hyperparameters=st.dictionaries(
        st.text(max_size=5), st.none() | st.integers() | st.floats(allow_nan=False,
        allow_infinity=False) | st.lists(st.text(max_size=3)) | st.booleans(), max_size=4,
    ),
    targets=st.sampled_from([("query",), {"modules": ["a", "b"]}]),
    source=st.none() | st.just("cd" * 32),
    order_seed=st.none() | st.integers(0, 99),
    repeat=st.integers(0, 3),
    data_digest=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
)  # fmt: skip


@given(specs)
def test_an_id_is_the_digest_of_the_canonical_json(spec: TrialSpec) -> None:
    content = asdict(spec)
    for place, name, default in LATER:
        part = content
        for key in place:
            part = part[key]
        if part[name] == default:
            del part[name]
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    assert spec.id == hashlib.sha256(text.encode()).hexdigest()
    assert digest(spec.to_json()) == spec.id


@given(specs)
def test_a_spec_survives_json(spec: TrialSpec) -> None:
    again = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.id == spec.id


@given(specs, st.integers(0, 2**31))
def test_another_seed_is_another_trial(spec: TrialSpec, seed: int) -> None:
    other = spec.with_seed(seed, spec.stage)
    assert (other.id == spec.id) == (seed == spec.seed)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "cola"},
        {"backbone": "bert"},
        {"method": "lora"},
        {"hyperparameters": {"rank": 4}},
        {"targets": ("query",)},
        {"recipe": Recipe(steps=3)},
        {"splits": Splits(report="test")},
        {"seed": 4},
        {"stage": "search"},
        {"data_digest": "1"},
        {"backbone_digest": "1"},
        {"source": "ef" * 32},
        {"order_seed": 3},
        {"repeat": 1},
        {"recipe": replace(SPEC.recipe, head_start="backbone")},
        {"recipe": replace(SPEC.recipe, gradient_checkpointing=True)},
        {"recipe": replace(SPEC.recipe, base_precision="int8")},
        {"code": {}},
        {"numerics": -1},
    ],
)
def test_everything_that_a_spec_says_is_part_of_its_id(change: dict[str, object]) -> None:
    assert replace(SPEC, **change).id != SPEC.id


def test_the_id_of_a_known_trial_stays() -> None:
    """Ids are kept in journals: another digest of the same content would lose its results."""
    known = replace(SPEC, numerics=1)
    assert known.id == hashlib.sha256(canonical_json(known.to_json()).encode()).hexdigest()
    assert known.id == GOLDEN


def test_a_field_that_was_added_later_changes_an_id_only_where_it_is_used() -> None:
    rates = Dropout(backbone=0.1, adapter=0.05)
    before = replace(SPEC, recipe=Recipe(steps=7, dropout=rates), numerics=1)
    after = replace(before, recipe=replace(before.recipe, dropout=replace(rates, attention=0.1)))
    assert before.id == BEFORE_ATTENTION
    assert "attention" not in before.to_json()["recipe"]["dropout"]
    assert after.id != BEFORE_ATTENTION
    assert after.to_json()["recipe"]["dropout"]["attention"] == 0.1
    assert TrialSpec.from_json(before.to_json()) == before
    assert TrialSpec.from_json(after.to_json()) == after


def test_the_order_of_keys_means_nothing() -> None:
    turned = dict(reversed(SPEC.hyperparameters.items()))
    assert replace(SPEC, hyperparameters=turned).id == SPEC.id


def test_a_spec_survives_pickling_with_its_id() -> None:
    assert pickle.loads(pickle.dumps(SPEC)) == SPEC
    assert pickle.loads(pickle.dumps(SPEC)).id == SPEC.id


def test_ids_are_provisional_until_data_and_backbone_are_known() -> None:
    assert SPEC.provisional
    assert replace(SPEC, data_digest="1").provisional
    assert not replace(SPEC, data_digest="1", backbone_digest="2").provisional


def test_a_number_that_is_not_finite_has_no_canonical_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})


def test_a_result_survives_json_and_a_score_that_is_not_finite_is_missing() -> None:
    result = TrialResult(
        status="diverged", reason="loss is NaN", scores={"validation": {"accuracy": float("nan")}}
    )
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert written["scores"]["validation"]["accuracy"] is None
    assert TrialResult.from_json(written).status == "diverged"


def test_keys_of_a_newer_version_are_passed_over() -> None:
    progress = Progress(
        step=1, num_steps=2, epoch=0.5, train_loss=float("inf"), scores={}, primary=0.5, seconds=1.0
    )
    written = {**progress.to_json(), "of_a_newer_version": 1}
    assert written["train_loss"] is None
    assert Progress.from_json(written) == replace(progress, train_loss=None)  # type: ignore[arg-type]
    assert (
        TrialResult.from_json({"status": "finished", "of_a_newer_version": 1}).status == "finished"
    )


def test_two_seeds_and_a_repeat_are_other_trials_and_their_defaults_are_none() -> None:
    plain = SPEC
    assert "order_seed" not in plain.to_json()
    assert "repeat" not in plain.to_json()
    assert plain.seed_on_the_way == plain.seed
    luck = [plain.with_luck(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    assert len({one.id for one in (plain, *luck)}) == 9
    assert [one.seed_on_the_way for one in luck] == [0, 0, 1, 1] * 2
    for one in luck:
        assert TrialSpec.from_json(one.to_json()) == one
