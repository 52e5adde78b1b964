"""One trial from its assignment to its result: evaluate, select, checkpoint, resume, keep.

A `Run` says what it needs next and takes in what was made for it; the engine trains it.
"""

import functools
import logging
import math
import os
import time
import traceback
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trials import backbones
from trials.errors import NO_ROOM, UserError
from trials.places import Assignment, Places
from trials.spec import UNWRITABLE, Progress, Status, TrialResult, predictions_file
from trials.tasks.base import Encoded, Task
from trials.tasks.locate import load as load_task
from trials.training import checkpoint
from trials.training.data import steps_per_epoch
from trials.training.environment import device_name, environment, peak_memory_bytes
from trials.training.member import Member
from trials.training.predictions import of_portion, write_predictions
from trials.training.start import start_from

CHECKPOINT = "checkpoint.safetensors"
ADAPTER = "adapter.safetensors"
TRACEBACK = "traceback.txt"
_log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 30.0
"""Longest time between two checkpoints; when they are written changes no number."""


class Run:
    """The course of one trial: what it needs next, and what it has come to.

    Attributes:
        assignment: what to train, and where things are.
        member: its state.
        history: reports so far.
        unreported: those of before a resume, which nobody may have heard.
        seconds: of the device's time that training and evaluation took, over all interruptions;
            in a pack, the trial's share.
    """

    def __init__(self, assignment: Assignment) -> None:
        """Load what is needed (once per process) and continue from the last checkpoint.

        Raises:
            UserError: data or backbone are missing, or not those that the spec names.
        """
        self.assignment = assignment
        self.spec = assignment.spec
        self.folder = Path(assignment.folder)
        self.task, backbone = load_parts(assignment)
        train = encoded(assignment, "train")
        self.member = Member(self.spec, backbone, train, self.task.head)
        self.history: list[Progress] = []
        self.best: tuple[float, int] | None = None
        self._best_adapter: tuple[Tensor, dict[str, Tensor]] | None = None
        self._said: dict[str, Any] = {}
        self._is_kept = False
        self.seconds = 0.0
        self._saved = time.monotonic()
        if self.spec.source is not None:
            start_from(self.member, Path(str(assignment.source)) / ADAPTER)
        self._resume()
        self._evaluations = self._evaluation_steps()
        self.unreported = deque(self.history)

    def wanted(self) -> str | None:
        """The split whose outputs it needs before it goes on; None while it needs a step, or none.

        At the end the values that it keeps are put in place first.
        """
        member = self.member
        if member.diverged is not None:
            return None
        if member.step in self._evaluations and member.step > self._evaluated:
            return self.spec.splits.search
        if not member.done:
            return None
        if not self._is_kept:
            assert self._best_adapter is not None
            member.load_adapter(*self._best_adapter)
            self._is_kept = True
        return next((part for part in self._shown() if not self._has(part)), None)

    def _has(self, part: str) -> bool:
        """Whether it is known what it said of a part, be it of the split that has the part."""
        portion = self.task.definition.portion(part)
        if part not in self._said and portion is not None and portion.of in self._said:
            names = (self.data(portion.of).ids, self.data(part).ids)
            self._said[part] = of_portion(self._said[portion.of], *names)
        return part in self._said

    @property
    def backbone(self) -> backbones.Backbone:
        """What it trains over."""
        return self.member.backbone

    @property
    def _evaluated(self) -> int:
        """Optimiser steps done at the last evaluation."""
        return self.history[-1].step if self.history else 0

    def data(self, part: str) -> Encoded:
        """A split, as tokens."""
        return encoded(self.assignment, part)

    def take(self, part: str, outputs: Any) -> Progress | None:
        """Take in the outputs that it wanted; a report, when they were an evaluation."""
        if isinstance(outputs, Tensor):  # A kept head may have more.
            outputs = outputs[..., : self.task.head.outputs].numpy()
        said = self.task.read(outputs, self.data(part))
        if self.member.step > self._evaluated:
            return self._evaluate(said)
        self._said[part] = said
        return None

    @property
    def save_is_due(self) -> bool:
        """Whether the last checkpoint is `CHECKPOINT_SECONDS` old."""
        return time.monotonic() - self._saved > CHECKPOINT_SECONDS

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

    def _evaluate(self, said: Any) -> Progress:
        gold = self.data(self.spec.splits.search).gold
        scores = self.task.scores(self.task.decide(said, said, gold), gold)
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
            self._said = {self.spec.splits.search: said}
        if not self.member.done:  # Its end follows at once, and is written then.
            self.save()
        return progress

    def _shown(self) -> list[str]:
        """The splits whose scores the result has."""
        splits = self.spec.splits
        shown = self.task.shown(splits) if self.spec.stage != "search" else ()
        return list(dict.fromkeys((splits.search, *shown)))

    def _is_best(self, primary: float) -> bool:
        """First of equals wins; with `select: last` every evaluation replaces the one before."""
        if self.spec.recipe.evaluate.select == "last" or self.best is None:
            return True
        if math.isnan(self.best[0]):
            return not math.isnan(primary)
        sign = 1 if self.task.definition.direction == "higher" else -1
        return sign * primary > sign * self.best[0]

    def finish(self) -> TrialResult:
        """Score and write what it leaves behind, once it needs nothing any more."""
        if self.member.diverged is not None:
            return self.result("diverged", self.member.diverged)
        assert self.best is not None
        scores, files, parts = {}, {"adapter": ADAPTER}, self._shown()
        chosen = self._said[self.spec.splits.search], self.data(self.spec.splits.search).gold
        for part in parts:
            data = self.data(part)
            said = self.task.decide(self._said[part], *chosen)
            scores[part] = self.task.scores(said, data.gold)
            files[f"predictions_{part}"] = predictions_file(part)
            path = self.folder / files[f"predictions_{part}"]
            write_predictions(path, self.task, said, data)
        splits, name = self.spec.splits, self.task.definition.primary
        decides = splits.search if self.spec.stage == "search" else splits.report
        if not math.isfinite(scores[decides][name]):
            return self.result("diverged", f"{name} is undefined for these predictions")
        self._write_adapter()
        per_epoch = steps_per_epoch(self.spec.recipe, len(self.member.train.input_ids))
        finished = self.result(
            "finished",
            scores=scores,
            num_examples={part: len(self.data(part).gold) for part in parts},
            num_truncated=self._truncated(parts),
            selected_step=self.best[1],
            selected_epoch=self.best[1] / per_epoch,
            files=files,
        )
        return replace(finished, environment={**finished.environment, **self._signatures(decides)})

    def _truncated(self, parts: list[str]) -> dict[str, int]:
        """Part of the data -> examples that lost tokens; apart, those that lost what is learned."""
        train = self.member.train
        found = {part: self.data(part).num_truncated for part in parts}
        cut = {"train completions": train.num_cut} if train.num_cut else {}
        return {"train": train.num_truncated, **cut, **found}

    def _signatures(self, part: str) -> dict[str, str]:
        """How libraries made the scores of a part, which may explain a difference."""
        found = self.task.signatures(self._said[part], self.data(part).gold)
        for name, signature in found.items():
            _log.info("%s of %s: %s", name, self.spec.task, signature)
        return found

    def _write_adapter(self) -> None:
        """All that the trial owns, by name: the adapter with its fixed parts, and the head."""
        parameters = self.member.parameters
        tensors = {**parameters.trained, **parameters.frozen}
        checkpoint.write(
            self.folder / ADAPTER,
            {k: v.detach() for k, v in tensors.items()},
            {"spec": self.spec.to_json(), "sites": [s.name for s in self.member.sites]},
        )

    def save(self) -> None:
        """Write a checkpoint, from which a new `Run` of the same assignment continues exactly."""
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
        self.seconds = numbers["seconds"]
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
        places.model_roots,
        places.base_folder,
        assignment.device,
        spec.recipe.base_precision,
        spec.backbone_digest,
        task.head.reads,
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
    spec = assignment.spec
    learned = part == "train"
    return _encoded(task, backbone, part, spec.splits, spec.recipe.max_length, learned)


@functools.lru_cache(maxsize=64)
def _encoded(
    task: Task,
    backbone: backbones.Backbone,
    part: str,
    splits: Any,
    max_length: int,
    learned: bool,
) -> Encoded:
    return task.encode(
        backbone.tokenizer,
        task.rows(part, splits),
        min(max_length, backbone.max_tokens),
        learned=learned,
        context=backbone.max_tokens,
        start_id=backbone.start_id if backbone.writes else None,
    )


def crashed(error: Exception, assignment: Assignment, run: Run | None = None) -> TrialResult:
    """The result of a trial that raised; the traceback goes into the trial's folder."""
    if (full := why_unwritable(error)) is not None:
        return TrialResult(status="crashed", reason=f"{UNWRITABLE}: {full}")
    status: Status = "out_of_memory" if is_out_of_memory(error) else "crashed"
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


def why_unwritable(error: Exception) -> str | None:
    """What keeps files from being written: a full disk or one that is read only; else None."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"
    # As safetensors words it.
    return next((os.strerror(n) for n in NO_ROOM if f"(os error {n})" in str(error)), None)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device, or the machine, had no memory left."""
    exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError)
    said = ("can't allocate memory", "CUDA error: out of memory")
    return exhausted or any(text in str(error) for text in said)


def is_fatal(error: BaseException) -> bool:
    """Whether the device answers nothing but this error from now on, in this process.

    After an illegal access or a failed assertion on a GPU, every later call fails likewise.
    """
    if isinstance(error, Exception) and is_out_of_memory(error):
        return False
    of_device = getattr(torch, "AcceleratorError", ())  # Since torch 2.8.
    return isinstance(error, of_device) or (
        isinstance(error, RuntimeError) and str(error).startswith("CUDA error")
    )
