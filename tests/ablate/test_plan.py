import itertools
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.plan import Cell, Plan, plan
from ablate.study import Study
from ablate.tracking.records import nuisance
from trials import catalogue
from trials.errors import UserError
from trials.spec import Splits, TrialSpec


def study(**changes: Any) -> Study:
    keys: dict[str, Any] = {
        "study": "s",
        "tasks": ["mrpc"],
        "backbones": ["roberta-base"],
        "targets": ["query", "value"],
        "arms": [{"method": "lora", "rank": 8}],
        "train": {"epochs": 3},
        "confirm": {"seeds": 3},
        **changes,
    }
    return Study.from_dict(keys)


LORA = {"method": "lora", "rank": {"each": [4, 8]}}
MTLORA = {"method": "mtlora", "structure": {"each": ["shim", "icfm"]}, "rank": {"each": [4, 8]}}
TLORA = {"method": "tlora", "rank": 32}
TUNE = {"budget": {"trials": 4}, "space": {"learning_rate": {"low": 1e-4, "high": 1e-2}}}


def cell_of(planned: Plan, arm: str, task: str = "mrpc") -> Cell:
    (found,) = (c for c in planned.cells if c.arm.id == arm and c.task == task)
    return found


def confirm_ids(planned: Plan) -> set[str]:
    """Ids of the trials of cells in which nothing is tuned."""
    return {
        spec.id for cell in planned.cells for spec in planned.specs(cell, {}, "confirm")
    }  # fmt: skip


# cells and trials


def test_a_cell_is_an_arm_a_task_and_a_backbone() -> None:
    planned = plan(study(arms=[LORA, TLORA], tasks=["mrpc", "cola"], backbones=["a", "b@main"]))
    assert [(c.task, c.backbone, c.arm.id) for c in planned.cells] == list(
        itertools.product(
            ["mrpc", "cola"], ["a", "b@main"], ["lora rank=4", "lora rank=8", "tlora rank=32"]
        )
    )
    assert all(c.template.seed == 0 and c.template.stage == "confirm" for c in planned.cells)


def test_a_spec_holds_the_whole_recipe() -> None:
    planned = plan(study())
    (cell,) = planned.cells
    spec = planned.spec(cell, {}, 2, "confirm")
    assert spec.hyperparameters == {"rank": 8, "alpha": 16.0}
    assert spec.targets == ("query", "value")
    assert spec.recipe.epochs == 3.0
    assert isinstance(spec.recipe.epochs, float)
    assert (spec.seed, spec.stage) == (2, "confirm")
    assert TrialSpec.from_json(spec.to_json()).id == spec.id


BEFORE = {
    "lora": "282bdcf7caf03870dfff9a3cea9f127cd76a2b8a1b62e9d9d4c038b2eec5db19",
    "mtlora": "3e54aa88e07c32f01d099c324190f780890b1a8d529683d62e1ecf201bc65788",
    "tlora": "638de00bfe34687288acc2ab590d913bd92bdcc8d72fedb2f4acf27b3edb73d2",
    "lora_mini": "aff2609c9f68e0a83b006b3dd3240528b23d8c58331f0fae6edb45229649fa67",
    "triadaptlora": "2df93f89ebd850082b0d6eecda8fed5243705f5b9faa12c6c0d9db9e75ca1ccc",
    "adalora": "03bb6a0a47bfc46e2dee12f81516607e79eac273c2da65bf6a85ac93e89b119d",
    "increlora": "19d093e291d47c27a5c42328501c43edb5987396698abe28db14ba005d1be204",
    "adapter": "7e2e204e82085cbaa3006f261e11c6a60235acecdfcf416740492555136f265c",
}
"""Ids of trials of numerics 2, as they were before their methods got their later fields."""


@pytest.mark.parametrize("method", BEFORE)
def test_a_later_field_changes_an_id_only_where_it_is_used(method: str) -> None:
    later = {n: f for n, f in catalogue.method_fields(method).items() if f.later}
    assert later or method == "mtlora"
    typed = {name: item.default for name, item in later.items() if item.default is not None}
    for arm in ({"method": method}, {"method": method, **typed}):
        (cell,) = plan(study(arms=[arm])).cells
        assert replace(cell.template, numerics=2).id == BEFORE[method]
        assert cell.arm.fields.keys() == catalogue.method_fields(method).keys()
    for name, item in later.items():
        choices = (True, False) if item.kind == "bool" else item.choices or (["b_train"],)
        other = next(choice for choice in choices if choice != item.default)
        (cell,) = plan(study(arms=[{"method": method, name: other}])).cells
        assert replace(cell.template, numerics=2).id != BEFORE[method]
        assert cell.template.hyperparameters[name] == other


def test_a_later_field_may_be_tuned() -> None:
    space = {**TUNE["space"], "restart": {"choices": [True, False]}}
    made = plan(study(arms=[{"method": "increlora"}], tune={**TUNE, "space": space}))
    (cell,) = made.cells
    default = made.spec(cell, {"learning_rate": 1e-3, "restart": True}, 1, "search")
    other = made.spec(cell, {"learning_rate": 1e-3, "restart": False}, 1, "search")
    assert "restart" not in default.hyperparameters
    assert other.hyperparameters["restart"] is False
    assert nuisance(default.to_json(), "restart") is True
    assert nuisance(other.to_json(), "restart") is False
    assert nuisance(other.to_json(), "learning_rate") == 1e-3
    assert nuisance(other.to_json(), "no_such_field") is None


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"method": "mtlora", "structure": {"each": ["shim", "icfm"]}, "initial": "zero_core"},
         "initial zero_core: icfm would never train"),
        ({"method": "lora_mini", "zero": {"each": [["a_train"], ["a_aux"]]}},
         "zero names a_aux, which is frozen"),
        ({"method": "triadaptlora", "start": {"each": ["single", "abc0"]}},
         "start abc0 would never train"),
    ],
)  # fmt: skip
def test_a_start_that_can_never_train_is_refused_with_its_reason(
    arm: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        study(arms=[arm])


def test_data_and_backbones_come_from_outside() -> None:
    splits = Splits(search="validation", report="test")
    provisional = plan(study(backbones=["b"]))
    resolved = plan(study(backbones=["b"]), data={"mrpc": ("d" * 64, splits)}, backbones={"b": "e"})
    assert provisional.provisional
    assert provisional.cells[0].template.splits == Splits()
    assert not resolved.provisional
    template = resolved.cells[0].template
    assert (template.data_digest, template.backbone_digest) == ("d" * 64, "e")
    assert template.splits == splits
    assert provisional.cells[0].key != resolved.cells[0].key


def test_splits_that_the_study_names_win() -> None:
    chosen = study(split={"search": "validation", "report": "validation"})
    planned = plan(chosen, data={"mrpc": ("d", Splits(report="test"))})
    assert planned.cells[0].template.splits == Splits(search="validation", report="validation")


def test_nuisances_reach_method_and_recipe() -> None:
    space = {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "alpha": {"choices": [8, 16]},
        "optimizer.weight_decay": {"choices": [0, 0.1]},
        "batch_size": {"low": 8, "high": 32, "step": 8},
    }
    planned = plan(study(tune={**TUNE, "space": space}))
    (cell,) = planned.cells
    assert cell.space == {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "step": None},
        "alpha": {"choices": [8.0, 16.0]},
        "optimizer.weight_decay": {"choices": [0.0, 0.1]},
        "batch_size": {"low": 8, "high": 32, "log": False, "step": 8},
    }
    assert isinstance(cell.space["batch_size"]["low"], int)
    values = {"learning_rate": 0.01, "alpha": 8, "optimizer.weight_decay": 0.1, "batch_size": 24}
    spec = planned.spec(cell, values, 1_000_000, "search")
    assert spec.recipe.learning_rate == 0.01
    assert spec.recipe.optimizer.weight_decay == 0.1
    assert spec.recipe.batch_size == 24
    assert spec.hyperparameters == {"rank": 8, "alpha": 8.0}
    assert spec == planned.spec(cell, {**values, "alpha": 8.0}, 1_000_000, "search")
    assert cell.template.hyperparameters["alpha"] == 16.0
    with pytest.raises(ValueError, match="takes"):
        planned.spec(cell, {"alpha": 8}, 0, "search")


def test_a_range_of_whole_numbers_is_real_for_a_real_field() -> None:
    planned = plan(study(tune={**TUNE, "space": {"alpha": {"low": 8, "high": 32}}}))
    assert isinstance(planned.cells[0].space["alpha"]["low"], float)


def test_a_space_applies_where_the_method_has_the_field_and_the_condition_holds() -> None:
    space = {
        "dropout": {"low": 0.0, "high": 0.5},
        "alpha": {"choices": [8], "when": {"method": ["lora", "mtlora"]}},
        "learning_rate": {"choices": [1e-3], "when": {"task": "cola"}},
        "batch_size": {"choices": [8], "when": {"rank": 4}},
    }
    planned = plan(study(arms=[LORA, TLORA], tasks=["mrpc", "cola"], tune={**TUNE, "space": space}))
    found = {(c.arm.id, c.task): set(c.space) for c in planned.cells}
    assert found == {
        ("lora rank=4", "mrpc"): {"alpha", "batch_size"},
        ("lora rank=4", "cola"): {"alpha", "batch_size", "learning_rate"},
        ("lora rank=8", "mrpc"): {"alpha"},
        ("lora rank=8", "cola"): {"alpha", "learning_rate"},
        ("tlora rank=32", "mrpc"): {"dropout"},
        ("tlora rank=32", "cola"): {"dropout", "learning_rate"},
    }


def test_the_last_word() -> None:
    """Defaults of the method < train < overrides in order < the arm < tune."""
    chosen = study(
        arms=[
            {"method": "lora", "rank": 8},
            {"method": "lora", "rank": 4, "learning_rate": 4e-4},
            {"method": "tlora"},
        ],
        tasks=["mrpc", "cola"],
        train={"epochs": 3, "learning_rate": 1e-4, "optimizer": {"weight_decay": 0.1}},
        overrides=[
            {
                "when": {"method": "lora"},
                "train": {"learning_rate": 2e-4, "optimizer": {"eps": 1e-6}},
            },
            {
                "when": {"method": "lora", "task": ["cola"]},
                "train": {"learning_rate": 3e-4, "steps": 50},
            },
        ],
    )
    recipes = {(c.arm.id, c.task): c.template.recipe for c in plan(chosen).cells}
    rates = {key: recipe.learning_rate for key, recipe in recipes.items()}
    assert rates["tlora", "mrpc"] == 1e-4
    assert rates["lora rank=8", "mrpc"] == 2e-4
    assert rates["lora rank=8", "cola"] == 3e-4
    assert rates["lora rank=4 learning_rate=0.0004", "cola"] == 4e-4
    changed = recipes["lora rank=8", "cola"]
    assert (changed.epochs, changed.steps) == (None, 50)
    assert (changed.optimizer.weight_decay, changed.optimizer.eps) == (0.1, 1e-6)
    tuned = plan(replace_keys(chosen, tune=TUNE))
    cell = cell_of(tuned, "lora rank=8", "cola")
    assert tuned.spec(cell, {"learning_rate": 5e-4}, 0, "search").recipe.learning_rate == 5e-4


INCRELORA = {"method": "increlora", "rank": {"each": [2, 8]}}


def test_a_task_may_set_fields_that_an_arm_leaves_open() -> None:
    """Defaults of the method < overrides in order < what the arm types < tune."""
    overrides = [
        {"when": {"task": "cola"}, "fields": {"top_k": 5, "alpha": 32}},
        {"when": {"task": "cola", "rank": 8}, "train": {"epochs": 5}, "fields": {"top_k": 7}},
    ]
    arms = [{"method": "lora", "rank": 8, "alpha": 8}, INCRELORA]
    chosen = study(arms=arms, tasks=["mrpc", "cola"], overrides=overrides)
    made = plan(chosen)
    found = {(c.arm.id, c.task): c.template.hyperparameters for c in made.cells}
    assert found["lora rank=8 alpha=8.0", "cola"] == {"rank": 8, "alpha": 8.0}
    set_ = {key: (v["top_k"], v["alpha"]) for key, v in found.items() if "top_k" in v}
    assert set_ == {
        ("increlora rank=2", "mrpc"): (3, 16.0), ("increlora rank=2", "cola"): (5, 32.0),
        ("increlora rank=8", "mrpc"): (3, 16.0), ("increlora rank=8", "cola"): (7, 32.0),
    }  # fmt: skip
    cell = cell_of(made, "increlora rank=8", "cola")
    assert cell.values["top_k"] == 7
    without = plan(study(arms=arms, tasks=["mrpc", "cola"]))
    assert [c.key for c in made.cells if c.task == "mrpc"] == [
        c.key for c in without.cells if c.task == "mrpc"
    ]
    tuned = plan(replace_keys(chosen, tune={**TUNE, "space": {"top_k": {"choices": [2, 4]}}}))
    asked = tuned.spec(cell_of(tuned, "increlora rank=8", "cola"), {"top_k": 4}, 0, "search")
    assert (asked.hyperparameters["top_k"], asked.hyperparameters["alpha"]) == (4, 32.0)


def test_fields_of_a_task_are_no_factors_of_a_claim() -> None:
    """An arm meets another by what both say, whatever a task adds."""
    made = plan(
        study(
            arms=[{"method": "lora", "rank": 8, "alpha": 16}, {"method": "increlora", "rank": 8}],
            overrides=[{"when": {"task": "mrpc"}, "fields": {"alpha": 32}}],
            baselines=[{"method": "lora"}],
        )
    )
    beside = next(c for c in made.comparisons if c.kind == "mean")
    assert (beside.control, beside.note) == (("lora rank=8 alpha=16.0",), None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"topk": 3}, "topk: no arm that it meets has a field 'topk'; did you mean 'top_k'?"),
        ({"top_k": 0}, "fields.top_k: must be at least 1, but got 0"),
        ({"learning_rate": 1e-3}, "fields.learning_rate: 'learning_rate' belongs to train"),
        ({"initial_rank": 9}, "overrides: increlora rank=2 on mrpc: "),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], message: str) -> None:
    when = {"method": "increlora", "task": "mrpc"}
    with pytest.raises(UserError) as error:
        study(arms=[LORA, INCRELORA], overrides=[{"when": when, "fields": fields}])
    assert message in str(error.value)


def replace_keys(old: Study, **changes: Any) -> Study:
    keys = old.to_json()
    if changes.get("tune") is not None:
        # An arm that fixes what is tuned would be the same as another.
        keys["arms"] = [arm for arm in keys["arms"] if "learning_rate" not in arm]
    return Study.from_dict({**keys, **changes})


def test_an_arm_may_have_targets_of_its_own() -> None:
    arms = [{"method": "lora", "targets": {"each": ["lora", {"modules": ["dense"]}]}}]
    targets = [c.template.targets for c in plan(study(arms=arms)).cells]
    assert targets == [("query", "value"), {"modules": ["dense"]}]


def test_search_and_confirm_never_share_a_seed() -> None:
    planned = plan(study(tune={**TUNE, "seeds": 2}, confirm={"seeds": [7, 3]}))
    assert planned.search_seeds == (1_000_000, 1_000_001)
    assert planned.confirm_seeds == (7, 3)
    (cell,) = planned.cells
    searched = list(planned.specs(cell, {"learning_rate": 1e-3}, "search"))
    assert [(s.seed, s.stage) for s in searched] == [(1_000_000, "search"), (1_000_001, "search")]


def test_counts() -> None:
    space = {"alpha": {"choices": [8, 16], "when": {"rank": 4}}}
    tune = {**TUNE, "space": space, "seeds": 2}
    planned = plan(study(arms=[LORA], tune=tune, confirm={"seeds": 5, "top": 3}))
    # Rank 4 is searched; rank 8 has nothing to tune, so it has one configuration.
    assert planned.counts.search == 4 * 2
    assert planned.counts.confirm == (3 + 1) * 5
    assert planned.num_trials == planned.counts.total == 28


@pytest.mark.parametrize(
    ("space", "asks"),
    [
        ({"alpha": {"choices": [8, 16]}}, 2),
        ({"alpha": {"choices": [8, 16]}, "batch_size": {"low": 8, "high": 24, "step": 8}}, 6),
        ({"alpha": {"low": 0.1, "high": 0.3, "step": 0.1}}, 3),
        ({"batch_size": {"low": 1, "high": 32}}, 10),
    ],
)
def test_a_grid_ends_where_it_is_exhausted(space: dict[str, Any], asks: int) -> None:
    tune = {"budget": {"trials": 10}, "space": space, "sampler": {"name": "grid"}}
    planned = plan(study(tune=tune))
    assert planned.num_asks(planned.cells[0]) == asks


def test_excluded_cells_are_listed_with_the_reason() -> None:
    planned = plan(
        study(
            arms=[LORA, {"method": "lora_mini", "rank": 8, "a": {"each": [4, 32]}}],
            tasks=["mrpc", "cola"],
            exclude=["method == 'lora' and rank == 4 and task == 'cola'"],
            tune={**TUNE, "constraints": ["rank <= a", "batch_size <= 16"]},
        )
    )
    assert planned.excluded == (
        ("lora_mini rank=8 a=4 on mrpc, roberta-base",
         "tune.constraints[0] does not hold: rank <= a"),
        ("lora rank=4 on cola, roberta-base",
         "exclude[0]: method == 'lora' and rank == 4 and task == 'cola'"),
        ("lora_mini rank=8 a=4 on cola, roberta-base",
         "tune.constraints[0] does not hold: rank <= a"),
    )  # fmt: skip
    assert len(planned.cells) == 5


def test_a_study_that_excludes_everything() -> None:
    with pytest.raises(UserError, match="every combination .* is excluded"):
        plan(study(exclude=["rank > 0"]))


def test_constraints_over_nuisances() -> None:
    space = {"a": {"low": 4, "high": 64}, "learning_rate": {"choices": [1e-3, 1e-2]}}
    tune = {**TUNE, "space": space, "constraints": ["rank <= a", "a < 32 or learning_rate < 5e-3"]}
    planned = plan(study(arms=[{"method": "lora_mini", "rank": 8}], tune=tune))
    (cell,) = planned.cells
    assert planned.violated(cell, {"a": 4, "learning_rate": 1e-3}) == "rank <= a"
    assert planned.violated(cell, {"a": 64, "learning_rate": 1e-2}) == (
        "a < 32 or learning_rate < 5e-3"
    )
    assert planned.violated(cell, {"a": 64, "learning_rate": 1e-3}) is None


def test_a_methods_own_rule_counts_as_a_constraint() -> None:
    tune = {**TUNE, "space": {"initial_rank": {"low": 1, "high": 16}}}
    planned = plan(study(arms=[{"method": "triadaptlora", "rank": 8}], tune=tune))
    (cell,) = planned.cells
    assert planned.violated(cell, {"initial_rank": 8}) is None
    assert "at most rank 8" in str(planned.violated(cell, {"initial_rank": 9}))


MINE = """
from dataclasses import dataclass
from trials.catalogue import hyper, register
from trials.methods.base import Method

@register("mine_of_test_plan")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    width: int = hyper(3, low=1)
"""


def test_only_the_trials_that_use_local_code_depend_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.methods()
    catalogue.tasks()
    table = {kind: dict(names) for kind, names in catalogue._registry.items()}
    monkeypatch.setattr(catalogue, "_registry", table)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "metric.py").write_text("def score(): ...\n")
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.yaml").write_text("task: own\nmetrics: [metric.py:score]\n")
    keys = {
        **study(arms=[{"method": "lora"}]).to_json(), "use": ["mine.py"], "tasks": ["./task"],
        "arms": [{"method": "lora"}, {"method": "mine_of_test_plan"}],
    }  # fmt: skip
    planned = plan(Study.from_dict(keys, folder=tmp_path))
    assert [sorted(c.template.code) for c in planned.cells] == [[], ["mine.py"]]
    both = Study.from_dict({**keys, "use": ["mine.py", "metric.py"]}, folder=tmp_path)
    assert [sorted(c.template.code) for c in plan(both).cells] == [
        ["metric.py"], ["metric.py", "mine.py"],
    ]  # fmt: skip


def test_a_plan_is_plain_json() -> None:
    claims = [{"id": "c", "kind": "better", "treatment": {"method": "tlora"},
               "control": {"method": "lora", "rank": 8}}]  # fmt: skip
    planned = plan(
        study(arms=[LORA, TLORA], tune=TUNE, claims=claims, baselines=[{"method": "lora"}])
    )
    written = planned.to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert {arm["id"] for arm in written["arms"]} == {c["arm"] for c in written["cells"]}
    assert written["num_trials"] == {"search": 12, "confirm": 9}
    assert written["revision"] == planned.revision_digest == planned.study.digest


# what determines a cell


def test_a_key_holds_what_determines_the_search_and_nothing_else() -> None:
    key = plan(study(tune=TUNE)).cells[0].key
    same = [
        {"tune": {**TUNE, "budget": {"trials": 40}}},
        {"arms": [{"method": "lora", "rank": 8, "label": "LoRA"}]},
        {"arms": [{"method": "lora", "alpha": 16}]},
        {"arms": [{"method": "lora"}, TLORA]},
        {"tasks": ["mrpc", "cola"]},
        {"confirm": {"seeds": 30, "top": 2}},
        {"study": "other", "question": "Why?", "keep": "none", "level": 0.9},
        {"baselines": [{"method": "lora"}]},
    ]
    for changes in same:
        assert plan(study(**{"tune": TUNE, **changes})).cells[0].key == key, changes
    other = [
        {"tune": {**TUNE, "parallel": 2}},
        {"tune": {**TUNE, "seeds": 2}},
        {"tune": {**TUNE, "sampler": {"name": "random"}}},
        {"tune": {**TUNE, "pruner": {"name": "median"}}},
        {"tune": {**TUNE, "space": {"learning_rate": {"low": 1e-4, "high": 1e-3}}}},
        {"train": {"epochs": 4}},
        {"arms": [{"method": "lora", "rank": 4}]},
    ]
    keys = [plan(study(**{"tune": TUNE, **changes})).cells[0].key for changes in other]
    assert len({key, *keys}) == len(other) + 1


@st.composite
def arm_entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry of `arms` with a product of `each`, and how many arms it stands for."""
    method = draw(st.sampled_from(["lora", "mtlora", "lora_mini", "tlora"]))
    entry: dict[str, Any] = {"method": method}
    fields = {
        "rank": st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True),
        "alpha": st.lists(st.sampled_from([1.0, 2.5, 8.0]), min_size=1, max_size=3, unique=True),
        "structure": st.lists(
            st.sampled_from(["shim", "icfm", "ctcm", "dtsm"]), min_size=1, max_size=4, unique=True
        ),
        "freeze": st.just("all"),
    }
    for name in catalogue.method_fields(method):
        if name in fields and draw(st.booleans()):
            entry[name] = {"each": draw(fields[name])}
    return entry


def product_of(entry: dict[str, Any]) -> int:
    sizes = [
        15 if v["each"] == "all" else len(v["each"]) for v in entry.values() if isinstance(v, dict)
    ]
    total = 1
    for size in sizes:
        total *= size
    return total


several = st.lists(arm_entries(), min_size=1, max_size=4, unique_by=lambda entry: entry["method"])


@settings(max_examples=30, deadline=None)
@given(several)
def test_each_multiplies_and_nothing_else_does(entries: list[dict[str, Any]]) -> None:
    planned = plan(study(arms=entries))
    assert len(planned.cells) == sum(map(product_of, entries))
    for names in ([c.arm.id for c in planned.cells], [c.key for c in planned.cells],
                  [c.arm.label for c in planned.cells]):  # fmt: skip
        assert len(set(names)) == len(names)
    assert len(confirm_ids(planned)) == len(planned.cells) * 3


@settings(max_examples=30, deadline=None)
@given(several, st.randoms(use_true_random=False))
def test_the_order_of_a_file_means_nothing_to_ids(
    entries: list[dict[str, Any]], random: Any
) -> None:
    turned = [dict(random.sample(list(entry.items()), len(entry))) for entry in entries]
    random.shuffle(turned)
    one = plan(study(arms=entries, tasks=["mrpc", "cola"]))
    two = plan(study(arms=turned, tasks=["cola", "mrpc"]))
    assert {c.arm.id for c in one.cells} == {c.arm.id for c in two.cells}
    assert {c.key for c in one.cells} == {c.key for c in two.cells}
    assert confirm_ids(one) == confirm_ids(two)


@settings(max_examples=30, deadline=None)
@given(several, st.sampled_from(["arm", "seed", "task", "backbone", "claim"]))
def test_a_study_that_grows_keeps_its_trials(entries: list[dict[str, Any]], growth: str) -> None:
    more: dict[str, Any] = {
        "arm": {"arms": [*entries, {"method": "triadaptlora"}]},
        "seed": {"confirm": {"seeds": 5}},
        "task": {"tasks": ["cola", "mrpc"]},
        "backbone": {"backbones": ["other", "roberta-base"]},
        "claim": {"baselines": [{"method": entries[0]["method"]}]},
    }[growth]
    before, after = plan(study(arms=entries)), plan(study(**{"arms": entries, **more}))
    assert {c.key for c in before.cells} <= {c.key for c in after.cells}
    assert {c.arm.id for c in before.cells} <= {c.arm.id for c in after.cells}
    assert confirm_ids(before) <= confirm_ids(after)


def test_ten_thousand_trials_are_planned_in_a_moment() -> None:
    arms = [{"method": "mtlora", "structure": {"each": ["shim", "icfm", "ctcm", "dtsm"]},
             "rank": {"each": list(range(1, 251))}}]  # fmt: skip
    start = time.process_time()
    planned = plan(study(arms=arms, confirm={"seeds": 10}))
    ids = confirm_ids(planned)
    seconds = time.process_time() - start
    assert len(planned.cells) == 1000
    assert len(ids) == planned.num_trials == 10_000
    assert seconds < 2


# claims and baselines


def claimed(*claims: dict[str, Any], **changes: Any) -> Plan:
    keys = {"arms": [LORA, MTLORA, TLORA], **changes}
    numbered = [{"id": f"c{i}", "kind": "better", **claim} for i, claim in enumerate(claims)]
    return plan(study(**{**keys, "claims": numbered}))


def refused(*claims: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        claimed(*claims, **changes)
    return [str(problem) for problem in error.value.problems]


SHIM = {"treatment": {"structure": "shim"}, "control": {"method": "lora"}}


def test_sides_are_matched_on_what_both_have() -> None:
    planned = claimed(SHIM)
    (comparison,) = planned.comparisons
    assert asdict(comparison) == {
        "id": "c0: mrpc, roberta-base",
        "task": "mrpc",
        "backbone": "roberta-base",
        "treatment": ("mtlora structure=shim rank=4", "mtlora structure=shim rank=8"),
        "control": ("lora rank=4", "lora rank=8"),
        "kind": "mean",
        "family": "claims",
        "confirmatory": True,
        "claim_id": "c0",
        "by": 0.0,
        "margin": None,
        "note": None,
        "pick_treatment": False,
        "pick_control": False,
    }
    (claim,) = planned.claims
    assert claim.sentence == "shim is better than lora on mrpc (roberta-base)"
    assert claim.comparisons == (comparison.id,)
    assert not claim.over_tasks


def test_a_claim_over_tasks_has_a_comparison_for_each() -> None:
    planned = claimed({**SHIM, "over": "tasks"}, {**SHIM, "task": "cola"}, tasks=["mrpc", "cola"])
    assert [c.task for c in planned.comparisons] == ["mrpc", "cola", "cola"]
    assert [claim.over_tasks for claim in planned.claims] == [True, False]
    assert planned.claims[0].sentence == "shim is better than lora over mrpc, cola (roberta-base)"


def test_on_several_backbones_a_claim_is_ruled_for_each() -> None:
    planned = claimed(SHIM, {**SHIM, "backbone": "b"}, backbones=["a", "b"])
    assert [claim.id for claim in planned.claims] == ["c0 on a", "c0 on b", "c1"]
    assert [c.backbone for c in planned.comparisons] == ["a", "b", "b"]
    assert len({c.id for c in planned.comparisons}) == 3


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        ("better", "mean"),
        ("worse", "mean"),
        ("different", "mean"),
        ("equivalent", "equivalence"),
        ("less_variable", "variance"),
        ("more_variable", "variance"),
    ],
)
def test_kinds_of_claims_and_of_tests(kind: str, test: str) -> None:
    planned = claimed({**SHIM, "kind": kind}, margin=0.5)
    (comparison,) = planned.comparisons
    assert comparison.kind == test
    assert comparison.margin == (0.5 if kind == "equivalent" else None)
    assert planned.claims[0].kind == kind


def test_a_claims_own_margin_and_least_gain() -> None:
    equivalent = {**SHIM, "kind": "equivalent", "margin": 0.2}
    worse = {**SHIM, "kind": "worse", "by": 1.5}
    planned = claimed({**SHIM, "by": 1.5}, equivalent, worse, margin=0.5)
    assert [c.by for c in planned.comparisons] == [1.5, 0.0, -1.5]
    assert planned.comparisons[1].margin == 0.2
    assert [claim.sentence for claim in planned.claims] == [
        "shim is better than lora by 1.5 or more on mrpc (roberta-base)",
        "shim is equivalent to lora within 0.2 on mrpc (roberta-base)",
        "shim is worse than lora by 1.5 or more on mrpc (roberta-base)",
    ]


def test_a_level_that_only_one_side_has_is_a_mistake() -> None:
    tlora = {"treatment": {"method": "tlora"}, "control": {"method": "lora"}}
    assert refused(tlora, SHIM) == [
        "claims[0]: only the treatment has rank 32 (the control has 4, 8); name the level, or say "
        "pick: best_by_search"
    ]
    only_control = {"treatment": {"method": "lora"}, "control": {"structure": "shim"}}
    arms = [{"method": "lora", "rank": 8}, MTLORA]
    assert refused(only_control, arms=arms) == [
        "claims[0]: only the control has rank 4 (the treatment has 8); name the level, or say "
        "pick: best_by_search"
    ]


def test_a_level_that_is_named_is_no_mistake() -> None:
    planned = claimed({"treatment": {"method": "tlora"}, "control": {"method": "lora", "rank": 8}})
    assert planned.comparisons[0].control == ("lora rank=8",)


def test_the_best_by_search_may_stand_for_a_side() -> None:
    planned = claimed(
        {"treatment": {"method": "tlora"}, "control": {"method": "lora"}, "pick": "best_by_search"}
    )
    (comparison,) = planned.comparisons
    assert comparison.pick_treatment
    assert comparison.pick_control
    assert comparison.control == ("lora rank=4", "lora rank=8")
    assert comparison.note == "each side's best arm by the search split"


def test_levels_with_unequal_numbers_of_arms_weigh_the_same_on_both_sides() -> None:
    arms = [LORA, {"method": "mtlora", "structure": {"each": ["shim", "icfm"]}, "rank": 4},
            {"method": "mtlora", "structure": "shim", "rank": 8}]  # fmt: skip
    planned = claimed({"treatment": {"method": "mtlora"}, "control": {"method": "lora"}}, arms=arms)
    (comparison,) = planned.comparisons
    pairs = list(zip(comparison.treatment, comparison.control, strict=True))
    assert pairs == [
        ("mtlora structure=shim rank=4", "lora rank=4"),
        ("mtlora structure=icfm rank=4", "lora rank=4"),
        ("mtlora structure=shim rank=8", "lora rank=8"),
    ]


def test_within_a_method_the_method_is_matched() -> None:
    planned = claimed({"treatment": {"rank": 8}, "control": {"rank": 4}}, arms=[LORA, MTLORA])
    (comparison,) = planned.comparisons
    assert [a.replace("rank=8", "rank=4") for a in comparison.treatment] == list(comparison.control)
    assert len(comparison.control) == 3


def test_fields_of_one_name_and_other_meaning_are_not_matched() -> None:
    """`initial` of MTLoRA and of LoRA-Mini are different choices."""
    arms = [
        {"method": "mtlora", "initial": "identity"},
        {"method": "lora_mini", "initial": "paper"},
    ]
    claim = {"treatment": {"method": "mtlora"}, "control": {"method": "lora_mini"}}
    assert claimed(claim, arms=arms).comparisons[0].control == ("lora_mini initial=paper",)


def test_what_is_tuned_is_not_matched() -> None:
    arms = [{"method": "lora", "alpha": 8}, {"method": "mtlora", "alpha": 32}]
    claim = {"treatment": {"method": "mtlora"}, "control": {"method": "lora"}}
    assert refused(claim, arms=arms)[0].startswith("claims[0]: only the treatment has alpha 32")
    tune = {**TUNE, "space": {"alpha": {"choices": [8, 32]}}}
    assert len(claimed(claim, arms=arms, tune=tune).comparisons) == 1
    assert len(claimed(claim, arms=arms, match=["rank"]).comparisons) == 1


def test_an_arm_may_not_be_on_both_sides() -> None:
    both = {"treatment": {"rank": 8}, "control": {"method": "lora"}}
    assert refused(both) == ["claims[0]: lora rank=8 is treatment and control at once"]


def test_a_side_that_is_excluded_on_a_task() -> None:
    found = refused(
        {**SHIM, "over": "tasks"},
        tasks=["mrpc", "cola"],
        exclude=["structure == 'shim' and task == 'cola'"],
    )
    assert found == ["claims[0]: no treatment is left on cola, roberta-base: all are excluded"]


def test_all_claims_with_mistakes_come_at_once() -> None:
    tlora = {"treatment": {"method": "tlora"}, "control": {"method": "lora"}}
    both = {"treatment": {"rank": 8}, "control": {"method": "lora"}}
    assert [text.split(":")[0] for text in refused(tlora, SHIM, both)] == ["claims[0]", "claims[2]"]


def test_every_arm_meets_each_baseline() -> None:
    planned = claimed(baselines=[{"method": "lora"}, {"method": "tlora"}])
    means = [c for c in planned.comparisons if c.kind == "mean"]
    spreads = [c for c in planned.comparisons if c.kind == "variance"]
    sides = [(c.treatment, c.control, c.pick_control) for c in means]
    assert [(c.treatment, c.control, c.pick_control) for c in spreads] == sides
    loras = ("lora rank=4", "lora rank=8")
    structures = [f"mtlora structure={s} rank={r}" for s in ("shim", "icfm") for r in (4, 8)]
    assert sides == [
        *(((arm,), (f"lora {arm.split()[-1]}",), False) for arm in structures),
        (("tlora rank=32",), loras, True),
        *(((arm,), ("tlora rank=32",), True) for arm in (*loras, *structures)),
    ]
    assert {c.family for c in means} == {"baselines"}
    assert {c.family for c in spreads} == {"baselines: variance"}
    assert not any(c.confirmatory or c.claim_id for c in planned.comparisons)
    picked = [c for c in planned.comparisons if c.pick_control]
    assert {c.note for c in picked} == {"control picked by search"}
    assert planned.claims == ()


def test_a_registered_comparison_is_not_explored_again() -> None:
    one = {"treatment": {"structure": "shim", "rank": 8}, "control": {"method": "lora", "rank": 8}}
    planned = claimed(one, baselines=[{"method": "lora"}])
    means = [c for c in planned.comparisons if c.kind == "mean"]
    assert sum(c.treatment == ("mtlora structure=shim rank=8",) for c in means) == 1
    assert len({c.id for c in planned.comparisons}) == len(planned.comparisons) == 10


def test_a_study_without_baselines_and_claims_compares_nothing() -> None:
    assert claimed().comparisons == ()


def test_a_cell_can_be_found_by_its_key() -> None:
    planned = claimed()
    assert all(planned.cell(cell.key) is cell for cell in planned.cells)
    with pytest.raises(KeyError):
        planned.cell("absent")


def test_a_template_is_not_changed_by_its_specs() -> None:
    planned = plan(study(tune=TUNE))
    (cell,) = planned.cells
    before = replace(cell.template)
    planned.spec(cell, {"learning_rate": 1e-3}, 5, "search")
    assert cell.template == before
