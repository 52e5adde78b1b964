"""`ablate power`, as a user types it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mini_study import Ran

from ablate import cli
from ablate.stats.power import power, seeds_for_effect


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["power", *(str(a) for a in arguments)]) == status
    read = capsys.readouterr()
    return read.out if status == 0 else read.err


def parsed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(printed(capsys, *arguments, "--json"))


def test_from_assumptions(capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--effect 0.5 --sd 0.8 --correlation 0.5 --comparisons 8 --seeds 5,10 --margin 1"
    found = parsed(capsys, *flags.split(), "--ratio", 1.5)
    assert found["assumptions"]["sd"] == pytest.approx(0.8)
    assert [row["seeds"] for row in found["rows"]] == [5, 10]
    expected = power(10, 0.5 / 0.8, alpha=0.05 / 8)
    assert found["rows"][1]["power_of_effect"] == pytest.approx(expected)
    assert found["seeds_needed"]["effect"] == seeds_for_effect(0.5 / 0.8, alpha=0.05 / 8)
    assert found["pilot"] == []


def test_without_arguments_in_sds_of_the_difference(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert "seeds for a mean difference of 1 sd of the differences: 10" in text
    assert "seeds for a ratio of sds of 2 (normal theory): 19" in text


def pilot(path: Path, **columns: object) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {"task": task, "method": method, "seed": seed, "score": rng.normal(80, 1)}
        for task in ("cola", "rte") for method in ("lora", "shim", "icfm") for seed in range(6)
    ]  # fmt: skip
    pd.DataFrame(rows).assign(**columns).to_csv(path, index=False)
    return path


def test_from_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = pilot(tmp_path / "pilot.csv")
    found = parsed(capsys, "--from", file, "--baseline", "method=shim", "--effect", 1)
    assert {one["control"] for one in found["pilot"]} == {"shim"}
    assert len(found["pilot"]) == found["assumptions"]["comparisons"] == 4
    data = pd.read_csv(file).pivot_table(index=["task", "seed"], columns="method", values="score")
    gaps = (data["lora"] - data["shim"])["cola"]
    first = next(o for o in found["pilot"] if (o["task"], o["treatment"]) == ("cola", "lora"))
    assert first["sd"] == pytest.approx(gaps.std())
    sds = [one["sd"] for one in found["pilot"]]
    assert min(sds) < found["assumptions"]["sd"] < max(sds)
    assert "seed correlation" in printed(capsys, "--from", file)


def test_from_a_study(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    found = parsed(capsys, ran.file, *ran.flags(), "--comparisons", 2)
    assert found["pilot"]
    assert found["assumptions"]["comparisons"] == 2
    assert all(one["n"] >= 2 for one in found["pilot"])


def test_a_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "new" / "power.svg"
    assert str(file) in printed(capsys, "--effect", 0.5, "--out", file)
    text = file.read_text(encoding="utf-8")
    assert "mean difference of 0.5" in text
    assert "prefers-color-scheme" in text
    printed(capsys, "--effect", 0.5, "--out", tmp_path / "power.pdf")
    assert (tmp_path / "power.pdf").read_bytes().startswith(b"%PDF-")
    printed(capsys, "--effect", 0.5, "--out", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == file.read_bytes()


MISTAKES = [
    (["--sd", "-1"], r"--sd: expected a number above 0, but got -1"),
    (["--effect", "0"], r"--effect"),
    (["--effect", "nan"], r"--effect"),
    (["--ratio", "1"], r"--ratio"),
    (["--correlation", "1", "--sd", "1"], r"--correlation: expected"),
    (["--correlation", "0.5"], r"--correlation: needs --sd"),
    (["--comparisons", "0"], r"--comparisons"),
    (["--power", "1"], r"--power"),
    (["--level", "95"], r"--level"),
    (["--seeds", "1,5"], r"--seeds"),
    (["--out", "a.png"], r"\.svg"),
    (["--baseline", "method=lora"], r"belongs to --from"),
    (["--from", "nowhere.csv"], r"nowhere\.csv: no such file"),
    (["--from", "nowhere.csv", "--sd", "1"], r"come from the pilot"),
]


@pytest.mark.parametrize(("arguments", "match"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], match: str) -> None:
    assert re.search(match, printed(capsys, *arguments, status=2))


def test_all_mistakes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--sd", 0, "--effect", 0, "--seeds", 1, status=2)
    assert len(text.splitlines()) == 3


def test_a_pilot_without_noise_cannot_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = pilot(tmp_path / "pilot.csv", score=0.5)
    assert "no comparison whose differences vary" in printed(capsys, "--from", file, status=2)


def test_seeds_that_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["power", "--seeds", "few"])
    assert stop.value.code == 2
    assert "expected N[,...], but got few" in capsys.readouterr().err
