"""`ablate doctor` as a user types it."""

import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, scores, state

from ablate import api, cli
from ablate.runner import Options


def doctor(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> Any:
    capsys.readouterr()
    assert cli.main(["doctor", *map(str, arguments), "--json"]) == status
    return {item["part"]: item for item in json.loads(capsys.readouterr().out)}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_machine_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = doctor(capsys, "--store", tmp_path / "store")
    assert found["store"]["status"] == "ok"
    assert "journal" not in found
    assert cli.main(["doctor", "--store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.endswith("nothing is broken\n")


def test_a_study_is_damaged_mended_and_run_to_the_same_end(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = ran.copy(tmp_path)
    found = doctor(capsys, copy.file, *copy.flags())
    assert {item["status"] for item in found.values()} <= {"ok", "warning"}
    segment = copy.folder / "journal" / "000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if b'"finished"' in line)
    lines[place] = lines[place].replace(b"scores", b"scares", 1)
    segment.write_bytes(b"".join(lines))
    found = doctor(capsys, copy.file, *copy.flags(), status=2)
    assert found["journal"]["status"] == "broken"
    assert f"000001.jsonl:{place + 1}: damaged" in found["journal"]["text"]
    assert cli.main(["status", str(copy.file), *copy.flags()]) == 2
    assert "ablate doctor mini --mend" in capsys.readouterr().err
    assert cli.main(["doctor", str(copy.file), "--mend", *copy.flags()]) == 0
    said = capsys.readouterr().out
    assert "done journal: 000001.jsonl, line " in said
    # The trial that ended in the damaged line has lost that; those after it are awaited.
    assert "trials that the journal does not know" not in said
    study = api.load(copy.file, store=str(copy.store), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    assert scores(state(copy.store)) == scores(ran.state())
    page = (copy.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "The journal was damaged in 000001.jsonl" in page


def test_a_study_without_a_run(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    found = doctor(capsys, ran.file, "--store", tmp_path / "empty")
    assert found["journal"]["text"] == "none yet: the study has not been run"


def test_a_study_whose_file_is_wrong_has_its_journal_looked_at(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = ran.copy(tmp_path)
    (copy.folder / "origin.json").unlink()
    found = doctor(capsys, "mini", *copy.flags(), status=2)
    assert found["study"]["status"] == "broken"
    assert found["journal"]["status"] == "ok"
    assert found["files"]["status"] == "ok"
