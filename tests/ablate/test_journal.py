"""The journal: whatever a crash or a bad disk leaves, it is recovered or refused, never wrong."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate import journal
from ablate.journal import Entry, Event, Journal, State, fold, read
from trials.errors import UserError
from trials.spec import (
    Progress,
    Recipe,
    Splits,
    Stage,
    Status,
    TrialResult,
    TrialSpec,
    canonical_json,
    digest,
)

ROOT = Path(journal.__file__).parents[1]


def spec(seed: int, stage: Stage = "search") -> TrialSpec:
    return TrialSpec(
        task="cola",
        backbone="tiny",
        method="lora",
        hyperparameters={"rank": 8},
        targets=("query", "value"),
        recipe=Recipe(epochs=1.0),
        splits=Splits(),
        seed=seed,
        stage=stage,
    )


def progress(step: int, primary: float = 0.5) -> Progress:
    return Progress(
        step=step,
        num_steps=10,
        epoch=step / 10,
        train_loss=0.7,
        scores={"mcc": primary},
        primary=primary,
        seconds=float(step),
    )


def result(status: Status = "finished") -> TrialResult:
    return TrialResult(status=status, scores={"held_out": {"mcc": 0.5}}, seconds=3.0)


def plan(seed: int, **more: object) -> Entry:
    trial = spec(seed)
    return journal.planned(trial.id, trial.to_json(), cell="c", revision=1, **more)  # type: ignore[arg-type]


A, B, C = (spec(seed).id for seed in (1, 2, 3))


def story() -> tuple[Entry, ...]:
    """A little of everything."""
    return (
        journal.revised(
            revision=1,
            study={"name": "é → 漢"},
            digest="d",
            added=("two arms",),
            after_results=False,
            plan_counts={"search": 2},
            contents={"cells": ["c"], "seeds": [0], "claims": []},
        ),
        journal.asked("c", 0, {"learning_rate": 1e-3}, (A, B)),
        plan(1, ask=0),
        plan(2, ask=0),
        journal.started(A, 1),
        journal.reported(A, progress(5)),
        journal.started(B, 1),
        journal.finished(B, result("crashed")),
        journal.reported(A, progress(10)),
        journal.retried(B),
        journal.started(B, 2),
        journal.finished(A, result()),
        journal.finished(B, result("pruned")),
        journal.chosen("c", 1, 0, {"learning_rate": 1e-3}),
        plan(3, rank=1, late=True),
        journal.ended("all done"),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store" / "demo" / "journal"


def write(folder: Path, entries: tuple[Entry, ...]) -> None:
    with Journal.open(folder) as writer:
        writer.extend(entries)


def first_segment(folder: Path) -> Path:
    return folder / "000001.jsonl"


# ---------------------------------------------------------------- what it says


def test_a_line_is_one_object_with_the_check_of_the_rest(folder: Path) -> None:
    write(folder, story())
    for number, line in enumerate(first_segment(folder).read_text().splitlines(), start=1):
        value = json.loads(line)
        check = value.pop("check")
        assert check == digest(value)[:16]
        assert line.startswith(canonical_json(value)[:-1])
        assert value["seq"] == number
        assert isinstance(value["time"], float)
        assert isinstance(value["event"], str)


def test_the_story_folds_to_its_state(folder: Path) -> None:
    write(folder, story())
    state = fold(read(folder))
    assert list(state.trials) == [A, B, C]
    first = state.trials[A]
    assert first.spec == spec(1)
    assert first.spec.id == A
    assert (first.cell, first.ask, first.rank, first.revision, first.late) == (
        "c",
        0,
        None,
        1,
        False,
    )
    assert (first.status, first.attempts, first.final) == ("finished", 1, True)
    assert first.progress == (progress(5), progress(10))
    assert first.result == result()
    assert first.started_at is not None
    assert first.finished_at is not None
    assert first.finished_at >= first.started_at
    assert (state.trials[B].status, state.trials[B].attempts) == ("pruned", 2)
    late = state.trials[C]
    assert (late.status, late.rank, late.late, late.result) == ("waiting", 1, True, None)
    assert state.asks == {"c": [journal.Ask(0, {"learning_rate": 1e-3}, (A, B))]}
    assert state.chosen["c"][1].ask == 0
    assert state.revisions[0].study == {"name": "é → 漢"}
    assert state.revisions[0].added == ("two arms",)
    assert (state.ended, state.last_seq) == ("all done", len(story()))


def test_a_resumed_trial_reports_a_step_again_and_the_latest_stays(folder: Path) -> None:
    entries = (
        plan(1),
        journal.started(A, 1),
        journal.reported(A, progress(5)),
        journal.reported(A, progress(10)),
        journal.started(A, 2),
        journal.reported(A, progress(5, 0.9)),
    )
    write(folder, entries)
    state = fold(read(folder))
    assert state.trials[A].progress == (progress(5, 0.9), progress(10))
    assert [trial.id for trial in state.open_trials()] == [A]


def test_a_report_after_the_end_changes_nothing(folder: Path) -> None:
    entries = (plan(1), journal.started(A, 1), journal.finished(A, result("pruned")))
    write(folder, (*entries, journal.reported(A, progress(5))))
    assert fold(read(folder)).trials[A].progress == ()


def test_a_trial_that_starts_here_is_this_studys_own(folder: Path) -> None:
    """Its driver was killed while it took it over, and the other study has gone since."""
    write(folder, (plan(1), journal.reused(A, "other")))
    assert fold(read(folder)).trials[A].reused_from == "other"
    write(folder, (journal.started(A, 1),))
    assert fold(read(folder)).trials[A].reused_from is None


def test_a_trial_planned_again_keeps_what_it_has(folder: Path) -> None:
    write(folder, (plan(1, ask=0), journal.started(A, 1), plan(1, ask=1)))
    trial = fold(read(folder)).trials[A]
    assert (trial.ask, trial.status) == (0, "running")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (journal.finished(A, result()), "ends, but is finished"),
        (journal.started(A, 2), "starts, but is finished"),
        (journal.retried(A), "did not fail"),
        (journal.retried(B), "did not fail"),
        (journal.retried(C), "did not fail"),
        (journal.started("f" * 64, 1), "never planned"),
        (journal.asked("c", 3, {}, ()), "ask 3 where 1 was due"),
        (Entry("paused", {}), "unknown event 'paused'"),
        (Entry("chosen", {"cell": "c"}), "incomplete"),
        (Entry("ended", {"reason": "x", "seq": 3}), "reserved"),
        (Entry("ended", {"reason": float("nan")}), "JSON"),
    ],
)
def test_what_contradicts_the_state_is_refused_and_not_written(
    folder: Path, entry: Entry, message: str
) -> None:
    with Journal.open(folder) as writer:
        writer.extend(story())
        with pytest.raises(ValueError, match=message):
            writer.append(entry)
        writer.append(journal.ended("as before"))
        assert writer.state == fold(read(folder))
    assert len(read(folder)) == len(story()) + 1


def test_events_out_of_order_are_refused(folder: Path) -> None:
    write(folder, story())
    events = read(folder)
    with pytest.raises(ValueError, match="event 1 follows event 2"):
        fold((events[1], events[0]))


@given(cut=st.integers(0, len(story())))
def test_the_fold_is_the_same_whole_or_step_by_step(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("store") / "demo" / "journal"
    with Journal.open(folder) as writer:
        for entry in story():
            writer.append(entry)
        live = writer.state
    events = read(folder)
    state = fold(events[:cut])
    for event in events[cut:]:
        state.apply(event)
    assert state == fold(events) == fold(events) == live


def test_half_characters_of_the_outside_world_are_survived(folder: Path) -> None:
    with Journal.open(folder) as writer:
        writer.append(journal.ended("file \udcff.txt"))
        assert writer.state == fold(read(folder))


def test_fifty_thousand_trials_fold_in_time() -> None:
    plain, done = spec(1).to_json(), result().to_json()
    entries = []
    for number in range(50_000):
        name = f"{number:064x}"
        entries += [
            journal.planned(name, plain, cell="c", revision=1),
            journal.started(name, 1),
            Entry("finished", {"trial": name, "result": done}),
        ]
    events = [Event(n, 0.0, e.kind, e.data) for n, e in enumerate(entries, start=1)]
    begin = time.perf_counter()
    assert len(fold(events).trials) == 50_000
    assert time.perf_counter() - begin < 10


# ---------------------------------------------------------------- segments


def test_each_writer_starts_a_segment_and_numbers_run_on(folder: Path) -> None:
    write(folder, story()[:4])
    write(folder, story()[4:8])
    write(folder, ())
    assert sorted(p.name for p in folder.glob("*.jsonl")) == ["000001.jsonl", "000002.jsonl"]
    assert [event.seq for event in read(folder)] == list(range(1, 9))


def test_a_segment_that_grew_is_followed_by_another(folder: Path) -> None:
    with Journal.open(folder, segment_bytes=500) as writer:
        writer.extend(story())
        state = writer.state
    assert len(list(folder.glob("*.jsonl"))) > 4
    assert fold(read(folder)) == state


def test_a_missing_segment_is_noticed(folder: Path) -> None:
    for number in range(3):
        write(folder, (journal.ended(str(number)),))
    (folder / "000002.jsonl").unlink()
    with pytest.raises(UserError, match=r"000003\.jsonl:1: damaged: event 3 where 2 was due"):
        read(folder)


def test_no_folder_is_an_empty_journal(folder: Path) -> None:
    assert read(folder) == ()
    assert fold(()) == State()


# ---------------------------------------------------------------- damage


def written(root: Path) -> tuple[Path, bytes, tuple[Event, ...]]:
    folder = root / "store" / "demo" / "journal"
    write(folder, story())
    return folder, first_segment(folder).read_bytes(), read(folder)


def test_a_journal_cut_anywhere_in_its_last_lines_recovers(tmp_path: Path) -> None:
    folder, data, events = written(tmp_path)
    lines = data.splitlines(keepends=True)
    start = len(data) - len(lines[-1]) - len(lines[-2])
    for offset in range(start, len(data) + 1):
        first_segment(folder).write_bytes(data[:offset])
        whole = data[:offset].count(b"\n")
        assert read(folder) == events[:whole]


def test_a_torn_line_stays_dropped_when_the_next_writer_goes_on(tmp_path: Path) -> None:
    folder, data, events = written(tmp_path)
    lines = data.splitlines(keepends=True)
    for offset in range(len(data) - len(lines[-1]), len(data), 7):
        first_segment(folder).write_bytes(data[:offset])
        write(folder, (journal.ended("again"),))
        assert [e.seq for e in read(folder)] == list(range(1, len(events) + 1))
        assert fold(read(folder)).ended == "again"
        (folder / "000002.jsonl").unlink()


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_a_flipped_byte_is_detected_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder, text, events = FLIPS.get(tmp_path_factory)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda b: b != text[place]))
    first_segment(folder).write_bytes(text[:place] + bytes([other]) + text[place + 1 :])
    with pytest.raises(UserError, match=r"000001\.jsonl:\d+: damaged"):
        read(folder)
    first_segment(folder).write_bytes(text)
    assert read(folder) == events


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_cut_and_flipped_it_is_a_prefix_or_refused_by_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Never an event that was not written, nor one out of its place."""
    folder, text, events = FLIPS.get(tmp_path_factory)
    cut = data.draw(st.integers(0, len(text)))
    changed = bytearray(text[:cut])
    for _ in range(data.draw(st.integers(0, 3)) if cut else 0):
        changed[data.draw(st.integers(0, cut - 1))] = data.draw(st.integers(0, 255))
    first_segment(folder).write_bytes(changed)
    try:
        found = read(folder)
    except UserError as error:
        first = error.problems[0]
        assert first.file == str(first_segment(folder))
        assert first.line is not None
        assert first.message.startswith("damaged: ")
    else:
        assert found == events[: len(found)]
        assert journal.load(folder) == fold(found)
    first_segment(folder).write_bytes(text)


class _Flips:
    """One journal for all examples of the property above."""

    def __init__(self) -> None:
        self.made: tuple[Path, bytes, tuple[Event, ...]] | None = None

    def get(self, factory: pytest.TempPathFactory) -> tuple[Path, bytes, tuple[Event, ...]]:
        if self.made is None:
            self.made = written(factory.mktemp("flips"))
        return self.made


FLIPS = _Flips()


def test_every_newline_and_brace_flipped_is_detected(tmp_path: Path) -> None:
    folder, text, _ = written(tmp_path)
    for place in (i for i, byte in enumerate(text) if byte in b"\n}"):
        for other in b" \n}x\0":
            if other != text[place]:
                changed = text[:place] + bytes([other]) + text[place + 1 :]
                first_segment(folder).write_bytes(changed)
                with pytest.raises(UserError, match="damaged"):
                    read(folder)


def test_a_damaged_journal_is_not_written_and_gives_its_lease_back(tmp_path: Path) -> None:
    folder, text, _ = written(tmp_path)
    first_segment(folder).write_bytes(text.replace(b"crashed", b"crushed"))
    with pytest.raises(UserError, match=r"000001\.jsonl:8: damaged: the line does not match"):
        Journal.open(folder)
    first_segment(folder).write_bytes(text)
    Journal.open(folder).close()


def test_lines_swapped_or_repeated_are_detected(tmp_path: Path) -> None:
    folder, text, _ = written(tmp_path)
    lines = text.splitlines(keepends=True)
    for changed in (
        [lines[1], lines[0], *lines[2:]],
        [lines[0], *lines],
        [lines[0], *lines[2:]],
    ):
        first_segment(folder).write_bytes(b"".join(changed))
        with pytest.raises(UserError, match="was due"):
            read(folder)


def test_a_journal_that_contradicts_itself_is_refused(folder: Path) -> None:
    text = b"".join(
        journal._sealed(journal._body({**entry.data, "seq": seq, "time": 0.0, "event": entry.kind}))
        + b"\n"
        for seq, entry in enumerate((journal.started(A, 1),), start=1)
    )
    folder.mkdir(parents=True)
    first_segment(folder).write_bytes(text)
    with pytest.raises(UserError, match=r"000001\.jsonl:1: damaged: .* never planned"):
        Journal.open(folder)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'"x"', b"[" * 5000 + b"]" * 5000, b'{"seq":true,"time":0,"event":"x"}',
             b'{"seq":1,"time":"x","event":"x"}', b'{"seq":1,"time":0,"event":[]}'],
    ids=range(7),
)  # fmt: skip
def test_a_line_that_holds_no_event_is_refused_although_its_check_is_right(
    folder: Path, body: bytes
) -> None:
    folder.mkdir(parents=True)
    first_segment(folder).write_bytes(journal._sealed(body) + b"\n")
    with pytest.raises(UserError, match=r"000001\.jsonl:1: damaged"):
        journal.load(folder)


# ---------------------------------------------------------------- one writer, many faults

WRITER = """
import sys
from pathlib import Path
from ablate import journal
writer = journal.Journal.open(Path(sys.argv[1]), segment_bytes=20_000)
print("open", flush=True)
number = 0
while True:
    name = f"{number:064x}"
    writer.append(journal.planned(name, {"x": "y" * 300}, cell="c", revision=1))
    writer.append(journal.started(name, 1))
    number += 1
"""


@contextmanager
def other_writer(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_refused_while_the_first_lives(folder: Path) -> None:
    with other_writer(folder) as process:
        expected = rf"study 'demo' is being run by process {process.pid} on host \S+ since \d{{4}}-"
        with pytest.raises(UserError, match=expected):
            Journal.open(folder)
        read(folder)
    Journal.open(folder).close()


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.25])
def test_a_killed_writer_leaves_a_prefix_and_a_free_lease(folder: Path, seconds: float) -> None:
    with other_writer(folder) as process:
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    left = read(folder)
    assert [event.seq for event in left] == list(range(1, len(left) + 1))
    assert len(left) > 0
    with Journal.open(folder) as writer:
        assert writer.state == fold(left)
        assert len(writer.state.open_trials()) == len(left) // 2
        writer.append(journal.ended("mended"))
    assert read(folder)[: len(left)] == left
    assert fold(read(folder)).ended == "mended"


def test_the_lease_is_given_back_and_says_nothing_stale(folder: Path) -> None:
    with Journal.open(folder) as writer:
        holder = json.loads((folder / "lease.json").read_text())
        assert holder["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"process {os.getpid()}"):
            Journal.open(folder)
        (folder / "lease.json").unlink()
        with pytest.raises(UserError, match="is being run by another process"):
            Journal.open(folder)
    writer.close()
    assert not (folder / "lease.json").exists()
    with pytest.raises(ValueError, match="closed"):
        writer.append(journal.ended("late"))


def test_a_store_that_is_a_file_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(UserError, match=r"store \S+store cannot be written: Not a directory"):
        Journal.open(tmp_path / "store" / "demo" / "journal")


def refuse(error: int) -> Callable[..., None]:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return refusing


def test_a_store_without_permission_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.journal.os.open", refuse(13))
    with pytest.raises(UserError, match=r"store \S+store cannot be written: Permission denied"):
        Journal.open(folder)


@pytest.mark.parametrize("function", ["_write_all", "os.fsync"])
def test_a_full_disk_closes_the_journal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    writer = Journal.open(folder)
    writer.append(plan(1))
    with monkeypatch.context() as patch:
        patch.setattr(f"ablate.journal.{function}", refuse(28))
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            writer.append(plan(2))
    with pytest.raises(UserError, match="No space left on device"):
        writer.append(plan(3))
    with Journal.open(folder) as again:
        assert A in again.state.trials


def test_only_starts_and_reports_do_not_wait_for_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with Journal.open(folder) as writer:
        writer.append(plan(1))
        monkeypatch.setattr("ablate.journal.os.fsync", synced.append)
        writer.extend((journal.started(A, 1), journal.reported(A, progress(1))))
        assert len(synced) == 0
        writer.append(journal.finished(A, result()))
        assert len(synced) == 1
        writer.extend((plan(2), plan(3), journal.ended("x")))
        assert len(synced) == 2


def test_a_segment_is_on_disk_before_the_next_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could take its end and leave what follows."""
    write(folder, (plan(1),))
    with Journal.open(folder, segment_bytes=1) as writer:
        synced: list[int] = []
        monkeypatch.setattr("ablate.journal.os.fsync", synced.append)
        writer.append(journal.started(A, 1))
        # The folder for the new name, the file for its contents.
        assert len(synced) == 2


def test_short_writes_are_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data[:3]
            return len(data[:3])

    file = Slow()
    journal._write_all(file, b"one whole line\n")  # type: ignore[arg-type]
    assert file.data == b"one whole line\n"


def test_the_lock_is_the_kernels(folder: Path) -> None:
    with (
        Journal.open(folder),
        (folder / "lease").open("rb") as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
