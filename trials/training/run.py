"""One trial from its assignment to its result: train, evaluate, checkpoint, resume, keep.

`Run.advance` goes to the next evaluation and reports it, so that whoever drives the run (a Ray
job, a shared engine, a plain loop) may stop it there.
"""

import functools
import gzip
import json
import math
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trials import backbones
from trials.errors import UserError
from trials.places import Assignment, Places
from trials.spec import Progress, Status, TrialResult
from trials.tasks.base import Encoded, Task
from trials.tasks.locate import load as load_task
from trials.training import checkpoint
from trials.training.data import steps_per_epoch
from trials.training.environment import device_name, environment, peak_memory_bytes
from trials.training.member import Member
from trials.training.pack import Pack

CHECKPOINT = "checkpoint.safetensors"
ADAPTER = "adapter.safetensors"
TRACEBACK = "traceback.txt"
CHECKPOINT_SECONDS = 30.0
"""Longest time between two checkpoints; when they are written changes no number."""


class Run:
    """The training of one trial in this process.

    Attributes:
        assignment: what to train, and where things are.
        member: its state.
    """

    def __init__(self, assignment: Assignment) -> None:
        """Load what is needed (once per process) and continue from the last checkpoint.

        Raises:
            UserError: data or backbone are missing, or not those that the spec names.
        """
        torch.set_num_threads(assignment.threads)
        self.assignment = assignment
        self.spec = assignment.spec
        self.folder = Path(assignment.folder)
        for code in assignment.code:
            code.load()
        self.task, self.backbone = load_parts(assignment)
        train = encoded(assignment, "train")
        self.member = Member(self.spec, self.backbone, train)
        self.pack = Pack(self.backbone)
        self.history: list[Progress] = []
        self.best: tuple[float, int] | None = None
        self._best_adapter: tuple[Tensor, dict[str, Tensor]] | None = None
        self._best_outputs: Tensor | None = None
        self._seconds_before = 0.0
        self._started = self._saved = time.monotonic()
        if torch.device(assignment.device).type == "cuda":
            torch.cuda.reset_peak_memory_stats(assignment.device)
        self._resume()
        self._evaluations = self._evaluation_steps()
        self._unreported = iter(tuple(self.history))

    def advance(self) -> Progress | TrialResult:
        """Train to the next evaluation; the last call returns the result.

        After a resume the reports before the checkpoint come again first, for whoever may not
        have heard them.
        """
        again = next(self._unreported, None)
        if again is not None:
            return again
        while not self.member.done:
            self.pack.step([self.member])
            if self.member.diverged is None and self.member.step in self._evaluations:
                return self._evaluate()
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self._save()
        return self._finish()

    def close(self) -> None:
        """Leave the backbone to the next trial."""
        self.pack.close()

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation so far, over all interruptions."""
        return self._seconds_before + time.monotonic() - self._started

    def result(self, status: Any, reason: str | None = None, **more: Any) -> TrialResult:
        """A result with what is known of any trial, however it ended."""
        adapter, head = self.member.parameters.counts(self.member.method)
        return TrialResult(
            status=status,
            reason=reason,
            adapter_parameters=adapter,
            head_parameters=head,
            seconds=self.seconds,
            peak_memory_bytes=peak_memory_bytes(self.assignment.device),
            device=device_name(self.assignment.device),
            environment=environment(self.assignment.device),
            **more,
        )

    def _evaluation_steps(self) -> frozenset[int]:
        total = self.member.num_steps
        every = self.spec.recipe.evaluate.every
        if isinstance(every, int):
            steps = range(every, total + 1, every)
        else:
            per_epoch = steps_per_epoch(self.spec.recipe, len(self.member.train.input_ids))
            steps = range(per_epoch, total + 1, per_epoch)
        return frozenset(steps) | {total}

    def _evaluate(self) -> Progress:
        scores, outputs, _ = self._scores(self.spec.splits.search)
        primary = scores[self.task.definition.primary]
        progress = Progress(
            step=self.member.step,
            num_steps=self.member.num_steps,
            epoch=self.member.epoch,
            train_loss=self.member.take_train_loss(),
            scores=scores,
            primary=primary,
            seconds=self.seconds,
            extra=self.member.curves(),
        )
        self.history.append(progress)
        if self._is_best(primary):
            self.best = (primary, self.member.step)
            self._best_adapter = self.member.adapter()
            self._best_outputs = outputs
        self._save()
        return progress

    def _is_best(self, primary: float) -> bool:
        """First of equals wins; with `select: last` every evaluation replaces the one before."""
        if self.spec.recipe.evaluate.select == "last" or self.best is None:
            return True
        if math.isnan(self.best[0]):
            return not math.isnan(primary)
        sign = 1 if self.task.definition.direction == "higher" else -1
        return sign * primary > sign * self.best[0]

    def _scores(
        self, part: str, known: Tensor | None = None
    ) -> tuple[dict[str, float], Tensor, Encoded]:
        """Scores, outputs and examples of a split; outputs that are known are not made again."""
        data = encoded(self.assignment, part)
        outputs = self.pack.outputs(self.member, data) if known is None else known
        return self.task.scores(outputs.numpy(), data.labels), outputs, data

    def _finish(self) -> TrialResult:
        if self.member.diverged is not None:
            return self.result("diverged", self.member.diverged)
        assert self.best is not None
        assert self._best_adapter is not None
        self.member.load_adapter(*self._best_adapter)
        parts = [self.spec.splits.search]
        if self.spec.stage == "confirm" and self.spec.splits.report not in parts:
            parts.append(self.spec.splits.report)
        scores, files = {}, {"adapter": ADAPTER}
        for part in parts:
            known = self._best_outputs if part == self.spec.splits.search else None
            scores[part], outputs, data = self._scores(part, known)
            files[f"predictions_{part}"] = f"predictions_{part}.jsonl.gz"
            write_predictions(self.folder / files[f"predictions_{part}"], self.task, outputs, data)
        if not math.isfinite(scores[parts[-1]][self.task.definition.primary]):
            name = self.task.definition.primary
            return self.result("diverged", f"{name} is undefined for these predictions")
        self._write_adapter()
        per_epoch = steps_per_epoch(self.spec.recipe, len(self.member.train.input_ids))
        return self.result(
            "finished",
            scores=scores,
            num_examples={part: len(encoded(self.assignment, part).labels) for part in parts},
            selected_step=self.best[1],
            selected_epoch=self.best[1] / per_epoch,
            files=files,
        )

    def _write_adapter(self) -> None:
        """All that the trial owns, by name: the adapter with its fixed parts, and the head."""
        parameters = self.member.parameters
        tensors = {**parameters.trained, **parameters.frozen}
        checkpoint.write(
            self.folder / ADAPTER,
            {k: v.detach() for k, v in tensors.items()},
            {"spec": self.spec.to_json(), "sites": [s.name for s in self.member.sites]},
        )

    def _save(self) -> None:
        tensors, numbers = self.member.state()
        if self._best_adapter is not None:
            tensors["best.values"] = self._best_adapter[0]
            tensors |= {f"best.{k}": v for k, v in self._best_adapter[1].items()}
        numbers |= {
            "best": self.best,
            "history": [p.to_json() for p in self.history],
            "seconds": self.seconds,
            "trial": self.spec.id,
        }
        checkpoint.write(self.folder / CHECKPOINT, tensors, numbers)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        found = checkpoint.read(self.folder / CHECKPOINT)
        if found is None or found[1].get("trial") != self.spec.id:
            return
        tensors, numbers = found
        self.member.restore(tensors, numbers)
        self.history = [_progress(p) for p in numbers["history"]]
        self._seconds_before = numbers["seconds"]
        if numbers["best"] is not None:
            score, step = numbers["best"]
            self.best = (math.nan if score is None else score, step)
            buffers = {
                k.removeprefix("best."): v
                for k, v in tensors.items()
                if k.startswith("best.") and k != "best.values"
            }
            device = self.member.parameters.values.device
            self._best_adapter = (tensors["best.values"].to(device), buffers)


def _progress(value: dict[str, Any]) -> Progress:
    """A report read back: what was not finite was stored as null."""
    scores = {k: math.nan if v is None else v for k, v in value["scores"].items()}
    numbers = {k: math.nan if value[k] is None else value[k] for k in ("primary", "train_loss")}
    return Progress.from_json({**value, **numbers, "scores": scores})


def load_parts(assignment: Assignment) -> tuple[Task, backbones.Backbone]:
    """Task and backbone of an assignment, loaded once per process.

    Raises:
        UserError: they cannot be found, or are not those that the spec names.
    """
    places, spec = assignment.places, assignment.spec
    task = task_at(assignment.task, places)
    if spec.data_digest is not None and task.digest != spec.data_digest:
        raise UserError(
            f"task '{spec.task}': the data have changed since the trial was planned "
            f"(digest {task.digest[:12]}, planned {spec.data_digest[:12]})"
        )
    backbone = backbones.load(
        assignment.backbone,
        task.num_outputs,
        places.model_roots,
        places.base_folder,
        assignment.device,
    )
    if spec.backbone_digest is not None and backbone.digest != spec.backbone_digest:
        raise UserError(
            f"backbone '{spec.backbone}': the files have changed since the trial was planned "
            f"(digest {backbone.digest[:12]}, planned {spec.backbone_digest[:12]})"
        )
    return task, backbone


@functools.lru_cache(maxsize=16)
def task_at(reference: str, places: Places) -> Task:
    """A task, read once per process."""
    return load_task(reference, roots=places.data_roots, base=places.base_folder)


def encoded(assignment: Assignment, part: str) -> Encoded:
    """A split as tokens, tokenised once per process."""
    task, backbone = load_parts(assignment)
    return _encoded(task, backbone, part, assignment.spec.splits, assignment.spec.recipe.max_length)


@functools.lru_cache(maxsize=64)
def _encoded(
    task: Task, backbone: backbones.Backbone, part: str, splits: Any, max_length: int
) -> Encoded:
    limit = min(max_length, backbone.max_tokens)
    return task.encode(backbone.tokenizer, task.rows(part, splits), limit)


def write_predictions(path: Path, task: Task, outputs: Tensor, data: Encoded) -> None:
    """Per-example predictions as compressed JSON lines: id, label, prediction, outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(
        data.ids, data.labels, task.predictions(outputs.numpy()), outputs.tolist(), strict=True
    )
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for example, label, prediction, output in rows:
            row = {"id": example, "label": label, "prediction": prediction, "outputs": output}
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    temporary.replace(path)


def guarded(run: Run) -> Progress | TrialResult:
    """`Run.advance`, with a crash or an exhausted memory as a result."""
    try:
        return run.advance()
    except Exception as error:  # noqa: BLE001 - whatever a trial does, the others go on
        return crashed(error, run.assignment, run)


def crashed(error: Exception, assignment: Assignment, run: Run | None = None) -> TrialResult:
    """The result of a trial that raised; the traceback goes into the trial's folder."""
    exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError)
    status: Status = (
        "out_of_memory" if exhausted or "can't allocate memory" in str(error) else "crashed"
    )
    reason = " ".join(str(error).split())[:500]
    if not isinstance(error, UserError):
        reason = f"{type(error).__name__}: {reason}"
    path = Path(assignment.folder) / TRACEBACK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)))
    files = {"traceback": TRACEBACK}
    if run is None:
        return TrialResult(status=status, reason=reason, files=files)
    return run.result(status, reason, files=files)
