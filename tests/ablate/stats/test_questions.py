from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ablate.stats.claims import Claim
from ablate.stats.comparison import Comparison
from ablate.stats.questions import Questions, ask

Table = Callable[..., pd.DataFrame]
MEAN = Comparison("m", "cola", "backbone", ("a",), ("b",), "mean", "claims", True, "m")


@pytest.fixture
def questions(table: Table) -> Callable[..., Questions]:
    def build(looks: tuple[int, ...] = (), late_from: int = 99, num_seeds: int = 6) -> Questions:
        scores = {"a": np.linspace(0.5, 0.6, num_seeds), "b": np.linspace(0.4, 0.45, num_seeds)}
        data = table(scores, tasks=["cola", "rte"])
        return Questions(
            frame=data.assign(late=data["seed"] >= late_from),
            level=0.95,
            margin=None,
            looks=looks,
            generators=lambda name: np.random.default_rng(len(name)),
        )

    return build


def names(drafts: list) -> list[str]:
    return [one.finding.id for one in drafts]


def test_one_comparison_is_one_question(questions: Callable[..., Questions]) -> None:
    assert names(ask(questions(), [MEAN], [])) == ["m"]


def test_a_claim_over_tasks_puts_the_mean_first(questions: Callable[..., Questions]) -> None:
    parts = [MEAN, replace(MEAN, id="n", task="rte")]
    made = ask(questions(), parts, [Claim("m", "better", "s", ("m", "n"), over_tasks=True)])
    assert names(made) == ["m/tasks", "m", "n"]
    assert [one.finding.family for one in made] == ["claims", "claims: by task", "claims: by task"]


def test_exploratory_pairs_on_several_tasks_get_their_mean(
    questions: Callable[..., Questions],
) -> None:
    parts = [replace(MEAN, claim_id=None, confirmatory=False, id=t, task=t) for t in
             ("cola", "rte")]  # fmt: skip
    made = ask(questions(), parts, [])
    assert [one.finding.kind for one in made] == ["mean", "mean", "across_tasks"]


def test_late_rows_are_a_question_beside(questions: Callable[..., Questions]) -> None:
    made = ask(questions(late_from=4), [MEAN], [])
    assert names(made) == ["m", "m/with-late"]
    assert [one.finding.n for one in made] == [4, 6]


def test_only_planned_looks_are_taken(questions: Callable[..., Questions]) -> None:
    (made,) = ask(questions(looks=(4, 8), num_seeds=6), [MEAN], [])
    assert (made.finding.n, made.finding.sequential) == (4, True)
    assert made.finding.details["looks_done"] == 1
