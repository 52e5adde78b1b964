"""The log of a study: lines that a program reads, shown so that a person can."""

import json
from pathlib import Path

import pytest

from ablate import log
from ablate.log import Log


def test_a_line_is_json_with_its_time_and_level(tmp_path: Path) -> None:
    say = Log(tmp_path / "log.jsonl")
    say("run_began", host="h")
    say("trial_ended", "error", trial="abc", reason="a = b", seconds=None)
    first, second = log.read(tmp_path / "log.jsonl")
    assert (first["level"], first["event"], first["host"]) == ("info", "run_began", "h")
    assert first["time"].endswith("+00:00")
    assert second["reason"] == "a = b"
    assert second["seconds"] is None
    raw = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in raw] == [first, second]


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"event": "a"}\n\xff\n[1]\n\n{"event": "b"}\n{"event": "to')
    assert [line["event"] for line in log.read(file)] == ["a", "b"]
    assert list(log.read(tmp_path / "none")) == []


def test_it_follows_what_is_written_meanwhile_and_into_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    say = Log(file)
    lines = log.read(file, follow=True, pause=0.001)
    say("one")
    assert next(lines)["event"] == "one"
    with file.open("ab") as half:
        half.write(b'{"event": "tw')
    say_rest = b'o"}\n'
    with file.open("ab") as rest:
        rest.write(say_rest)
    assert next(lines)["event"] == "two"
    file.unlink()
    say("new")
    assert next(lines)["event"] == "new"


def test_a_log_that_has_grown_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 300)
    say = Log(tmp_path / "log.jsonl")
    for number in range(20):
        say("tick", number=number)
    assert all(path.stat().st_size < 500 for path in tmp_path.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "log.1.jsonl"}
    *_, last = log.read(tmp_path / "log.jsonl")
    assert last["number"] == 19


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Log(tmp_path / "file" / "log.jsonl")("run_began")
    Log(tmp_path)("run_began")


def test_a_line_for_people_holds_no_control_characters() -> None:
    line = {"time": "2026-03-01T12:00:00+00:00", "level": "error", "event": "trial_ended",
            "reason": "\x1b[31mred\nnext = 1", "seconds": None, "steps": 3}  # fmt: skip
    text = log.shown(line)
    assert text.isprintable()
    assert "error   trial ended" in text
    assert 'reason="' in text, "what could be taken for another field is quoted"
    assert "steps=3" in text
    assert "seconds" not in text
    assert "None" in log.shown({})
