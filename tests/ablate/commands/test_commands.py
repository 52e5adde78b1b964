"""Commands as a user types them, on a study that has run."""

import json
from pathlib import Path
from typing import Any

import pytest
from mini_study import Ran, write

from ablate import cli, journal


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


@pytest.mark.parametrize(("task", "head"), [("squad_v2", 768 * 2 + 2), ("mnli", 768 * 3 + 3)])
def test_count_takes_the_head_of_a_task(
    task: str, head: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["count", "--backbone", "bert-base-uncased", "--method", "lora", "--targets", "query"]
    assert parsed(capsys, *words, "--task", task)["head_parameters"] == head


def test_count_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "count", "--backbone", "roberta-base", "--method", "lora",
                   "--targets", "query,value", "--set", "rank=8")  # fmt: skip
    assert "adapter  294,912" in text


PUBLISHED = [
    (("roberta-base", "lora", "query,value", "rank=8"),
     ["0.3M: agrees (Hu et al. 2021", "0.8M: disagrees (README of microsoft/LoRA; near what"]),
    (("gpt2-medium", "lora", "query,value", "rank=4"), ["0.35M: disagrees (Hu et al. 2021"]),
    (("FacebookAI/roberta-large@main", "full", "query", None),
     ["355,362,819, here 355,362,819: agrees (Islam 2025"]),
    (("roberta-base", "lora", "query,value", "rank=7"), []),
    (("roberta-base", "lora", "query", "rank=8"), []),
]  # fmt: skip
"""Backbone, method, targets and a field -> what is printed of its published figures."""


@pytest.mark.parametrize(("asked", "figures"), PUBLISHED, ids=lambda x: "-".join(map(str, x))[:40])
def test_count_shows_what_was_published(
    capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], figures: list[str]
) -> None:
    backbone, method, targets, setting = asked
    more = ["--set", setting] if setting else ["--labels", "3"]
    words = ["count", "--backbone", backbone, "--method", method, "--targets", targets, *more]
    lines = [x for x in printed(capsys, *words).splitlines() if x.startswith("published")]
    assert len(lines) == len(figures)
    for line, figure in zip(lines, figures, strict=True):
        assert line.startswith(f"published {figure}")
    assert [x["verdict"] for x in parsed(capsys, *words)["published"]] == [
        figure.partition(": ")[2].partition(" (")[0] for figure in figures
    ]


def test_a_figure_is_of_the_configuration_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    """36,864 is with the outer two frozen; where nothing is frozen something else is counted."""
    words = ["count", "--backbone", "bert-base-uncased", "--method", "lora_mini", "--targets",
             "query,key,value", "--set", "rank=16"]  # fmt: skip
    assert parsed(capsys, *words)["published"][0]["counted"] == "36,864"
    assert not parsed(capsys, *words, "--set", "freeze=[]")["published"]
    assert parsed(capsys, *words, "--set", "alpha=8")["published"]


# init


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("kind", ["study", "method", "task"])
def test_what_init_writes_passes_check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    name = {"study": "mine", "method": "my_method", "task": "my_task"}[kind]
    if kind == "study":
        printed(capsys, "init", "task", "my_task")
    printed(capsys, "init", kind, name)
    made = tmp_path / {"study": "mine.yaml", "method": "my_method.py", "task": "my_task"}[kind]
    assert made.exists()
    text = printed(capsys, "check", made)
    assert "warning" not in text
    json.loads(printed(capsys, "check", made, "--json"))


def test_init_leaves_rows_that_are_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl.gz").write_bytes(b"mine")
    printed(capsys, "init", "task", "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"task.yaml", "train.jsonl.gz"}


# check, of a task


def test_check_tells_what_a_task_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed(capsys, "init", "task", "mine")
    with (tmp_path / "mine" / "validation.jsonl").open("a", encoding="utf-8") as file:
        file.write((tmp_path / "mine" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    found = parsed(capsys, "check", "mine", "--max-length", "20")
    assert [split["num_rows"] for split in found["splits"]] == [14, 7]
    assert found["splits"][0]["labels"] == {"no": 7, "yes": 7}
    assert found["splits"][0]["tokens"]["num_cut"] > 0
    assert found["overlaps"] == [
        {"first": "train", "second": "validation", "num_rows": 7, "equal": 1, "related": None}
    ]
    assert (found["backbone"], found["max_length"], len(found["examples"])) == ("tiny", 20, 5)
    assert any("lose what is beyond 20 tokens" in text for text in found["warnings"])
    text = printed(capsys, "check", "mine/task.yaml")
    assert "warning: of 7 rows of validation 1 also stand in train" in text
    assert text.count("[SEP]") >= 10


def test_check_takes_a_tasks_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = parsed(capsys, "check", "tiny_acceptability")
    assert found["resolved"] == {"search": "validation", "report": "test"}
    assert cli.main(["check", "tiny_aceptability"]) == 2
    assert "did you mean 'tiny_acceptability'?" in capsys.readouterr().err


def test_check_tells_every_mistake_with_file_and_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    printed(capsys, "init", "task", "mine")
    definition = tmp_path / "mine" / "task.yaml"
    definition.write_text(definition.read_text().replace("primary: accuracy", "primary: acuracy"))
    (tmp_path / "mine" / "train.jsonl").write_text(
        '{"premise": "a", "hypothesis": 3, "label": 2}\n{'
    )
    assert cli.main(["check", "mine"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "mine/task.yaml:14: primary: 'acuracy' is not among metrics (accuracy, f1)"
        "; did you mean 'accuracy'?",
        "mine/train.jsonl:1: hypothesis: must be text, but got 3",
        "mine/train.jsonl:1: label: must be 0 to 1 (no, yes), but got 2",
        "mine/train.jsonl:2: not JSON: Expecting property name enclosed in double quotes at "
        "column 2",
    ]
    assert cli.main(["check", "mine", "--max-length", "0"]) == 2


def test_check_loads_the_metrics_that_it_is_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    printed(capsys, "init", "task", "mine")
    definition = tmp_path / "mine" / "task.yaml"
    text = definition.read_text().replace("[accuracy, f1]", "[accuracy, cost_of_check.py:cost]")
    definition.write_text(text)
    assert cli.main(["check", "mine"]) == 2
    assert "no file cost_of_check.py is loaded" in capsys.readouterr().err
    (tmp_path / "cost_of_check.py").write_text("def cost(predictions, labels):\n    return 1\n")
    printed(capsys, "check", "mine", "--use", "cost_of_check.py")


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


def test_the_plan_of_a_variance_stage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stage = {"initialisations": 3, "orders": 4, "repeats": 1, "when": {"method": "lora"}}
    file = write(tmp_path / "mini.yaml", tune=None, variance=stage)
    place = ("--store", tmp_path / "store")
    found = parsed(capsys, "plan", file, *place)
    assert found["num_trials"] == {"search": 0, "confirm": 4, "variance": 12}
    assert found["forecast"]["trials"] == 16
    text = printed(capsys, "plan", file, *place)
    assert "4 confirm + 12 variance (3 initialisations × 4 orders of 1 cell) in 2 cells" in text
    assert "below 5 initialisations or orders there are intervals" in text
    assert "without repeats" in text


def test_results_for_pefts_comparison(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    from ablate import exchange

    asked = ("export", ran.file, *ran.flags(), "--peft-comparison")
    found = parsed(capsys, *asked, tmp_path / "a")
    assert len(found["files"]) == 4
    table = exchange.read(Path(found["files"][0]).parent).frame
    assert table.drop_duplicates(["arm", "seed"])[["method", "seed"]].to_dict("records") == [
        {"method": method, "seed": seed} for method in ("lora", "tlora") for seed in (0, 1)
    ]
    assert "a trial does not measure them" in printed(capsys, *asked, tmp_path / "b")


def test_the_plan_of_a_race(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Looks, the most trials that it may take, and how many are likely."""
    file = write(tmp_path / "mini.yaml", confirm=None, tune=None, race={"looks": [5, 8, 20]})
    place = ("--store", tmp_path / "store")
    found = parsed(capsys, "plan", file, *place)
    assert (found["looks"], found["num_trials"]["confirm"]) == ([5, 8, 20], 40)
    expected = {item["case"]: item["trials"] for item in found["forecast"]["expected"]}
    assert expected.keys() == {"no_difference", "one_sd"}
    assert all(10 < trials < 40 for trials in expected.values())
    assert found["forecast"]["trials"] == 40
    text = printed(capsys, "plan", file, *place)
    assert "at most 40 confirm" in text
    assert "race      looks at 5, 8, 20 seeds" in text
    assert "left      40 trials, 160 steps, at most" in text
    assert f"expected  about {expected['no_difference']} confirm where nothing differs" in text
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


def test_report_by_another_metric(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    copy = ran.copy(tmp_path)
    own = parsed(capsys, "report", "mini", *copy.flags())
    other = "mcc" if own["metric"] == "accuracy" else "accuracy"
    found = parsed(capsys, "report", "mini", *copy.flags(), "--metric", other, "--margin", 0.5)
    assert found["metric"] == other
    assert found["claims"] == []
    assert {finding["kind"] for finding in found["findings"]} >= {"mean", "equivalence"}
    assert not any(finding["confirmatory"] for finding in found["findings"])
    page = copy.store / "mini" / f"report-{other}" / "report.html"
    assert f"claims registered, by {own['metric']}" in page.read_text(encoding="utf-8")
    kept = json.loads((copy.store / "mini" / "report" / "findings.json").read_text())
    assert kept["metric"] == own["metric"], "the study's own report is as it was"
    assert cli.main(["report", "mini", *copy.flags(), "--metric", "acuracy"]) == 2
    assert "'acuracy'; did you mean 'accuracy'?" in capsys.readouterr().err
    assert cli.main(["report", "mini", *copy.flags(), "--metric", other, "--margin", "-1"]) == 2
    assert "--margin must be above 0" in capsys.readouterr().err


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


def test_export_of_a_search(capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path) -> None:
    import optuna

    file = tmp_path / "searches.db"
    found = parsed(capsys, "export", ran.file, *ran.flags(), "--optuna", file)
    assert len(found["studies"]) == 2
    study = optuna.load_study(study_name=found["studies"][0], storage=f"sqlite:///{file}")
    assert len(study.trials) == 2
    assert study.best_trial.values is not None


def test_status_says_why_a_run_stopped(
    capsys: pytest.CaptureFixture[str], ran: Ran, tmp_path: Path
) -> None:
    copy = ran.copy(tmp_path)
    with journal.Journal.open(copy.folder / "journal") as record:
        record.append(journal.ended("stopped", "max_cost 5 is reached: 5.10 at 2 per GPU-hour"))
    said = printed(capsys, "status", copy.file, *copy.flags())
    assert "stopped: max_cost 5 is reached" in said
    assert parsed(capsys, "status", copy.file, *copy.flags())["why"].startswith("max_cost 5")
