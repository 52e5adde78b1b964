import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate import recipe
from ablate.schema import Train
from trials.spec import Recipe


def test_every_name_is_a_field_of_the_recipe() -> None:
    assert set(recipe.RECIPE_NAMES) <= set(recipe.flat_recipe(Recipe()))


def test_a_rule_may_read_what_a_trial_leaves_out_of_its_id() -> None:
    assert recipe.flat_recipe(Recipe())["dropout.attention"] == 0.0
    assert recipe.build({"dropout.attention": 0.1}).dropout.attention == 0.1


def test_the_schema_and_the_recipe_have_the_same_keys_and_defaults() -> None:
    assert recipe.build(recipe.flat(Train.model_validate({"epochs": 1}))) == Recipe(epochs=1.0)
    assert recipe.build(Train().model_dump()) == Recipe()
    # How a head starts follows from what is said of it and of the trial's start.
    assert set(Train.model_fields) | {"head_start"} == set(Recipe.__dataclass_fields__)


def test_only_what_is_typed_is_there() -> None:
    train = Train.model_validate({"epochs": 3, "optimizer": {"weight_decay": 0.1}})
    assert recipe.flat(train) == {"epochs": 3.0, "optimizer.weight_decay": 0.1}


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"epochs": 3.0}, {"steps": 50}, {"epochs": None, "steps": 50}),
        ({"steps": 50}, {"epochs": 3.0}, {"epochs": 3.0, "steps": None}),
        ({"epochs": 3.0}, {"epochs": 5.0}, {"epochs": 5.0, "steps": None}),
        ({"epochs": 3.0}, {"clip": None}, {"epochs": 3.0, "clip": None}),
    ],
)
def test_one_length_replaces_the_other(
    base: dict[str, object], over: dict[str, object], result: dict[str, object]
) -> None:
    assert recipe.merged(base, over) == result


@given(st.floats(1e-12, 1.0), st.integers(1, 10**6))
def test_a_recipe_survives_its_flat_form(rate: float, steps: int) -> None:
    values = {"learning_rate": rate, "steps": steps, "schedule.warmup": rate}
    built = recipe.build(values)
    assert (built.learning_rate, built.steps, built.schedule.warmup) == (rate, steps, rate)
    assert recipe.build(recipe.flat_recipe(built)) == built


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("learning_rate", 1e-3, None),
        ("learning_rate", 0, "must be above 0, but got 0"),
        ("schedule.warmup", -1, "must be at least 0, but got -1"),
        ("dropout.adapter", 1, "must be below 1, but got 1"),
        ("dropout.attention", 1, "must be below 1, but got 1"),
        ("batch_size", 8.0, "must be a whole number, but got 8.0"),
        ("clip", None, None),
        ("batch_size", None, "must be a whole number, but got None"),
    ],
)
def test_values_are_checked_as_those_of_train(name: str, value: object, wrong: str | None) -> None:
    assert recipe.wrong_value(name, value) == wrong
