"""The cache stays true: after any change, answers are those of a new reading."""

import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pandas as pd
import pytest
from tracked_stories import spec

from ablate.tracking import reader, records, runs, server, sqlite, stretches
from ablate.tracking.cache import Cache, place
from ablate.tracking.client import Client, Point
from ablate.tracking.sqlite import File, Unknown

STUDIES = ("one", "two")


def row(seed: int, score: float, **more: Any) -> dict[str, Any]:
    return {
        "study": "one", "revision": 1, "late": False, "stage": "confirm", "seed": seed,
        "split": "validation", "task": "cola", "backbone": "tiny", "arm": "lora rank=8",
        "label": "LoRA", "method": "lora", "factors": {"rank": 8},
        "nuisances": {"learning_rate": 0.01}, "primary": "mcc", "direction": "higher",
        "directions": {}, "grid": [], "status": "finished", "reason": None, "selected_epoch": 1.0,
        "trainable_parameters": 1024, "seconds": 2.0, "peak_memory_bytes": 10, "device": "cpu",
        "environment": "torch=2.9", "scores": {"validation": {"mcc": score, "accuracy": 0.5}},
        "num_examples": {"validation": 100}, **more,
    }  # fmt: skip


class Store:
    """A real store that other clients write."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = Client(uri)
        self.ids = {
            name: self.client.create_experiment(name, None, {records.STUDY: name})
            for name in STUDIES
        }
        self.seeds = 0

    def add(self, study: str, *, start: int | None = None, trial: str | None = None) -> str:
        """One trial's run; a copy of another run's trial where one is given."""
        self.seeds += 1
        content = row(self.seeds, self.seeds / 100, study=study)
        tags = {
            records.KIND: "trial", records.TRIAL: trial or spec(self.seeds).id,
            records.STALE: "false", **records.row_tags(content),
        }  # fmt: skip
        began = 1_750_000_000_000 + self.seeds if start is None else start
        return self.client.create(self.ids[study], f"seed {self.seeds}", began, tags).id

    def delete(self, run: str) -> None:
        """As MLflow's own page does."""
        self.client._mlflow.delete_run(run)

    def restore(self, run: str) -> None:
        self.client._mlflow.restore_run(run)

    def tell(self, run: str, score: float) -> None:
        """Change what the tags say."""
        content = records.row_of(dict(self.client._mlflow.get_run(run).data.tags))
        assert content is not None
        content = {**content, "scores": {"validation": {"mcc": score}}}
        self.client.log(run, tags=records.row_tags(content))

    def log(self, run: str, score: float) -> None:
        """A metric that somebody logs later."""
        self.client.log(run, points=[Point("validation/mcc", score, 1_900_000_000_000, 0)])

    def retire(self, run: str) -> None:
        self.client.log(run, tags={records.STALE: "true"})


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs, to be copied: its schema takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Client(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Store:
    shutil.copy(empty, tmp_path / "mlflow.db")
    return Store(f"sqlite:///{tmp_path}/mlflow.db")


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    ordered = table.sort_values(["study", "trial_id", "split", "metric"])
    return ordered[sorted(ordered.columns)].reset_index(drop=True)


def through_mlflow(monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    """As for any server: nothing is read from the file."""

    def refuse(self: File, path: Path) -> None:
        raise Unknown("runs")

    monkeypatch.setattr(File, "__init__", refuse)
    monkeypatch.setattr(server, "WHOLE", whole)


def truth(store: Store) -> pd.DataFrame:
    """What MLflow's own search says, with nothing kept."""
    with pytest.MonkeyPatch.context() as patch:
        through_mlflow(patch, 10**9)
        patch.setattr(Cache, "of", lambda uri: Cache(Path(os.devnull) / "nowhere"))
        return in_order(runs(store.uri, list(STUDIES)))


def steps(store: Store, seed: int, length: int) -> list[Callable[[], object]]:
    """A random course of changes, each to be made when it is called."""
    rng = random.Random(seed)
    alive: list[str] = []
    deleted: list[str] = []

    def add() -> None:
        alive.append(store.add(rng.choice(STUDIES), start=rng.choice([None, 5, 10**12])))

    def change(do: Callable[[str], object]) -> Callable[[], object]:
        return lambda: do(rng.choice(alive)) if alive else add()

    def delete() -> None:
        if len(alive) > 1:
            deleted.append(alive.pop(rng.randrange(len(alive))))
            store.delete(deleted[-1])

    def restore() -> None:
        if deleted:
            alive.append(deleted.pop())
            store.restore(alive[-1])

    kinds = [
        add, add, delete, restore,
        change(lambda run: store.tell(run, rng.random())),
        change(lambda run: store.log(run, rng.random())),
        change(store.retire),
    ]  # fmt: skip
    first: list[Callable[[], object]] = [lambda: [add() for _ in range(6)]]
    return first + [rng.choice(kinds) for _ in range(length)]


@pytest.mark.parametrize(("seed", "in_stretches"), [(0, False), (1, True), (2, True)])
def test_any_course_of_changes_is_seen(
    store: Store, seed: int, in_stretches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's reader keeps what it read; another client writes in between."""
    if in_stretches:
        monkeypatch.setattr(stretches, "ROWS", 3)
        monkeypatch.setattr(reader, "_FEW_STUDIES", 0)
    for step in steps(store, seed, 14):
        step()
        expected = truth(store)
        for _ in range(2):
            found = in_order(runs(store.uri, list(STUDIES)))
            pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.parametrize("seed", range(2))
def test_any_course_is_seen_through_mlflow_where_all_is_read(store: Store, seed: int) -> None:
    for step in steps(store, 100 + seed, 8):
        step()
        expected = truth(store)
        with pytest.MonkeyPatch.context() as patch:
            through_mlflow(patch, 400)
            found = in_order(runs(store.uri, list(STUDIES)))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_of_many_runs_on_a_server_changes_by_hand_are_seen_some_calls_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten runs, of which four are read anew each time; deletions and news are seen at once."""
    made = [store.add("one") for _ in range(10)]
    through_mlflow(monkeypatch, 4)
    assert len(runs(store.uri, "one")) == 20
    added = store.add("one", start=int(1e13))
    assert len(runs(store.uri, "one")) == 22
    store.delete(made[3])
    store.delete(added)
    assert len(runs(store.uri, "one")) == 18
    store.restore(made[3])
    assert len(runs(store.uri, "one")) == 20
    store.tell(made[7], 0.77)
    late = store.add("one", start=7)
    seen = [runs(store.uri, "one") for _ in range(4)]
    assert 0.77 in set(seen[-1]["score"])
    assert len(seen[-1]) == 21, "one of them lost its accuracy, and one was added"
    assert late
    store.tell(made[8], 0.88)
    assert 0.88 in set(runs(store.uri, "one", refresh=True)["score"])


def test_what_ablate_sends_late_is_seen_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spooled trial began long ago; it says when it was sent."""
    for _ in range(10):
        store.add("one")
    through_mlflow(monkeypatch, 2)
    runs(store.uri, "one")
    late = store.add("one", start=1_750_000_000_005)
    now = pd.Timestamp.now().timestamp() * 1000
    store.client.log(late, points=[Point(records.SENT, now, round(now), 0)])
    assert len(runs(store.uri, "one")) == 22


def test_of_two_runs_of_a_trial_the_older_stands_until_it_is_deleted(store: Store) -> None:
    first = store.add("one", start=100)
    trial = store.client._mlflow.get_run(first).data.tags[records.TRIAL]
    store.add("one", start=200, trial=trial)
    assert list(runs(store.uri, "one")["score"]) == [0.01, 0.5]
    assert list(runs(store.uri, "one")["score"]) == [0.01, 0.5]
    store.delete(first)
    assert list(runs(store.uri, "one")["score"]) == [0.02, 0.5]
    store.restore(first)
    assert list(runs(store.uri, "one")["score"]) == [0.01, 0.5]


def test_through_mlflow_the_younger_run_takes_its_place_as_well(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_mlflow(monkeypatch, 1)
    first = store.add("one", start=100)
    trial = store.client._mlflow.get_run(first).data.tags[records.TRIAL]
    store.add("one", start=200, trial=trial)
    store.add("one", start=300)
    assert list(runs(store.uri, "one")["score"]) == [0.01, 0.5, 0.03, 0.5]
    store.delete(first)
    assert list(runs(store.uri, "one")["score"]) == [0.02, 0.5, 0.03, 0.5]


def test_nothing_is_read_where_nothing_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("one")
    before = runs(store.uri, "one")
    monkeypatch.setattr(File, "contents", lambda *_: pytest.fail("it was read again"))
    pd.testing.assert_frame_equal(runs(store.uri, "one"), before)
    with pytest.raises(pytest.fail.Exception, match="read again"):
        runs(store.uri, "one", refresh=True)


def test_only_the_studies_that_changed_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "ROWS", 1)
    monkeypatch.setattr(reader, "_FEW_STUDIES", 0)
    made = {name: store.add(name) for name in STUDIES}
    whole = runs(store.uri, list(STUDIES))
    asked: list[list[str]] = []
    contents = File.contents

    def watch(self: File, experiments: Sequence[str]) -> Any:
        asked.append(list(experiments))
        return contents(self, experiments)

    monkeypatch.setattr(File, "contents", watch)
    store.tell(made["two"], 0.77)
    after = runs(store.uri, list(STUDIES))
    assert asked == [[store.ids["two"]]]
    changed = {
        s for s in STUDIES if not whole[whole["study"] == s].equals(after[after["study"] == s])
    }
    assert changed == {"two"}
    store.delete(made["one"])
    assert "one" not in set(runs(store.uri, list(STUDIES))["study"])
    assert asked[1:] == [[store.ids["one"]]]


def test_a_failed_trial_gets_no_score_from_a_metric(store: Store) -> None:
    run = store.add("one")
    content = row(1, 0.5, status="diverged", reason="NaN", scores={})
    store.client.log(run, tags=records.row_tags(content))
    store.log(run, 0.9)
    assert runs(store.uri, "one")["score"].isna().all()


@pytest.mark.parametrize("damage", ["older", "cut", "gone", "other"])
def test_what_cannot_be_used_is_read_again(store: Store, damage: str) -> None:
    store.add("one")
    store.add("two")
    before = runs(store.uri)
    folder = place(store.uri)
    index = folder / "index.json"
    tables = sorted(folder.glob("*.table.parquet"))
    if damage == "older":
        index.write_text(json.dumps({**json.loads(index.read_text()), "format": 0}))
    elif damage == "cut":
        tables[0].write_bytes(tables[0].read_bytes()[:100])
    elif damage == "gone":
        tables[0].unlink()
    else:
        shutil.copy(tables[0], tables[1])
    pd.testing.assert_frame_equal(runs(store.uri), before)


def test_a_store_that_was_made_anew_in_the_same_place(store: Store, empty: Path) -> None:
    store.add("one")
    runs(store.uri, "one")
    shutil.copy(empty, store.uri.removeprefix("sqlite:///"))
    other = Store(store.uri)
    other.seeds = 50
    other.add("one")
    assert set(runs(store.uri, "one")["seed"]) == {51}


def test_several_readers_at_once(store: Store) -> None:
    for _ in range(5):
        store.add("one")
    found: list[int] = []

    def read() -> None:
        found.append(len(runs(store.uri, "one")))

    for _ in range(3):
        store.add("one")
        readers = [threading.Thread(target=read) for _ in range(4)]
        for thread in readers:
            thread.start()
        for thread in readers:
            thread.join()
    assert found == [12] * 4 + [14] * 4 + [16] * 4
    assert not list(place(store.uri).glob(".*")), "nothing half-written is left"


def test_without_a_place_to_keep_it_the_answer_is_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("one")
    monkeypatch.setattr(Cache, "of", lambda uri: Cache(Path(os.devnull) / "nowhere"))
    assert len(runs(store.uri, "one")) == 2


def test_what_is_computed_is_kept_until_the_table_changes(store: Store) -> None:
    asked: list[str] = []

    def count(table: pd.DataFrame) -> pd.DataFrame:
        asked.append(table["study"].iloc[0])
        return pd.DataFrame([{"study": table["study"].iloc[0], "rows": len(table), "x": [1, 2]}])

    store.add("one")
    store.add("two")
    assert list(reader.computed(store.uri, None, count, "count")["rows"]) == [2, 2]
    store.add("two")
    found = reader.computed(store.uri, ["two", "one"], count, "count")
    assert list(zip(found["study"], found["rows"], strict=True)) == [("two", 4), ("one", 2)]
    assert asked == ["one", "two", "two"]


def test_a_servers_cache_is_the_users_and_names_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = place("https://me:word@tracking.example/x")
    assert here.parent == tmp_path / "ablate"
    assert "word" not in str(here)
    assert here != place("https://you:word@tracking.example/x")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")
    assert here != place("https://me:word@tracking.example/x")


def test_a_file_with_other_tables_is_read_through_mlflow(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE runs (a)")
    with pytest.raises(Unknown):
        File(tmp_path / "other.db")


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_a_few_runs_are_looked_up_and_many_are_read_in_a_row(
    store: Store, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_FEW", share)
    for number in range(4):
        run = store.add(STUDIES[number % 2])
        store.log(run, float("nan") if number == 1 else number / 7)
    store.client.create(store.ids["one"], "parent", 1, {records.KIND: "study"})
    found = in_order(runs(store.uri, list(STUDIES)))
    pd.testing.assert_frame_equal(found, truth(store), check_dtype=False)
    assert found["score"].isna().sum() == 1


def test_one_reader_takes_over_from_the_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer MLflow may change its tables."""
    store.add("one")
    before = runs(store.uri, "one")
    with pytest.MonkeyPatch.context() as patch:
        through_mlflow(patch, 1)
        pd.testing.assert_frame_equal(runs(store.uri, "one"), before)
        store.add("one")
        assert len(runs(store.uri, "one")) == 4
    store.add("one")
    assert len(runs(store.uri, "one")) == 6
