"""Commands as a user types them, on a study that has run."""

import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, write

from ablate import cli


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == status, capsys.readouterr().err
    return capsys.readouterr().out


def parsed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(printed(capsys, *arguments, "--json"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# counts, with the numbers of the papers' formulas for a base-sized encoder (12 layers, width 768)


@pytest.mark.parametrize(
    ("method", "settings", "adapter"),
    [
        ("lora", ["rank=8"], 294_912),
        ("mtlora", ["structure=shim", "rank=8"], 296_448),
        ("mtlora", ["structure=dtsm", "rank=8"], 297_984),
        ("tlora", ["rank=32"], 24_600),
        ("lora_mini", ["rank=12"], 18_432),
    ],
)
def test_count(
    capsys: pytest.CaptureFixture[str], method: str, settings: list[str], adapter: int
) -> None:
    chosen = [part for text in settings for part in ("--set", text)]
    found = parsed(
        capsys, "count", "--backbone", "roberta-base", "--method", method,
        "--targets", "query,value", *chosen,
    )  # fmt: skip
    assert found["adapter_parameters"] == adapter
    assert found["head_parameters"] > 0
    assert found["targets"] == ["query", "value"]


def test_count_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "count", "--backbone", "roberta-base", "--method", "lora",
                   "--targets", "query,value", "--set", "rank=8")  # fmt: skip
    assert "adapter  294,912" in text


# init


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("kind", ["study", "method", "task"])
def test_what_init_writes_passes_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    name = {"study": "mine", "method": "my_method", "task": "my_task"}[kind]
    if kind == "study":
        printed(capsys, "init", "task", "my_task")
        fill(tmp_path / "my_task")
    printed(capsys, "init", kind, name)
    if kind == "task":
        fill(tmp_path / name)
    made = tmp_path / {"study": "mine.yaml", "method": "my_method.py", "task": "my_task"}[kind]
    assert made.exists()
    printed(capsys, "check", made)
    json.loads(printed(capsys, "check", made, "--json"))


def fill(folder: Path) -> None:
    rows = [{"premise": f"a {n}", "hypothesis": f"b {n}", "label": n % 2} for n in range(40)]
    for split in ("train", "validation"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)


def test_init_never_writes_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed(capsys, "init", "study", "mine.yaml")
    (tmp_path / "mine.yaml").write_text("mine")
    assert cli.main(["init", "study", "mine"]) == 2
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["a/b", "../a", "1a", "", "a b"])
def test_init_takes_names_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    assert cli.main(["init", "study", name]) == 2
    assert not list(tmp_path.iterdir())


# list


def test_list(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    methods = {m["method"]: m for m in parsed(capsys, "list", "methods")}
    assert {"lora", "mtlora", "tlora", "lora_mini", "triadaptlora"} <= set(methods)
    assert methods["lora"]["fields"]["rank"]
    tasks = {t["task"]: t for t in parsed(capsys, "list", "tasks")}
    assert tasks["tiny_acceptability"]["primary"] == "mcc"
    studies = {s["study"] for s in parsed(capsys, "list", "studies", *ran.flags())}
    assert {"mini", "demo"} <= studies
    assert "query" in {t["target"] for t in parsed(capsys, "list", "targets")}
    for what in ("methods", "tasks", "studies", "targets"):
        assert len(printed(capsys, "list", what, *ran.flags()).splitlines()) > 3


# reading a study that has run


def test_status(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    found = parsed(capsys, "status", "mini", *ran.flags())
    assert (found["study"], found["revision"], found["ended"]) == ("mini", 1, "done")
    assert [c["arm"] for c in found["cells"]] == ["lora rank=4", "tlora rank=4"]
    assert all(c["search"] == {"done": 2, "planned": 2} for c in found["cells"])
    assert all(c["confirm"] == {"done": 2, "planned": 2} for c in found["cells"])
    assert all(isinstance(c["best"], float) for c in found["cells"])
    assert "2/2" in printed(capsys, "status", ran.file, *ran.flags())


def test_show(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    identity = next(iter(ran.state().trials))
    found = parsed(capsys, "show", identity[:10], *ran.flags())
    assert found["trial"] == identity
    assert found["status"] == "finished"
    assert [r["step"] for r in found["reports"]] == [2, 4]
    assert Path(found["folder"]).is_dir()
    text = printed(capsys, "show", identity, "--study", "mini", *ran.flags())
    assert "step 4/4" in text


def test_plan(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    found = parsed(capsys, "plan", ran.file, *ran.flags())
    assert found["num_trials"] == {"search": 4, "confirm": 4}
    assert len(found["parameters"]) == 2
    assert not found["unresolved"]
    text = printed(capsys, "plan", ran.file, *ran.flags())
    assert "4 search + 4 confirm in 2 cells" in text
    assert "claim     c:" in text
    schema = json.loads(printed(capsys, "plan", "--schema"))
    assert "study" in schema["properties"]


def test_the_plan_of_a_race(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Looks, the most trials that it may take, and how many are likely."""
    file = write(tmp_path / "mini.yaml", confirm=None, tune=None, race={"looks": [5, 8, 20]})
    place = ("--store", tmp_path / "store")
    found = parsed(capsys, "plan", file, *place)
    assert (found["looks"], found["num_trials"]["confirm"]) == ([5, 8, 20], 40)
    expected = found["expected_confirm"]
    assert 10 < expected["no_difference"] < 40
    assert 10 < expected["one_sd"] < 40
    text = printed(capsys, "plan", file, *place)
    assert "at most 40 confirm" in text
    assert f"looks at 5, 8, 20 seeds; about {expected['no_difference']} confirm" in text
    # What the last look may spend: 1 - (8 / 20)^2 of the level.
    assert "with power .8 at level 0.958" in text


def test_report(capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path) -> None:
    copy = ran.copy(tmp_path)
    out = tmp_path / "out"
    found = parsed(capsys, "report", "mini", *copy.flags(), "--out", out)
    assert found["level"] == 0.95
    assert (out / "report.html").is_file()
    assert "lora" in printed(capsys, "report", "mini", *copy.flags(), "--out", out).lower()
    lower = parsed(capsys, "report", "mini", *copy.flags(), "--out", out, "--level", "0.9")
    assert lower["level"] == 0.9


def test_reproduce(capsys: pytest.CaptureFixture[str], ran: Ran) -> None:
    identity = list(ran.state().trials)[-1]
    found = parsed(capsys, "reproduce", identity, *ran.flags(), "--device", "cpu")
    assert found["identical"]


def test_a_trial_that_fails_the_second_time_is_different(
    capsys: pytest.CaptureFixture[str], ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scores cannot be shown side by side: there are none."""
    from ablate.api import Ablation
    from trials.spec import TrialResult

    recorded = next(t.result for t in ran.state().trials.values())
    made = (recorded, TrialResult(status="crashed", reason="no luck"))
    monkeypatch.setattr(Ablation, "reproduce", lambda self, trial, folder: made)
    identity = next(iter(ran.state().trials))
    text = printed(capsys, "reproduce", identity, *ran.flags(), status=3)
    assert "crashed" in text


def test_export(capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path) -> None:
    identity = next(iter(ran.state().trials))
    found = parsed(capsys, "export", identity, *ran.flags(), "--to", tmp_path / "out")
    inside = {path.name for path in Path(found["folder"]).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= inside


def test_retry_of_nothing_that_failed(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    copy = ran.copy(tmp_path)
    identity = next(iter(copy.state().trials))
    assert cli.main(["retry", "mini", *copy.flags(), "--trial", identity]) == 2
    assert "has not failed" in capsys.readouterr().err
    assert "0 trials wait again" in printed(capsys, "retry", "mini", *copy.flags())


def test_run_and_best(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With MLflow, as a first run has it: `best` reads what `run` wrote."""
    file = write(tmp_path / "mini.yaml", tune=None, train={"steps": 2, "batch_size": 8})
    where = ("--store", tmp_path / "store")
    text = printed(capsys, "run", file, *where, "--in-process", "--device", "cpu")
    assert "4/4 done" in text
    assert "report.html" in text
    assert "mlflow ui --backend-store-uri sqlite:///" in text
    found = parsed(capsys, "best", "mini", *where)
    assert {row["method"] for row in found} == {"lora", "tlora"}
    assert all(row["n"] == 2 for row in found)
    assert len(parsed(capsys, "best", file, *where, "--top", "1")) == 1
    assert "chosen by" in printed(capsys, "best", "mini", *where)
    assert parsed(capsys, "best", "mini", *where, "--where", "rank > 100") == []
