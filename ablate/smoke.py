"""A smoke run: two steps, evaluation, saving and export of every cell, before what is long."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from ablate import exporting, resolve
from ablate.plan import Cell
from ablate.profile import Profile
from ablate.resolve import Resolved
from ablate.store import StudyFolder, write_text
from trials.errors import UserError
from trials.places import Assignment
from trials.spec import Evaluate, TrialSpec

STEPS = 2


@dataclass(frozen=True)
class Smoke:
    """What became of one cell.

    Attributes:
        cell: its key.
        name: how messages call it.
        status: as of a trial.
        reason: why, where it did not finish.
        export: what it was exported as, or why it cannot be.
        seconds_per_step: of one step with one evaluation of the search split; None where it
            failed. A trial that evaluates less often takes less.
        peak_memory_bytes: largest memory held.
    """

    cell: str
    name: str
    status: str
    reason: str | None
    export: str | None
    seconds_per_step: float | None
    peak_memory_bytes: int | None


def smoke(
    resolved: Resolved,
    profile: Profile,
    folder: StudyFolder,
    watch: Callable[[Smoke], None] = lambda made: None,
) -> list[Smoke]:
    """Train every cell for two steps in this process, without a trace in the journal.

    The recipe's own values stand for what is tuned; only the split that chooses is read. A cell
    that starts from another one starts from what that has come to in its two steps.

    Args:
        resolved: the study's plan and facts.
        profile: device and threads.
        folder: the study's folder, which keeps what was measured for predictions.
        watch: called with each cell as it ends.
    """
    made: list[Smoke] = []
    trained: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ablate-smoke-") as place:
        for cell in resolved.plan.in_order:
            if cell.source is not None and cell.source not in trained:
                reason = f"{resolved.plan.cell(cell.source).name}, which it starts from, failed"
                made.append(Smoke(cell.key, cell.name, "crashed", reason, None, None, None))
            else:
                source = None if cell.source is None else trained[cell.source]
                spec = _spec(cell).with_source(source)
                made.append(_cell(resolved, profile, cell, spec, Path(place)))
                if made[-1].status == "finished":
                    trained[cell.key] = spec.id
            watch(made[-1])
    write_text(folder.smoke, json.dumps([asdict(item) for item in made], indent=1) + "\n")
    return made


def _spec(cell: Cell) -> TrialSpec:
    recipe = replace(
        cell.template.recipe,
        steps=STEPS,
        epochs=None,
        evaluate=Evaluate(every=1, select=cell.template.recipe.evaluate.select),
    )
    return replace(cell.template, recipe=recipe).with_seed(0, "search")


def _cell(resolved: Resolved, profile: Profile, cell: Cell, spec: TrialSpec, place: Path) -> Smoke:
    from trials.training.engine import train

    assignment = resolve.assignment(
        resolved, StudyFolder(place), profile.device, profile.threads, spec
    )
    events = list(train(assignment))
    result = events[-1].result
    reports = [event.progress.seconds for event in events if event.progress is not None]
    # The first step pays for what is loaded and compiled once.
    steps = [after - before for before, after in pairwise(reports)]
    exported = None
    if result.status == "finished":
        exported = _exported(assignment, result.files, place / "export" / spec.id)
    return Smoke(
        cell.key, cell.name, result.status, result.reason, exported,
        steps[-1] if steps else None, result.peak_memory_bytes,
    )  # fmt: skip


def _exported(assignment: Assignment, files: Mapping[str, str], to: Path) -> str:
    try:
        exporting.export(assignment, files, to)
    except UserError as error:
        return str(error)
    return "peft LoRA"


def read(folder: StudyFolder) -> Iterator[tuple[str, float]]:
    """Cell key and seconds of a step, of the last smoke run; nothing where there was none."""
    try:
        items = json.loads(folder.smoke.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for item in items:
        if item["seconds_per_step"] is not None:
            yield item["cell"], item["seconds_per_step"]
