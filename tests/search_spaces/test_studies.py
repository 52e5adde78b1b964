"""Every packaged study reads, plans and asks something; no data or weights are needed."""

from pathlib import Path

import pytest

import search_spaces
from ablate.api import packaged_studies
from ablate.plan import plan
from ablate.study import Study
from trials import catalogue

FILES = sorted(Path(search_spaces.__path__[0]).glob("*.yaml"))


def name(path: Path) -> str:
    return path.stem


def test_every_file_is_packaged() -> None:
    assert {path.stem: path for path in FILES} == packaged_studies()
    assert {"demo", "mrpc_minilm", "mtlora_glue"} <= set(packaged_studies())


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
