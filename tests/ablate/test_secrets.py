"""A password in the tracking URI is nowhere but where the user wrote it."""

import logging
from pathlib import Path

import pytest
from mini_study import keys, write

from ablate import cli

SECRET = "geheim-4711"
URIS = (
    f"http://me:{SECRET}@127.0.0.1:9",
    f"postgresql://me:{SECRET}@127.0.0.1:9/mlflow",
    f"http://127.0.0.1:9/?token={SECRET}",
)


def holding(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if SECRET.encode() in path.read_bytes()]


def test_no_file_and_no_line_of_a_run_holds_it(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arms = [{"method": "lora", "rank": 4}]
    small = {"tune": None, "arms": arms, "claims": [], "confirm": {"seeds": 1}}
    file = write(tmp_path / "mini.yaml", **{**keys(), **small})
    place = ["--store", str(tmp_path / "store"), "--tracking-uri", URIS[0]]
    run = ["run", str(file), *place, "--in-process", "--device", "cpu", "--spool"]
    assert cli.main(run) == 0
    assert cli.main(["status", str(file), *place]) == 0
    assert cli.main(["report", str(file), *place]) == 0
    assert cli.main(["doctor", str(file), *place]) == 2
    assert cli.main(["best", "mini", *place]) == 2
    said = capfd.readouterr()
    assert "***@127.0.0.1:9" in said.out
    assert "does not have everything yet" in said.err
    assert SECRET not in said.out + said.err + caplog.text
    assert holding(tmp_path) == []
    assert (tmp_path / "store" / "mini" / "report" / "report.html").is_file()


@pytest.mark.parametrize("uri", URIS, ids=["server", "database", "token"])
def test_a_refusal_does_not_repeat_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], uri: str
) -> None:
    file = write(tmp_path / "mini.yaml")
    arguments = ["--store", str(tmp_path / "store"), "--tracking-uri", uri]
    assert cli.main(["run", str(file), *arguments, "--in-process"]) == 2
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert holding(tmp_path) == []
