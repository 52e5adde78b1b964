"""Two arms, two asks, two seeds, four steps: seconds on a laptop, every stage of a study."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate import journal
from ablate.journal import State

KEYS: dict[str, Any] = {
    "study": "mini",
    "question": "Is it more than noise?",
    "tasks": ["tiny_acceptability"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [{"method": "lora", "rank": 4}, {"method": "tlora", "rank": 4}],
    "baselines": [{"method": "lora"}],
    "train": {
        "steps": 4, "batch_size": 8, "max_length": 24, "evaluate": {"every": 2},
    },
    "tune": {
        "budget": {"trials": 2},
        "parallel": 1,
        "space": {"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
    },
    "confirm": {"seeds": 2},
    "keep": "all",
    "claims": [
        {"id": "c", "kind": "better", "treatment": {"method": "lora"},
         "control": {"method": "tlora"}, "task": "tiny_acceptability"}
    ],
}  # fmt: skip


def keys(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(KEYS)), **changes}


def write(path: Path, **changes: Any) -> Path:
    """As a file; JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(keys(**changes), indent=1), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Ran:
    """A store with the mini study in it.

    Attributes:
        file: the study's file.
        store: where it ran.
        outcome: what the runner said.
    """

    file: Path
    store: Path
    outcome: str

    @property
    def folder(self) -> Path:
        return self.store / "mini"

    def state(self) -> State:
        return state(self.store)

    def copy(self, to: Path) -> "Ran":
        """One that a test may change."""
        shutil.copytree(self.store, to / "store")
        return Ran(self.file, to / "store", self.outcome)

    def flags(self) -> list[str]:
        return ["--store", str(self.store)]


def state(store: Path, study: str = "mini") -> State:
    return journal.fold(journal.read(store / study / "journal"))


def run_mini(place: Path, limit: int | None = None, **changes: Any) -> Ran:
    """Run it in this process, without MLflow."""
    from ablate import api
    from ablate.runner import Options

    file = write(place / "mini.yaml", **changes)
    study = api.load(file, store=str(place / "store"), device="cpu")
    outcome = study.run(Options(in_process=True, tracking=False, limit=limit))
    return Ran(file, place / "store", outcome)


def searched(state: State) -> Any:
    return {
        cell: [(ask.number, dict(ask.values), ask.trials) for ask in asks]
        for cell, asks in state.asks.items()
    }


def scores(state: State) -> dict[str, Any]:
    """What each trial came to, bit for bit."""
    return {
        t.id: (t.status, (t.result_json or {}).get("scores"), (t.result_json or {}).get("reason"))
        for t in state.trials.values()
    }
