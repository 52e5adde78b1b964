"""What travels to a cluster: all that a study names by relative paths, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mini_study import keys, write

from ablate import shipping
from ablate.store import StudyFolder
from ablate.study import Study
from trials.errors import UserError

TEMPLATE = Path(shipping.__file__).parent / "templates" / "task"


def a_task(place: Path) -> Path:
    place.mkdir(parents=True)
    for path in TEMPLATE.iterdir():
        (place / path.name).write_text(path.read_text().replace("{name}", place.name))
    (place / ".hidden").write_text("no")
    (place / "__pycache__").mkdir()
    return place


def a_study(place: Path, **changes: Any) -> Path:
    a_task(place / "rows" / "mine")
    (place / "code.py").write_text("X = 1\n")
    (place / "other.txt").write_text("stays at home")
    changes = {"tasks": ["../rows/mine", "tiny_acceptability"], "use": ["../code.py"],
               "claims": [], **changes}  # fmt: skip
    return write(place / "studies" / "mini.yaml", **changes)


def inside(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_it_keeps_its_place_beside_what_it_names(tmp_path: Path) -> None:
    study = Study.read(a_study(tmp_path / "home"))
    file = shipping.pack_study(study, tmp_path / "box")
    assert file == Path("shipped/studies/mini.yaml")
    assert inside(tmp_path / "box") == {
        "shipped/studies/mini.yaml", "shipped/code.py", "shipped/rows/mine/task.yaml",
        "shipped/rows/mine/train.jsonl", "shipped/rows/mine/validation.jsonl",
    }  # fmt: skip
    shutil.rmtree(tmp_path / "home")
    again = Study.read(tmp_path / "box" / file)
    assert again.to_json() == study.to_json(), "no text of the study has changed"
    assert again.code == study.code


def test_what_it_extends_goes_along(tmp_path: Path) -> None:
    base = a_study(tmp_path / "home")
    child = tmp_path / "home" / "deep" / "er" / "child.yaml"
    child.parent.mkdir(parents=True)
    child.write_text("extends: ../../studies/mini.yaml\nstudy: child\n")
    study = Study.read(child)
    file = shipping.pack_study(study, tmp_path / "box")
    assert base.exists()
    shutil.rmtree(tmp_path / "home")
    assert Study.read(tmp_path / "box" / file).to_json() == study.to_json()


def test_absolute_paths_are_those_of_the_cluster(tmp_path: Path) -> None:
    task = a_task(tmp_path / "shared" / "mine")
    file = write(tmp_path / "home" / "mini.yaml", tasks=[str(task)], claims=[])
    shipping.pack_study(Study.read(file), tmp_path / "box")
    assert inside(tmp_path / "box") == {"shipped/mini.yaml"}


def test_a_study_from_python_has_no_file_to_send(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file to send"):
        shipping.pack_study(Study.from_dict(keys()), tmp_path)


def test_what_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MOST_BYTES", 5_000)
    file = a_study(tmp_path / "home")
    (tmp_path / "home" / "rows" / "mine" / "train.jsonl").write_text("x" * 10_000)
    study = Study.read(file)
    with pytest.raises(UserError, match="rows/mine on a file system that every node sees"):
        shipping.pack_study(study, tmp_path / "box")


def test_it_settles_in_the_store_once_for_each_content(tmp_path: Path) -> None:
    box = tmp_path / "box"
    file = box / shipping.pack_study(Study.read(a_study(tmp_path / "home")), box)
    folder = StudyFolder(tmp_path / "store" / "mini")
    first = shipping.settle(file, folder)
    assert shipping.settle(file, folder) == first
    assert Study.read(first).name == "mini"
    (box / "shipped" / "code.py").write_text("X = 2\n")
    second = shipping.settle(file, folder)
    assert second != first
    assert len(list(folder.shipped.iterdir())) == 2, "and no half copies"
    shutil.rmtree(box)
    assert Study.read(second).code[0].source == "X = 2\n"


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = shipping.digest_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = shipping.digest_of(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, shipping.digest_of(tmp_path)}) == 3


def test_the_package_that_travels_is_whole(tmp_path: Path) -> None:
    shipping.pack_package(tmp_path)
    said = subprocess.run(
        [sys.executable, "ablate_peft.py", "list", "studies"], cwd=tmp_path, text=True,
        capture_output=True, check=False, env={"PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "mtlora_glue" in said.stdout
