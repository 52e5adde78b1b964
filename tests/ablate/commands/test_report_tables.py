"""`ablate report --from FILE` on awkward tables: the right status, no crash, no invented number."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate import api, cli
from ablate.report.render import findings_json
from ablate.stats.document import validate

Report = Callable[..., dict[str, Any]]
HTML = "<script>alert(1)</script>"


def runs(
    arms: tuple[str, ...] = ("lora", "shim"), tasks: tuple[str, ...] = ("cola",), seeds: int = 6
) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {"task": t, "method": a, "seed": s, "score": 80 + rng.normal()}
        for t in tasks for a in arms for s in range(seeds)
    )  # fmt: skip


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """Write a table, report on it, and return the findings document."""

    def made(data: pd.DataFrame, *arguments: str, baseline: str = "method=lora") -> dict[str, Any]:
        file = tmp_path / "table.csv"
        data.to_csv(file, index=False)
        asked = ["report", "--from", str(file), "--out", str(tmp_path / "out"), *arguments]
        assert cli.main([*asked, "--baseline", baseline]) == 0, capsys.readouterr().err
        document = json.loads((tmp_path / "out" / "findings.json").read_text(encoding="utf-8"))
        validate(document)
        return document

    return made


@pytest.fixture
def findings(tmp_path: Path) -> Report:
    """The same document of the same table, without the page, which takes a second to draw."""

    def made(
        data: pd.DataFrame, margin: float | None = None, method: str = "lora"
    ) -> dict[str, Any]:
        file = tmp_path / "table.csv"
        data.to_csv(file, index=False)
        found = api.findings_of_table(file, baselines=[{"method": method}], margin=margin)
        document = json.loads(findings_json(found))
        validate(document)
        return document

    return made


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Write a table, and return why it is refused."""

    def said(data: pd.DataFrame | str, baseline: str = "method=lora") -> str:
        file = tmp_path / "table.csv"
        file.write_text(data if isinstance(data, str) else data.to_csv(index=False))
        arguments = ["report", "--from", str(file), "--out", str(tmp_path), "--baseline", baseline]
        assert cli.main(arguments) == 2
        return capsys.readouterr().err

    return said


def of(document: dict[str, Any], kind: str = "mean") -> dict[str, Any]:
    return next(f for f in document["findings"] if f["kind"] == kind)


def test_one_seed_is_a_value_alone(report: Report) -> None:
    document = report(runs(seeds=1))
    assert of(document)["estimate"] is not None
    for key in ("ci_low", "ci_high", "p_value", "p_adjusted", "effect_size", "seeds_needed"):
        assert of(document)[key] is None
    assert of(document)["status"] == of(document, "variance")["status"] == "insufficient_n"
    assert of(document, "variance")["estimate"] is None
    for cell in document["cells"]:
        assert (cell["sd"], cell["ci_low"], cell["status"]) == (None, None, "insufficient_n")
        assert cell["mean"] == cell["low"] == cell["high"]


def test_two_seeds_are_a_mean_and_a_range(findings: Report) -> None:
    document = findings(runs(seeds=2))
    for cell in document["cells"]:
        assert (cell["sd"], cell["ci_low"]) == (None, None)
        assert cell["low"] < cell["mean"] < cell["high"]
    assert of(document, "variance")["p_value"] is None
    assert of(document)["verdict"] == "undecided"


def test_an_arm_without_variance(findings: Report) -> None:
    data = runs()
    data.loc[data["method"] == "shim", "score"] = 90.0
    document = findings(data)
    assert of(document, "variance")["status"] == "degenerate_zero_variance"
    assert of(document, "variance")["effect_size"] is None
    assert document["cells"][1]["status"] == "degenerate_zero_variance"
    assert (document["cells"][1]["sd"], document["cells"][1]["ci_low"]) == (0.0, None)


def test_a_constant_gain_is_for_the_sign_flip_test(findings: Report) -> None:
    data = runs()
    data.loc[data["method"] == "shim", "score"] = data["score"][:6].to_numpy() + 1
    seen = of(findings(data))
    assert (seen["status"], seen["test"], seen["p_t"]) == (
        "degenerate_zero_variance", "sign-flip", None,
    )  # fmt: skip
    assert seen["p_value"] == 2 / 2**6


def test_all_equal(findings: Report) -> None:
    document = findings(runs().assign(score=79.0), margin=0.5)
    assert of(document)["status"] == "degenerate_no_difference"
    assert (of(document)["estimate"], of(document)["verdict"]) == (0.0, "undecided")
    assert of(document, "equivalence")["verdict"] == "equivalent"
    assert {item["share"] for item in document["variance"]} == {None}


def test_a_page_is_drawn_of_whatever_is_degenerate(report: Report) -> None:
    """One arm without variance, one of constant gain, one of one seed, one without a number."""
    data = runs(("lora", "still", "more", "single", "none", "tiny"))
    by = {arm: data["method"] == arm for arm in data["method"].unique()}
    data.loc[by["still"], "score"] = 90.0
    data.loc[by["more"], "score"] = data.loc[by["lora"], "score"].to_numpy() + 1
    data.loc[by["none"], "score"] = np.nan
    data.loc[by["tiny"], "score"] *= 1e-300
    data = data[~by["single"] | (data["seed"] == 0)].assign(status="finished")
    statuses = {cell["arm"]: cell["status"] for cell in report(data)["cells"]}
    assert statuses["still"] == "degenerate_zero_variance"
    assert (statuses["single"], statuses["none"]) == ("insufficient_n", "nan_present")
    report(runs(arms=("lora",), seeds=2))


def test_a_finished_trial_without_a_number(findings: Report) -> None:
    data = runs().assign(status="finished")
    data.loc[2, "score"] = np.nan
    document = findings(data)
    assert (of(document)["status"], of(document)["n"]) == ("nan_present", 5)
    assert document["cells"][0]["status"] == "nan_present"


@pytest.mark.parametrize("value", ["inf", "-inf", "1e400"])
def test_an_infinite_score_is_a_mistake(refused: Callable[..., str], value: str) -> None:
    data = runs().astype({"score": object})
    data.loc[2, "score"] = value
    assert "row 3" in refused(data)


def test_a_score_too_large_to_square_is_a_mistake(refused: Callable[..., str]) -> None:
    assert "too large to square" in refused(runs().assign(score=1e300))


def test_scores_too_small_to_square_have_no_variance(findings: Report) -> None:
    data = runs()
    document = findings(data.assign(score=data["score"] * 1e-300))
    assert of(document)["p_t"] is None
    assert {cell["sd"] for cell in document["cells"]} == {0.0}


def test_one_method_has_no_comparison(findings: Report) -> None:
    document = findings(runs(arms=("lora",)))
    assert (document["findings"], document["over_tasks"]) == ([], [])
    assert document["cells"][0]["n"] == 6


def test_a_missing_baseline_names_the_arms(refused: Callable[..., str]) -> None:
    text = refused(runs(), "method=adalora")
    assert "did you mean 'lora'" in text
    assert "the table has lora, shim" in text
    many = refused(runs(arms=tuple(f"m{i}" for i in range(40)), seeds=1), "method=lora")
    assert "m11 and 28 more" in many


def test_duplicate_rows_are_named(refused: Callable[..., str]) -> None:
    data = runs()
    text = refused(pd.concat([data, data.iloc[[3, 4]]]))
    assert "row 13 repeats row 4" in text
    assert "arm lora" in text
    assert "seed 3" in text


@pytest.mark.parametrize("text", ["task,method,seed,score\n", " ", "", "score\n1\n"])
def test_a_table_without_rows_or_columns(refused: Callable[..., str], text: str) -> None:
    assert "table.csv" in refused(text) or "no rows" in refused(text)


def test_several_metrics_need_a_primary_one(findings: Report, refused: Callable[..., str]) -> None:
    both = [runs().assign(metric="acc"), runs().assign(metric="f1")]
    assert "several primary metrics: acc, f1" in refused(pd.concat(both))
    both[1]["primary"], both[0]["primary"] = False, True
    document = findings(pd.concat(both))
    assert (document["metric"], of(document)["n"]) == ("acc", 6)


def test_another_metric_in_the_place_of_the_primary_one(report: Report, tmp_path: Path) -> None:
    data = runs().assign(status="finished")
    accuracy, f1 = data.assign(metric="acc"), data.assign(metric="f1")
    f1["score"] += (f1["method"] == "shim") * 5.0
    lost = pd.DataFrame([{"task": "cola", "method": "shim", "seed": 6, "metric": "acc",
                          "status": "out_of_memory"}])  # fmt: skip
    told = pd.concat([accuracy.assign(primary=True), f1.assign(primary=False),
                      lost.assign(primary=True)])  # fmt: skip
    by_accuracy, by_f1 = report(told), report(told, "--metric", "f1")
    assert (by_accuracy["metric"], by_f1["metric"]) == ("acc", "f1")
    assert of(by_f1)["estimate"] == pytest.approx(of(by_accuracy)["estimate"] + 5)
    assert of(by_f1)["num_failed"] == of(by_accuracy)["num_failed"] == 1
    assert of(by_f1)["n"] == 6
    alone = report(pd.concat([accuracy, f1]), "--metric", "f1")
    assert of(alone)["estimate"] == of(by_f1)["estimate"], "which names it, where nothing else does"
    file = str(tmp_path / "table.csv")
    assert cli.main(["report", "--from", file, "--out", str(tmp_path), "--metric", "f2"]) == 2


def test_digits_are_those_asked_for(report: Report, tmp_path: Path) -> None:
    report(runs(), "--digits", "3")
    table = (tmp_path / "out" / "tables" / "scores.tex").read_text(encoding="utf-8")
    assert re.search(r"\b\d\d\.\d{3}[ }].*\\pm\$\\,\d\.\d{3}}", table), table
    file = str(tmp_path / "table.csv")
    assert cli.main(["report", "--from", file, "--out", str(tmp_path), "--digits", "99"]) == 2


def test_unequal_seeds_are_paired_and_listed(findings: Report) -> None:
    data = runs(seeds=9)
    document = findings(data[(data["method"] == "lora") | (data["seed"] < 5)])
    found = [f for f in document["findings"] if f["kind"] == "mean"]
    assert [(f["n"], f["paired"], f["test"]) for f in found][1][1:] == (False, "Welch")
    assert found[0]["dropped_seeds"] == [5, 6, 7, 8]
    assert 0 < found[1]["p_permutation"] <= 1
    assert len(document["missing"]) == 4


def test_seeds_that_are_not_shared(findings: Report) -> None:
    data = runs()
    document = findings(data.assign(seed=data["seed"] + 100 * (data["method"] == "shim")))
    assert (of(document)["test"], of(document)["paired"]) == ("Welch", False)
    spread = of(document, "variance")
    assert (spread["test"], spread["normal_theory"]) == ("Brown-Forsythe", "F")


def test_lower_is_better(findings: Report) -> None:
    data = runs()
    data["score"] += data["method"] == "shim"
    document = findings(data.assign(direction="lower"))
    raw = document["cells"][1]["mean"] - document["cells"][0]["mean"]
    assert of(document)["estimate"] == pytest.approx(-raw)
    assert raw > 0


def test_one_in_a_hundred_trials_failed(findings: Report) -> None:
    data = runs(tasks=("cola", "rte"), seeds=50).assign(status="finished")
    lost = [7, 160]
    data.loc[lost, "status"], data.loc[lost, "score"] = "diverged", np.nan
    document = findings(data)
    means = [f for f in document["findings"] if f["kind"] == "mean"]
    assert [(f["n"], f["num_failed"]) for f in means] == [(49, 1), (49, 1)]
    assert all(f["p_failures"] == 1.0 for f in means)
    cell = document["cells"][0]
    assert (cell["num_failed"], cell["n"]) == (1, 49)
    assert 0 < cell["failure_low"] < 0.02 < cell["failure_high"]
    assert cell["bca_low"] < cell["mean"] < cell["bca_high"]
    assert document["over_tasks"][0]["variance"][0]["method"] == "reml"


def test_two_hundred_arms(findings: Report) -> None:
    document = findings(runs(arms=tuple(f"m{i}" for i in range(200)), seeds=4), method="m0")
    means = [f for f in document["findings"] if f["kind"] == "mean"]
    assert len(means) == 199
    assert {f["adjustment"] for f in means} == {"benjamini-hochberg"}
    assert len(document["cells"]) == 200


def test_any_name(report: Report, tmp_path: Path) -> None:
    names = ("lora", HTML, "Ünïcødé 漢字 🎉", "=cmd|' /C calc'!A0")
    document = report(runs(arms=names, tasks=(HTML,)))
    assert {cell["arm"] for cell in document["cells"]} == set(names)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert HTML not in page
    assert "漢字" in page
    assert "\n=cmd" not in (tmp_path / "out" / "tables" / "pairs.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("margin", ["0", "-1", "nan"])
def test_a_margin_is_above_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], margin: str
) -> None:
    runs().to_csv(tmp_path / "table.csv", index=False)
    arguments = ["report", "--from", str(tmp_path / "table.csv"), "--out", str(tmp_path)]
    assert cli.main([*arguments, "--margin", margin]) == 2
    assert "--margin must be above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hundred_thousand_rows_fit_in_two_gigabytes(tmp_path: Path) -> None:
    """Fifty arms on eight tasks at 250 seeds, one run in a hundred of them failed."""
    data = runs(tuple(f"m{i}" for i in range(50)), tuple(f"t{i}" for i in range(8)), 250)
    data["status"] = "finished"
    lost = data.sample(frac=0.01, random_state=0).index
    data.loc[lost, "status"], data.loc[lost, "score"] = "diverged", np.nan
    data.to_csv(tmp_path / "table.csv", index=False)
    done = subprocess.run(
        [sys.executable, "-c", "from ablate import cli; raise SystemExit(cli.main())", "report",
         "--from", str(tmp_path / "table.csv"), "--out", str(tmp_path), "--baseline", "method=m0"],
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 * 1024**2
    document = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert len([f for f in document["findings"] if f["kind"] == "mean"]) == 49 * 8
    assert document["over_tasks"][0]["variance"][0]["method"] == "reml"


def test_one_seed_says_what_cannot_be_said_and_what_examples_allow(
    report: Report, tmp_path: Path
) -> None:
    data = pd.DataFrame(
        {"method": ["lora", "near", "far"], "seed": 0, "score": [0.5, 0.51, 0.9],
         "num_examples": 1000, "grid_step": 0.001}
    )  # fmt: skip
    document = report(data)
    found = {f["treatment"]["method"]: f for f in document["findings"] if f["kind"] == "mean"}
    near, far = (found[name]["example_noise"] for name in ("near", "far"))
    assert near["low"] < 0 < near["high"]
    assert 0.3 < far["low"] < 0.4 < far["high"] < 0.5
    assert {f["verdict"] for f in found.values()} == {"undecided"}, "examples decide nothing alone"
    assert {cell["example_noise"]["num_examples"] for cell in document["cells"]} == {1000}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Every configuration ran at one seed" in page
    assert "1 of 2 differences are no larger than the 1,000 examples" in page
    assert "by its 1,000 examples alone" in page


def test_two_seeds_do_not_claim_to_be_one(report: Report, tmp_path: Path) -> None:
    report(runs(seeds=2).assign(num_examples=100))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Every configuration ran at one seed" not in page
    assert "examples alone" not in page


def test_columns_may_be_named_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.csv"
    runs().rename(columns={"score": "acc", "seed": "run"}).assign(junk=1.5).to_csv(file)
    asked = ["report", "--from", str(file), "--out", str(tmp_path / "out"), "--baseline"]
    named = ["--column", "score=acc", "--column", "seed=run", "--drop", "junk"]
    assert cli.main([*asked, "method=lora", *named, "--drop", "Unnamed: 0"]) == 0
    capsys.readouterr()
    assert cli.main([*asked, "method=lora", "--column", "score=ac"]) == 2
    assert "did you mean 'acc'" in capsys.readouterr().err
    assert cli.main(["report", "demo", "--column", "a=b"]) == 2
    assert "belong to a table with --from" in capsys.readouterr().err
