"""The embedded tasks are there without a network, a data root or a list."""

import pytest

from trials import catalogue
from trials.spec import Splits
from trials.tasks.embedded import FOLDER
from trials.tasks.locate import load

NAMES = sorted(path.parent.name for path in FOLDER.glob("*/task.yaml"))


def test_every_folder_is_registered_under_its_name() -> None:
    assert {"tiny_acceptability", "tiny_paraphrase"} <= set(NAMES) <= set(catalogue.tasks())


@pytest.mark.parametrize("name", NAMES)
def test_an_embedded_task_loads_and_shows_its_test_split(name: str) -> None:
    task = load(name)
    assert task.name == name
    assert task.available == ("train", "validation", "test")
    assert task.resolve_splits() == Splits(search="validation", report="test")
    assert len(task.rows("held_out", Splits())) >= 200
