"""The record of what a run does now: written whole, read whatever is there."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ablate import pulse
from ablate.pulse import EngineState, Pulse

NOW = Pulse(
    5.0, 7, 3,
    (EngineState(name="a", node="10.0.0.1", device="gpu 0", trials=3, places=8,
                 steps_per_second=12.5, memory_bytes=2, memory_total_bytes=9),
     EngineState(name="b")),
)  # fmt: skip


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    pulse.write(tmp_path / "pulse.json", NOW)
    assert pulse.read(tmp_path / "pulse.json") == NOW


def test_a_newer_version_may_say_more(tmp_path: Path) -> None:
    value = asdict(NOW) | {"weather": "fine"}
    value["engines"] = [engine | {"colour": "red"} for engine in value["engines"]]
    (tmp_path / "p").write_text(json.dumps(value))
    assert pulse.read(tmp_path / "p") == NOW


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"engines": [3]}', '{"engines": []}'])
def test_what_is_no_pulse_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "p").write_text(text)
    assert pulse.read(tmp_path / "p") is None
    assert pulse.read(tmp_path / "none") is None


def test_a_store_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pulse.write(tmp_path / "file" / "pulse.json", NOW)
