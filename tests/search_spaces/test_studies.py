"""Every packaged study reads, plans and asks something; no data or weights are needed."""

from pathlib import Path

import pytest

import search_spaces
from ablate.api import packaged_studies
from ablate.plan import plan
from ablate.study import Study
from trials import catalogue

FILES = sorted(Path(search_spaces.__path__[0]).glob("*.yaml"))
PAPERS = {
    "mtlora_glue": "2403.07440",
    "tlora_glue": "2504.18735",
    "triadaptlora_glue": "2501.08008",
    "lora_mini_glue": "2411.15804",
}


def name(path: Path) -> str:
    return path.stem


def test_every_file_is_packaged() -> None:
    assert {path.stem: path for path in FILES} == packaged_studies()
    assert {*PAPERS, "demo", "mrpc_minilm"} <= set(packaged_studies())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_packaged_study_plans(path: Path) -> None:
    study = Study.read(path)
    made = plan(study)
    assert made.cells
    assert made.num_trials == made.counts.search + made.counts.confirm
    assert not made.excluded
    assert study.name == path.stem.replace("_", "-")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_packaged_study_asks_a_question_and_opens_with_a_comment(path: Path) -> None:
    assert Study.read(path).question.endswith("?")
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_names_resolve(path: Path) -> None:
    study = Study.read(path)
    assert {arm.method for arm in study.arms} <= set(catalogue.methods())
    assert {task.name for task in study.tasks} <= set(catalogue.tasks())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_arm_is_compared(path: Path) -> None:
    """Each cell is on one side of a claim or a baseline."""
    made = plan(Study.read(path))
    sides = {
        (c.task, c.backbone, arm) for c in made.comparisons for arm in (*c.treatment, *c.control)
    }
    assert {(cell.task, cell.backbone, cell.arm.id) for cell in made.cells} == sides


@pytest.mark.parametrize(("stem", "paper"), PAPERS.items())
def test_a_study_of_a_paper_names_it_and_gives_lora_the_same_maps(stem: str, paper: str) -> None:
    path = packaged_studies()[stem]
    study = Study.read(path)
    assert paper in path.read_text(encoding="utf-8").splitlines()[0]
    assert study.claims
    assert any(arm.method == "lora" for arm in study.arms)
    assert all(arm.targets is None for arm in study.arms)


def test_the_grid_of_lora_mini_leaves_out_no_choice_of_frozen_matrices() -> None:
    arms = Study.read(packaged_studies()["lora_mini_glue"]).arms
    choices = {tuple(arm.fields["freeze"]) for arm in arms if arm.method == "lora_mini"}
    assert len(choices) == 15
