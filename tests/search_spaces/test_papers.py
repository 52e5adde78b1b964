"""What the studies of the papers hold, against what their papers and authors' scripts say."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from ablate.api import packaged_studies
from ablate.plan import Cell, Plan, plan
from ablate.profile import Profile
from ablate.resolve import check_targets, resolve
from ablate.study import Study

PAPERS = {
    "mtlora_glue": "2403.07440",
    "mtlora_deberta_glue": "2403.07440",
    "tlora_glue": "2504.18735",
    "triadaptlora_glue": "2501.08008",
    "triadaptlora_squad": "2501.08008",
    "lora_mini_glue": "2411.15804",
    "lora_mini_widths": "2411.15804",
}
GLUE = {"mnli", "sst2", "mrpc", "cola", "qnli", "qqp", "rte", "stsb"}


@cache
def planned(stem: str) -> Plan:
    return plan(Study.read(packaged_studies()[stem]))


def cells(stem: str, **wanted: object) -> list[Cell]:
    """Those with these values."""
    return [
        cell
        for cell in planned(stem).cells
        if all(cell.values.get(name) == value for name, value in wanted.items())
    ]


@pytest.mark.parametrize(("stem", "paper"), PAPERS.items())
def test_a_study_of_a_paper_names_it_and_gives_lora_the_same_maps(stem: str, paper: str) -> None:
    path = packaged_studies()[stem]
    study = Study.read(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    opening = "\n".join(lines[: lines.index(f"study: {study.name}")])
    assert paper in lines[0]
    assert "# The paper's: " in opening
    assert "# Ours: " in opening
    assert study.claims
    assert any(arm.method == "lora" for arm in study.arms)
    assert all(arm.targets is None for arm in study.arms)
    assert study.tune is not None  # every arm with the same budget


COUNTS = {
    # by the formulas of the papers, and where they print them as they print them
    ("mtlora_glue", "lora"): {1_032_192},
    ("mtlora_glue", "mtlora"): {1_035_264, 1_038_336},
    ("mtlora_deberta_glue", "lora"): {1_327_104},
    ("mtlora_deberta_glue", "adalora"): {1_327_680},
    ("mtlora_deberta_glue", "mtlora"): {1_331_712, 1_336_320},
    ("tlora_glue", "tlora"): {3_120, 12_336, 49_200},
    ("tlora_glue", "vera"): {61_440},
    ("tlora_glue", "lora"): {98_304, 786_432, 1_572_864, 3_145_728},
    ("triadaptlora_glue", "lora"): {331_776, 1_327_104},
    ("triadaptlora_glue", "adalora"): {331_920, 1_327_680},
    ("triadaptlora_glue", "increlora"): {331_920, 1_327_680},
    ("triadaptlora_glue", "triadaptlora"): {332_208, 1_332_288},
    ("triadaptlora_squad", "lora"): {331_776, 1_327_104},
    ("triadaptlora_squad", "increlora"): {331_920, 1_327_680},
    ("triadaptlora_squad", "triadaptlora"): {332_208, 1_332_288},
    ("lora_mini_widths", "lora"): {55_296, 442_368, 884_736, 1_769_472},
}


@pytest.fixture(scope="module")
def counted() -> dict[str, list[tuple[Cell, int, int]]]:
    """Trained numbers of every cell, of the packaged configurations alone."""
    found: dict[str, list[tuple[Cell, int, int]]] = {}
    for stem in PAPERS:
        resolved = resolve(planned(stem).study, Profile(), hub=False)
        counts = check_targets(resolved)
        found[stem] = []
        for cell in resolved.plan.cells:
            adapter, head = counts[cell.key]
            assert adapter is not None
            assert head is not None
            found[stem].append((cell, adapter, head))
    return found


def test_trained_numbers_are_those_of_the_papers(
    counted: dict[str, list[tuple[Cell, int, int]]],
) -> None:
    for (stem, method), numbers in COUNTS.items():
        assert {a for c, a, _ in counted[stem] if c.arm.method == method} == numbers, (stem, method)
    mini = {a for c, a, _ in counted["lora_mini_widths"] if c.values.get("a") == c.values.get("b")}
    assert {18_432, 36_864, 73_728, 147_456} <= mini
    paper = [
        a for c, a, _ in counted["lora_mini_glue"] if c.values.get("freeze") == ["a_aux", "b_aux"]
    ]
    assert set(paper) == {36_864}


def test_only_tloras_authors_freeze_the_head(
    counted: dict[str, list[tuple[Cell, int, int]]],
) -> None:
    for stem, rows in counted.items():
        assert all((head == 0) == (stem == "tlora_glue") for _, _, head in rows)
    for cell in planned("tlora_glue").cells:
        recipe = cell.template.recipe
        assert (recipe.head_start, recipe.evaluate.select) == ("backbone", "best")
        assert cell.template.splits.search == cell.template.splits.report == "validation"


# MTLoRA


def test_three_tasks_start_from_the_same_arm_on_mnli() -> None:
    made = planned("mtlora_glue")
    assert {c.task for c in made.cells} == GLUE
    for cell in made.cells:
        if cell.task not in {"mrpc", "rte", "stsb"}:
            assert cell.source is None
            continue
        source = made.cell(str(cell.source))
        assert (source.task, source.arm.id) == ("mnli", cell.arm.id)
    assert all(c.source is None for c in planned("mtlora_deberta_glue").cells)


@pytest.mark.parametrize(
    ("task", "batch", "rate", "epochs"),
    [
        ("mnli", 32, 5e-4, 30), ("sst2", 32, 5e-4, 60), ("mrpc", 16, 4e-4, 30),
        ("cola", 64, 4e-4, 80), ("qnli", 64, 4e-4, 25), ("qqp", 32, 5e-4, 25),
        ("rte", 32, 5e-4, 80), ("stsb", 16, 4e-4, 40),
    ],
)  # fmt: skip
def test_mtloras_recipe(task: str, batch: int, rate: float, epochs: float) -> None:
    for cell in cells("mtlora_glue", task=task):
        recipe = cell.template.recipe
        assert (recipe.batch_size, recipe.learning_rate, recipe.epochs) == (batch, rate, epochs)
        assert (recipe.optimizer.weight_decay, recipe.schedule.warmup) == (0.1, 0.06)


# TriAdaptLoRA


def test_there_are_three_thresholds_at_both_ranks() -> None:
    found = Counter(
        (cell.values["threshold"], cell.values["rank"])
        for cell in cells("triadaptlora_glue", method="triadaptlora", task="rte")
    )
    assert found == {(t, r): 1 for t in ("linear", "nonlinear", "fixed") for r in (2, 8)}


# IncreLoRA's scripts: learning rate, epochs, sites of a round, interval, penalty, alpha, dropout
SCRIPTS = {
    ("mnli", 2): (3.5e-4, 9, 2, 1000, 0.1, 16, 0.2), ("mnli", 8): (5e-4, 7, 18, 1000, 0.1, 16, 0.2),
    ("sst2", 2): (8e-4, 24, 5, 1000, 0.1, 16, 0.1), ("sst2", 8): (8e-4, 24, 6, 1000, 0.1, 16, 0.3),
    ("cola", 2): (8e-4, 25, 3, 100, 0.1, 32, 0), ("cola", 8): (1e-3, 25, 3, 100, 0.1, 32, 0),
    ("qqp", 2): (4e-4, 7, 3, 1000, 0.1, 16, 0), ("qqp", 8): (6e-4, 7, 3, 1000, 0.1, 16, 0),
    ("qnli", 2): (7e-4, 5, 12, 500, 0.1, 32, 0), ("qnli", 8): (9e-4, 5, 22, 500, 0.1, 32, 0),
    ("rte", 2): (1.2e-3, 50, 5, 100, 0.3, 32, 0), ("rte", 8): (1.2e-3, 50, 9, 100, 0.3, 32, 0),
    ("mrpc", 2): (1e-3, 30, 6, 100, 0.1, 32, 0.3), ("mrpc", 8): (1e-3, 30, 10, 100, 0.1, 32, 0.3),
    ("stsb", 2): (2.2e-3, 25, 4, 100, 0.3, 32, 0), ("stsb", 8): (2.2e-3, 25, 4, 100, 0.3, 32, 0),
}  # fmt: skip


# Batches of 32 in an epoch of the whole training split.
STEPS = {"mnli": 12272, "sst2": 2105, "cola": 268, "qqp": 11371, "qnli": 3274, "rte": 78,
         "mrpc": 115, "stsb": 180}  # fmt: skip


@pytest.mark.parametrize(("task", "rank"), SCRIPTS)
def test_what_grows_follows_increloras_scripts(task: str, rank: int) -> None:
    found = [
        cell
        for cell in cells("triadaptlora_glue", task=task, rank=rank)
        if cell.arm.method in ("increlora", "triadaptlora")
    ]
    assert len(found) == 4
    for cell in found:
        recipe, fields = cell.template.recipe, cell.template.hyperparameters
        assert (
            recipe.learning_rate, recipe.epochs, fields["top_k"], fields["interval"],
            fields["orthogonality"], fields["alpha"], recipe.dropout.adapter,
        ) == SCRIPTS[task, rank]  # fmt: skip
        restarts = task in {"cola", "rte", "mrpc"}
        assert fields.get("restart", True) is restarts
        assert fields.get("advance", restarts) is restarts
        # As many steps before the first round as the learning rate warms up.
        before = float(str(fields["warmup"])) * float(recipe.epochs or 0) * STEPS[task]
        assert before == pytest.approx(recipe.schedule.warmup, rel=0.06)


def test_squad_follows_increloras_script(counted: dict[str, list[tuple[Cell, int, int]]]) -> None:
    """Steps of an epoch are windows of 384 tokens: 131,832 by its authors' preprocessing."""
    rows = counted["triadaptlora_squad"]
    assert {head for _, _, head in rows} == {2 * 768 + 2}
    assert {cell.task for cell, _, _ in rows} == {"squad_v2"}
    for cell, _, _ in rows:
        recipe, fields = cell.template.recipe, cell.template.hyperparameters
        assert (recipe.batch_size, recipe.epochs, recipe.max_length) == (16, 14, 384)
        assert (recipe.learning_rate, fields["alpha"]) == (1e-3, 16)
        if cell.arm.method in ("increlora", "triadaptlora"):
            assert (fields["top_k"], fields["interval"]) == (1, 1000)
            before = float(str(fields["warmup"])) * 14 * 131_832 / 16
            assert before == pytest.approx(recipe.schedule.warmup, rel=0.06)


@pytest.mark.parametrize("stem", ["triadaptlora_glue", "mtlora_deberta_glue"])
def test_adalora_follows_its_paper_in_both_studies(stem: str) -> None:
    """Weight of the penalty, steps between rounds, shares before and after them."""
    table = {
        "mnli": (0.1, 100, 0.093, 0.582), "rte": (0.3, 1, 0.154, 0.462),
        "qnli": (0.1, 100, 0.122, 0.489), "mrpc": (0.1, 1, 0.174, 0.522),
        "qqp": (0.1, 100, 0.141, 0.44), "sst2": (0.1, 100, 0.119, 0.435),
        "cola": (0.5, 10, 0.119, 0.522), "stsb": (0.1, 10, 0.178, 0.444),
    }  # fmt: skip
    found = {
        (c.task, tuple(c.values[n] for n in ("orthogonality", "interval", "warmup", "final")))
        for c in cells(stem, method="adalora")
    }
    assert found == set(table.items())


# LoRA-Mini


def test_the_grid_of_lora_mini_leaves_out_no_choice_of_frozen_matrices() -> None:
    for backbone in ("bert-base-uncased", "roberta-base"):
        found = cells("lora_mini_glue", method="lora_mini", backbone=backbone, task="rte")
        assert len({str(c.values["freeze"]) for c in found}) == len(found) == 15


def test_the_grid_of_widths_is_whole() -> None:
    found = cells("lora_mini_widths", method="lora_mini", task="rte", backbone="roberta-base")
    grid = Counter(tuple(c.values[n] for n in ("rank", "a", "b", "initial")) for c in found)
    widths = (32, 64, 128)
    safe = {(r, a, b, "safe"): 1 for r in (8, 16, 32) for a in widths for b in widths}
    assert grid == {**safe, **{(r, 32, 32, "paper"): 1 for r in (8, 16, 32)}}


def test_the_file_of_widths_takes_its_recipe_from_the_other() -> None:
    ours, theirs = (planned(s).study for s in ("lora_mini_widths", "lora_mini_glue"))
    assert (ours.train, ours.tune, ours.margin) == (theirs.train, theirs.tune, theirs.margin)
    assert Path(str(ours.file)).name == "lora_mini_widths.yaml"
