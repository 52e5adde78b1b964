"""Questions to MLflow about a study that was really trained, as calls and as commands."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mini_study import Ran, scores, state, write

import ablate
from ablate import api, cli, queries
from ablate.best import Choice
from ablate.runner import Options
from trials.errors import UserError


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The mini study with its runs in MLflow. Not to be changed."""
    place = tmp_path_factory.mktemp("tracked")
    file = write(place / "mini.yaml")
    study = api.load(file, store=str(place / "store"), device="cpu")
    return Ran(file, place / "store", study.run(Options(in_process=True)))


def asked(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    found = cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert found == status, told.err
    return told.err if status else told.out


def parsed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(asked(capsys, *arguments, "--json"))


def test_mlflow_and_the_store_give_the_same_table(tracked: Ran) -> None:
    order = ["trial_id", "split", "metric"]
    tables = [
        queries.results("mini", source=source, store=str(tracked.store)).sort_values(order)
        for source in ("mlflow", "store")  # type: ignore[var-annotated]
    ]
    assert len(tables[0]) > 8
    pd.testing.assert_frame_equal(
        *(table[sorted(table.columns)].reset_index(drop=True) for table in tables),
        check_dtype=False,
    )


def test_results_are_filtered_by_any_column(tracked: Ran) -> None:
    where = "stage == 'confirm' and primary and learning_rate < 1 and split == 'test'"
    found = ablate.results(where=where, store=str(tracked.store))
    assert len(found) == 4
    assert set(found["stage"]) == {"confirm"}
    assert queries.results("mini", where="rank > 4", store=str(tracked.store)).empty
    with pytest.raises(UserError, match="no column called 'rnak'; did you mean 'rank'"):
        queries.results(where="rnak > 4", store=str(tracked.store))
    with pytest.raises(UserError, match="source must be"):
        queries.results(source="here", store=str(tracked.store))  # type: ignore[arg-type]


def test_the_study_that_best_writes_has_the_same_trials_and_scores(
    tracked: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is really run, in another store."""
    out = tmp_path / "again.yaml"
    found = parsed(capsys, "best", "mini", *tracked.flags(), "--top", 1, "--study", out)
    study = api.load(out, store=str(tmp_path / "store"), device="cpu")
    assert study.run(Options(in_process=True, tracking=False)) == "done"
    before, after = scores(tracked.state()), scores(state(tmp_path / "store", "again"))
    assert after == {trial: before[trial] for trial in after}
    assert len(after) == 2
    assert found[0]["trial"] in after
    shown = study.results()
    shown = shown[shown["primary"] & (shown["split"] == found[0]["split"])]
    assert shown["score"].mean() == pytest.approx(found[0]["mean"], abs=1e-12)
    text = asked(capsys, "best", "mini", *tracked.flags(), "--study", out, status=2)
    assert "there is such a file already" in text
    text = asked(
        capsys, "best", "mini", *tracked.flags(), "--where", "rank > 9", "--study", "x.yaml",
        status=2,
    )  # fmt: skip
    assert "no study to write" in text


def test_best_as_people_read_it(tracked: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    text = asked(capsys, "best", "mini", *tracked.flags(), "--by", "method", "--refresh")
    assert text.index("lora") < text.index("tlora")
    assert "pareto" in text
    assert "shown on test (mcc)" in text
    rows = parsed(
        capsys, "best", tracked.file, *tracked.flags(), "--pareto", "--against", "seconds"
    )
    assert {row["pareto"] for row in rows} <= {"front", "unproven"}
    cheapest = parsed(capsys, "best", "mini", *tracked.flags(), "--cheapest")
    assert [row["cheapest"] for row in cheapest] == [True]


def test_compare(tracked: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    found = parsed(capsys, "compare", "mini", "lora", "tlora", *tracked.flags())
    assert found["study"] == "mini"
    assert found["pairs"][0]["seeds"] == [0, 1]
    assert len(found["pairs"][0]["findings"]) == 2
    text = asked(capsys, "compare", "mini", "lora", "method=tlora", *tracked.flags())
    assert "lora against tlora on tiny_acceptability, tiny" in text
    assert "positive favours lora" in text


def test_a_report_and_what_it_cost(
    tracked: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "report")
    found = parsed(capsys, "report", "mini", "--from", "mlflow", *tracked.flags(), *out)
    assert len(found["cells"]) == 2
    assert (tmp_path / "report" / "report.html").is_file()
    spent = parsed(capsys, "status", "mini", *tracked.flags())["spent"]
    assert spent["device_seconds"] > 0
    assert spent["claims"] == 1
    assert "device-hours" in asked(capsys, "status", "mini", *tracked.flags())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("best", "mimi"), "no study called 'mimi'"),
        (("best", "mini", "--by", "methd"), "no column called 'methd'; did you mean 'method'"),
        (("best", "mini", "--where", "rnk < 4"), "no column called 'rnk'; did you mean 'rank'"),
        (("best", "mini", "--against", "secnds"), "did you mean 'seconds'"),
        (("best", "mini", "--top", "0"), "--top must be at least 1"),
        (("best", "mini", "--study", "x.txt"), "ends in .yaml"),
        (("compare", "mini", "lora", "tlor"), "no arm matches 'tlor'; did you mean 'tlora'"),
        (("compare", "mimi", "lora", "tlora"), "did you mean 'mini'"),
        (("compare", "mini", "lora", "tlora", "--level", "2"), "--level must be"),
        (("compare", "mini", "lora", "tlora", "--margin", "-1"), "--margin must be above 0"),
        (("report", "mini", "--from", "mlflow", "--baseline", "method=lra"), "no arm matches"),
    ],
)
def test_mistakes_are_answered_in_words(
    tracked: Ran, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in asked(capsys, *arguments, *tracked.flags(), status=2)


@pytest.mark.parametrize("command", [("best", "mini"), ("compare", "mini", "lora", "tlora")])
def test_a_server_that_does_not_answer(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = asked(capsys, *command, "--tracking-uri", "http://me:word@127.0.0.1:9", status=2)
    assert "tracking store http://***@127.0.0.1:9 cannot be read" in text
    assert "word" not in text
    text = asked(capsys, *command, "--store", tmp_path / "nothing", status=2)
    assert "nothing was tracked there yet" in text


def test_of_several_studies_each_trial_counts_once(
    tracked: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another study shows all trials of the first."""
    first = queries.results("mini", store=str(tracked.store))
    both = pd.concat([first, first.assign(study="second")], ignore_index=True)
    monkeypatch.setattr(queries, "read", lambda *_, **__: both)
    assert len(queries.results()) == len(first)
    waiting = first.assign(study="waiting", status="missing", score=float("nan"))
    both = pd.concat([waiting, first], ignore_index=True)
    monkeypatch.setattr(queries, "read", lambda *_, **__: both)
    assert queries.results()["score"].notna().sum() == first["score"].notna().sum()
    both = pd.concat([first, first.assign(study="second")], ignore_index=True)
    from ablate import configurations

    monkeypatch.setattr(
        queries, "_configurations", lambda *_, **__: configurations.configurations(both)
    )
    found = queries.best([], api.profile_of({}), Choice())
    assert list(found["study"]) == ["mini", "mini"]
