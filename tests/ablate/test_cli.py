"""The command line: quick help, and mistakes that are said in words before anything starts."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mini_study import KEYS, write

from ablate import cli

ROOT = Path(cli.__file__).parents[1]
HEAVY = ("torch", "pandas", "yaml", "numpy", "mlflow", "ray", "optuna", "transformers", "pydantic")


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_loads_nothing_heavy() -> None:
    """Of all commands in one process: each import costs a user tenths of a second."""
    script = f"""
import sys
from ablate import cli
for command in [[], *([name] for name in cli.COMMANDS)]:
    try:
        cli.main([*command, "--help"])
    except SystemExit as stop:
        assert stop.code == 0, command
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = python(script)
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout
    assert done.stdout.count("usage: ablate") == len(cli.COMMANDS) + 1


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_each_command_has_help_and_code(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert cli.COMMANDS[command][0].split(",")[0][:20] in text.replace("\n", " ")
    assert (ROOT / "ablate" / "commands" / f"{command}.py").is_file()


def test_without_a_command_the_help_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "exit status" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip()


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a mistake is told as; status 2, on stderr alone, without a traceback."""
    assert cli.main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.strip()
    assert "Traceback" not in printed.err
    return printed.err


TUNE: dict[str, Any] = KEYS["tune"]
RANGE = {"learning_rate": {"low": 1e-2, "high": 1e-3}}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"armz": []}, r"armz.*arms"),
    ({"train": {**KEYS["train"], "learningrate": 1}}, r"learningrate.*learning_rate"),
    ({"arms": [{"method": "lroa"}]}, r"lroa.*lora"),
    ({"arms": [{"method": "lora", "rnak": 4}]}, r"rnak.*rank"),
    ({"tasks": ["tiny_acceptabilty"]}, r"tiny_acceptabilty.*tiny_acceptability"),
    ({"targets": ["qurey"]}, r"qurey.*query"),
    ({"train": {**KEYS["train"], "batch_size": "many"}}, r"batch_size.*many|many.*batch_size"),
    ({"arms": [{"method": "lora", "rank": 2.5}]}, r"rank.*2\.5"),
    ({"tune": {**TUNE, "space": RANGE}}, r"low .*below high"),
    ({"confirm": {"seeds": 0}}, r"at least one seed"),
    ({"confirm": {"seeds": []}}, r"at least one seed"),
    ({"arms": [{"method": "lora"}, {"method": "lora"}], "claims": []}, r"same|twice"),
    ({"baselines": [{"method": "mtlora"}]}, r"baselines.*(no arm|matches)"),
    ({"tasks": ["./nowhere"]}, r"nowhere"),
    ({"study": "../elsewhere"}, r"path"),
    ({"tune": {**TUNE, "sampler": {"name": "tep"}}}, r"tep|tpe"),
    ({"use": ["nothing.py"]}, r"nothing\.py"),
]


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(("change", "match"), MISTAKES, ids=[m[1][:24] for m in MISTAKES])
def test_a_mistake_of_the_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    change: dict[str, Any],
    match: str,
) -> None:
    file = write(tmp_path / "mini.yaml", **change)
    text = said(capsys, command, file, "--store", tmp_path / "store")
    assert re.search(match, text, re.S), text
    assert "mini.yaml" in text
    assert not (tmp_path / "store").exists(), "nothing was started"
    assert not (tmp_path.parent / "elsewhere").exists()


def test_all_mistakes_of_a_file_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mini.yaml"
    file.write_text(
        "study: s\ntasks: [mrcp]\nbackbones: [tiny]\ntargets: [qurey]\n"
        "arms:\n  - {method: lroa}\n  - {method: lora, rnak: 4}\n"
        "train: {steps: 4, batch_size: many}\nconfirm: {seeds: 0}\ncolour: red\n"
    )
    text = said(capsys, "run", file, "--store", tmp_path / "store")
    for word in ("mrcp", "qurey", "lroa", "rnak", "many", "seed", "colour"):
        assert word in text
    places = re.findall(r"mini\.yaml:(\d+)", text)
    assert {2, 4, 6, 7, 8, 9, 10} <= set(map(int, places))


def test_a_file_that_is_no_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mini.yaml"
    for text in ("study: [", "", "- a\n- b\n", "\x00"):
        file.write_text(text)
        assert "mini.yaml" in said(capsys, "run", file, "--store", tmp_path / "store")


def test_a_study_that_is_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no study file" in said(capsys, "run", "none.yaml")
    assert "demo" in said(capsys, "run", "dmeo")
    assert not (tmp_path / "ablate-store").exists()


def test_settings_are_checked_like_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mini.yaml")
    for setting, word in [
        ("confirm.seeds=0", "seed"), ("confrim.seeds=3", "confirm"), ("confirm", "confirm"),
        ("train.steps=[", "train.steps"), ("=3", "="),
    ]:  # fmt: skip
        assert word in said(capsys, "plan", file, "--set", setting)


def a_task(folder: Path, third_line: str) -> Path:
    folder.mkdir()
    (folder / "task.yaml").write_text(
        "task: mine\nkind: classification\nsource: here\ntext: [sentence]\nlabel: label\n"
        "labels: [no, yes]\nmetrics: [accuracy]\nprimary: accuracy\n"
    )
    lines = [json.dumps({"sentence": f"a {n}", "label": n % 2}) for n in range(20)]
    (folder / "validation.jsonl").write_text("\n".join(lines) + "\n")
    lines[2] = third_line
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"sentence": "a"', "JSON"),
        ('{"sentence": "a", "label": 2}', "2"),
        ('{"sentence": "a", "label": "maybe"}', "maybe"),
        ('{"sentence": "a"}', "label"),
        ('{"label": 1}', "sentence"),
    ],
)
def test_a_mistake_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, word: str
) -> None:
    a_task(tmp_path / "mine", line)
    file = write(tmp_path / "mini.yaml", tasks=["./mine"], claims=[])
    for arguments in (("run", file, "--store", tmp_path / "store", "--in-process"),
                      ("check", tmp_path / "mine")):  # fmt: skip
        text = said(capsys, *arguments)
        assert "train.jsonl:3" in text
        assert word in text
    assert not (tmp_path / "store" / "mini").exists()


def test_a_data_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mini.yaml", tasks=["mrpc"], claims=[])
    missing = tmp_path / "none"
    assert str(missing) in said(capsys, "run", file, "--data", missing)
    # A root without the task, and no hub (HF_HUB_OFFLINE): what to put where.
    text = said(capsys, "run", file, "--data", tmp_path, "--store", tmp_path / "s", "--in-process")
    assert "mrpc" in text
    assert "--data" in text
    assert not (tmp_path / "s" / "mini").exists()


def test_targets_that_match_no_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "mini.yaml", targets=["gate"])
    for command in ("plan", "run"):
        assert "gate" in said(capsys, command, file, "--store", tmp_path / "store")
    assert not (tmp_path / "store" / "mini").exists()


def test_a_device_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = write(tmp_path / "mini.yaml")
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    text = said(capsys, "run", file, "--store", tmp_path / "store", "--in-process", "--spool",
                "--tracking-uri", tracking, "--device", "cuda")  # fmt: skip
    assert "cuda" in text
    assert not (tmp_path / "store" / "mini").exists()
    assert "cpu" in said(capsys, "run", file, "--device", "gpu")


def test_a_store_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "mini.yaml")
    text = said(capsys, "run", file, "--store", file / "store")
    assert "cannot be written" in text
    assert str(file / "store") in text


def test_a_tracking_server_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    file = write(tmp_path / "mini.yaml")
    text = said(capsys, "run", file, "--store", tmp_path / "store", "--tracking-uri",
                f"http://user:secret@127.0.0.1:{port}")  # fmt: skip
    assert "does not answer" in text
    assert "--spool" in text
    assert "secret" not in text
    assert not (tmp_path / "store" / "mini").exists()


def test_a_cluster_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Soon: Ray itself would try for minutes."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    file = write(tmp_path / "mini.yaml")
    started = time.monotonic()
    store = tmp_path / "store"
    assert address in said(capsys, "run", file, "--store", store, "--address", address)
    assert time.monotonic() - started < 20
    assert not (store / "mini").exists()


def test_zero_gpus_are_none_at_all() -> None:
    """`--gpus 0` is said, and not the same as silence."""
    from ablate.commands.common import flags

    given = cli.parser().parse_args(["run", "demo", "--gpus", "0"])
    assert flags(given) == {"gpus": 0.0}


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "abc"), ("export", "abc", "--to", "x"), ("reproduce", "abc"),
        ("show", "abc", "--study", "none"), ("report", "demo"), ("report",), ("plan",),
        ("retry", "demo"), ("best", "none"), ("check", "none.py"),
        ("report", "--from", "none.csv"), ("init", "a/b"), ("best", "demo", "--top", "0"),
        ("count", "--backbone", "tiny", "--method", "lroa", "--targets", "qurey"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_nothing_there_is_said_in_words(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    said(capsys, *arguments)


def test_a_broken_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m ablate_peft plan --schema | head -1",
        shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "{"
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_control_c_is_stopped_and_resumable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ablate.commands import list as listing

    def interrupted(given: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "run", interrupted)
    assert cli.main(["list", "methods"]) == 4
    assert "same command continues" in capsys.readouterr().err


def test_the_front_door_refuses_a_foreign_package(tmp_path: Path) -> None:
    """Another distribution is called `ablate` too."""
    (tmp_path / "ablate").mkdir()
    (tmp_path / "ablate" / "__init__.py").write_text("raise SystemExit('foreign')")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import ablate_peft
sys.exit(ablate_peft.main())
"""
    done = python(script)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "remove the other distribution" in done.stderr
