"""Journals that grow by hand, and what a store has of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate import journal
from ablate.journal import Entry, Event, State
from ablate.tracking import CellInfo, StudyInfo, Tracker
from ablate.tracking.client import Client, Run
from trials.spec import Progress, Recipe, Splits, Stage, TrialResult, TrialSpec

NOON = 1_750_000_000.0


CELL = CellInfo(
    key="c1",
    task="cola",
    backbone="tiny",
    arm="lora freeze=a+b rank=8",
    label="LoRA r=8",
    method="lora",
    factors={"rank": 8, "freeze": ["a", "b"]},
    nuisances=("learning_rate", "alpha"),
    primary="mcc",
    direction="higher",
    search_split="held_out",
    report_split="validation",
    summary={"mean": 0.4, "sd": None, "n": 1, "num_failed": 1},
    grid={"accuracy": True},
)


def spec(seed: int, stage: Stage = "confirm", **more: Any) -> TrialSpec:
    return TrialSpec(
        task="cola",
        backbone="tiny",
        method="lora",
        hyperparameters={"rank": 8, "alpha": 16.0},
        targets=("query", "value"),
        recipe=Recipe(epochs=1.0, learning_rate=0.002),
        splits=Splits(),
        seed=seed,
        stage=stage,
        data_digest="d" * 64,
        backbone_digest="b" * 64,
        **more,
    )


def progress(step: int, primary: float | None = 0.5, seconds: float | None = None) -> Progress:
    return Progress(
        step=step,
        num_steps=40,
        epoch=step / 40,
        train_loss=1.0 / (1 + step),
        scores={"mcc": float("nan") if primary is None else primary},
        primary=0.0,
        seconds=step / 10 if seconds is None else seconds,
        extra={"rank/encoder.0": 8.0},
    )


def done(score: float = 0.4) -> TrialResult:
    return TrialResult(
        status="finished",
        scores={"held_out": {"mcc": 0.5}, "validation": {"mcc": score, "accuracy": 0.75}},
        num_examples={"held_out": 50, "validation": 100},
        selected_step=20,
        selected_epoch=0.5,
        adapter_parameters=1024,
        head_parameters=66,
        seconds=4.5,
        peak_memory_bytes=5_000_000,
        device="cpu",
        environment={"torch": "2.9", "python": "3.11", "node": "n1"},
    )


def crashed() -> TrialResult:
    return TrialResult(status="crashed", reason="a wheel came off", device="cpu", seconds=1.0)


class Story:
    """A journal's state that grows by entries, a second apart, and its study."""

    def __init__(self, name: str, folder: Path) -> None:
        self.state = State()
        self.cells = [CELL]
        self.info = StudyInfo(
            name=name,
            question="Does it hold?",
            revision=1,
            config={"study": name},
            folder=folder,
        )
        self.tell(
            journal.revised(
                revision=1, study={}, digest="d", added=(), after_results=False, plan_counts={},
                contents={},
            )
        )  # fmt: skip

    def tell(self, *entries: Entry) -> None:
        for entry in entries:
            seq = self.state.last_seq + 1
            self.state.apply(Event(seq, NOON + seq, entry.kind, entry.data))

    def plan(self, *specs: TrialSpec) -> None:
        for item in specs:
            self.tell(journal.planned(item.id, item.to_json(), cell="c1", revision=1, rank=1))

    def begin(self, item: TrialSpec, *steps: int) -> None:
        self.tell(journal.started(item.id, self.state.trials[item.id].attempts + 1))
        self.tell(*(journal.reported(item.id, progress(step)) for step in steps))

    def finish(self, item: TrialSpec, result: TrialResult | None = None) -> None:
        self.tell(journal.finished(item.id, result or done()))

    def run(
        self,
        specs: Iterable[TrialSpec],
        cell: str,
        score: Callable[[int, str], TrialResult],
        *,
        ask: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Plan, begin and finish trials of a cell."""
        for item in specs:
            content = item.to_json()
            entry = journal.planned(item.id, content, cell=cell, revision=1, ask=ask, rank=rank)
            self.tell(entry)
            self.begin(item, 10)
            self.finish(item, score(item.seed, item.stage))

    def sync(self, tracker: Tracker) -> None:
        tracker.sync(self.state, self.cells, self.info)

    @property
    def ids(self) -> list[str]:
        return list(self.state.trials)


def track(client: Client, story: Story) -> Tracker:
    return Tracker(client.uri, story.info.name, artifacts=None, client=client)


def all_runs(client: Client, name: str) -> tuple[Run, ...]:
    found = client.experiment(name)
    assert found is not None
    return client.runs([found.id])


def trial_runs(client: Client, story: Story) -> dict[str, Run]:
    found = [run for run in all_runs(client, story.info.name) if "ablate.trial" in run.tags]
    assert len({run.tags["ablate.trial"] for run in found}) == len(found), "a trial has two runs"
    return {run.tags["ablate.trial"]: run for run in found}


def history(client: Client, run: Run, key: str) -> list[tuple[int, float, int]]:
    found = client._mlflow.get_metric_history(run.id, key)
    return sorted((m.step, m.value, m.timestamp) for m in found)


def counted(client: Client, at: Callable[[int, str], None]) -> Any:
    """A client that says how many requests it has carried out."""
    return Counted(client, at)


class Counted:
    """Passes requests on; `at` is called after each with its number and name."""

    def __init__(self, client: Client, at: Callable[[int, str], None]) -> None:
        self._client = client
        self._at = at
        self.num = 0
        self.names: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            self.num += 1
            self.names[name] += 1
            self._at(self.num, name)
            return result

        return call


def eventful(name: str, folder: Path) -> Story:
    """A finished, a failed and a pruned trial, and one that was retried."""
    story = Story(name, folder)
    good, bad, again = spec(1), spec(2), spec(3)
    search = spec(0, "search")
    story.plan(good, bad, again)
    values = {"learning_rate": 0.002, "alpha": 16.0}
    story.tell(
        journal.asked("c1", 0, values, [search.id]),
        journal.planned(search.id, search.to_json(), cell="c1", revision=1, ask=0),
    )
    story.begin(good, 10, 20)
    story.finish(good)
    story.begin(bad, 10)
    story.finish(bad, crashed())
    story.begin(again, 10)
    story.finish(again, crashed())
    story.tell(journal.retried(again.id))
    story.begin(again, 10, 20)
    story.finish(again)
    story.begin(search, 10)
    story.finish(search, TrialResult(status="pruned", reason="median", seconds=2.0))
    (folder / "trials" / good.id).mkdir(parents=True, exist_ok=True)
    (folder / "trials" / good.id / "predictions.gz").write_text("x")
    (folder / "trials" / bad.id / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "trials" / bad.id / "logs" / "traceback.txt").write_text("x")

    def keep(identity: str) -> list[Path]:
        return sorted(p for p in (folder / "trials" / identity).rglob("*") if p.is_file())

    story.info = replace(story.info, keep_files=keep)
    return story


def long_story(folder: Path) -> Story:
    story = Story("killed", folder)
    specs = [spec(seed) for seed in range(60)]
    story.plan(*specs)
    for item in specs:
        story.begin(item, 10, 20, 30)
        story.finish(item)
    return story
