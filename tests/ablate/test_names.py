"""Names that are paths, code or markup: refused, or escaped wherever they appear."""

import csv
import re
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mini_study import keys, write

from ablate import cli
from ablate.study import Study
from ablate.tracking import records
from trials.errors import UserError, printable
from trials.paths import is_plain_name, user_path

IMAGE = "<img src=x onerror=alert(1)>"
EVIL = {
    "parent": "../evil",
    "absolute": "/tmp/evil",
    "windows": "..\\evil",
    "null": "a\0b",
    "long": "a" * 10_000,
    "markup": IMAGE,
    "formula": "=cmd()",
    "option": "--store",
    "terminal": "\x1b[2J",
    "half a character": "\ud800",
    "empty": "",
    "dots": "..",
    "lines": "a\nb",
}
every = pytest.mark.parametrize("name", EVIL.values(), ids=EVIL.keys())


@every
def test_a_study_cannot_have_such_a_name(name: str) -> None:
    with pytest.raises(UserError, match="^study: must"):
        Study.from_dict(keys(study=name))


@every
def test_no_reference_of_a_study_is_a_traceback(name: str, tmp_path: Path) -> None:
    for change in (
        {"tasks": [name]},
        {"tasks": [f"./{name}"]},
        {"backbones": [f"./{name}"]},
        {"backbones": [f"x/{name}@{name}"]},
        {"use": [name]},
        {"extends": name},
        {"arms": [{"method": name}]},
        {"arms": [{"method": "lora", "rank": 4, name: 1}]},
        {"targets": [name]},
        {"baselines": [{"method": name}]},
    ):
        with suppress(UserError):
            Study.from_dict(keys(**change), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["=cmd()", IMAGE, "\x1b[2J", "\ud800", "a/../b", "a@b@c"], ids=ascii
)
def test_a_backbone_of_the_hub_has_a_plain_name(name: str) -> None:
    with pytest.raises(UserError, match=r"backbones\[0\]: must be a hub id such as"):
        Study.from_dict(keys(backbones=[name]))


@pytest.mark.parametrize("name", [v for v in EVIL.values() if "\0" not in v and v], ids=ascii)
def test_no_command_takes_it_for_a_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    for command in (["status", name], ["show", name], ["init", name], ["doctor", name],
                    ["export", name, "--to", "out"]):  # fmt: skip
        assert status(command) == 2
    assert {path.name for path in tmp_path.rglob("*")} <= {"here", "store"}
    assert "\x1b" not in capsys.readouterr().err


def status(command: list[str]) -> object:
    try:
        return cli.main(command)
    except SystemExit as refused:  # Taken for an option.
        return refused.code


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def test_a_report_of_such_names_escapes_them(tmp_path: Path) -> None:
    names = [v for k, v in EVIL.items() if k not in ("half a character", "empty", "long")]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {"task": task, "method": arm, "seed": seed, "metric": "=1+1", "study": IMAGE,
             "backbone": "../../b", "score": rng.normal(), "rank": f"@{arm}"}
            for task in ("../up", IMAGE) for arm in names for seed in range(3)
        ]
    )  # fmt: skip
    file = tmp_path / "table.parquet"
    table.to_parquet(file)
    out = tmp_path / "deep" / "out"
    assert cli.main(["report", "--from", str(file), "--out", str(out)]) == 0
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path != file]
    assert made
    for path in made:
        assert path.is_relative_to(out)
        assert re.fullmatch(r"[a-z][a-z0-9_.-]{0,80}", path.name), path.name
    page = (out / "report.html").read_text(encoding="utf-8")
    assert not {"img", "onerror"} & Tags(page).found
    assert IMAGE not in re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.S)
    for path in out.rglob("*.svg"):
        assert IMAGE not in path.read_text(encoding="utf-8")
    for path in (out / "tables").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as lines:
            for cell in (cell for row in csv.reader(lines) for cell in row):
                is_number = re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", cell)
                assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


def test_an_arm_may_be_called_anything_short_on_one_line(tmp_path: Path) -> None:
    label = "=cmd() ../x <img onerror>"
    arms = [{"method": "lora", "rank": 4, "label": label}]
    study = Study.from_dict(keys(arms=arms, baselines=[], claims=[]), folder=tmp_path)
    assert study.arms[0].label == label
    arms[0]["label"] = "a" * 101
    with pytest.raises(UserError, match=r"arms\[0\].label: must have at most 100 characters"):
        Study.from_dict(keys(arms=arms, baselines=[], claims=[]), folder=tmp_path)


@pytest.mark.parametrize("escape", ["\\0", "\\e[2J", "\\ud800", "\\x9b"])
def test_a_file_with_characters_that_no_name_may_hold(tmp_path: Path, escape: str) -> None:
    file = write(tmp_path / "mini.yaml")
    text = file.read_text(encoding="utf-8").replace("Is it more", f"Is it {escape} more")
    file.write_text(text.replace('"question": "', '"question": "'), encoding="utf-8")
    with pytest.raises(UserError, match=r"mini\.yaml:3: question: "):
        Study.read(file)


@every
def test_what_mlflow_gets_fits_and_is_plain(name: str) -> None:
    made = records.key(name)
    assert re.fullmatch(r"[\w\-. :/]{0,250}", made, re.ASCII)


def test_a_terminal_is_not_steered() -> None:
    assert printable("a\x1b[31m\rb\x9b\u202e\0c") == r"a\x1b[31m\rb\x9b\u202e\x00c"
    assert printable("é\t漢\n·") == "é\t漢\n·"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", "null character"),
        ("x/" + "a" * 256, "more than 255 bytes"),
        ("~nobody-has-this-name/x", "is no user's home folder"),
        ("\ud800", "half a character"),
    ],
    ids=["null", "long", "home", "half"],
)
def test_a_path_that_no_file_can_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        user_path(text)


def test_paths_are_relative_to_their_base(tmp_path: Path) -> None:
    assert user_path("a/b", tmp_path) == tmp_path / "a" / "b"
    assert user_path("/a", tmp_path) == Path("/a")
    assert user_path("~/a", tmp_path) == Path.home() / "a"


def test_a_plain_name_stays_in_its_folder() -> None:
    assert is_plain_name("roberta-base")
    assert is_plain_name("org/name")
    for name in ("", "..", "a/../b", "/a", "a//b", "~a", "a\0", "a" * 256, "./a"):
        assert not is_plain_name(name), name
