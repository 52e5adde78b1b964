"""A study's results in the format of PEFT's method comparison, to be contributed back.

One JSON file a trial that confirms (the format: `ablate.exchange.peft_comparison`, which reads it
back). What was not measured is null; nothing is made up for it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.exchange.peft_comparison import FULL, TEST
from ablate.journal import State, Trial
from ablate.keeping import ADAPTER
from ablate.plan import Cell, Plan
from ablate.tally import TaskFacts, confirmation
from trials.errors import UserError
from trials.spec import FAILED, TrialResult, TrialSpec

UNMEASURED = (
    "run_info.train_config.batch_size_eval", "run_info.train_config.query_template",
    "train_info.accelerator_memory_reserved_avg", "train_info.accelerator_memory_reserved_99th",
    "train_info.train_time", "train_info.num_total_params",
    "train_info.metrics[-1].train total tokens",
)  # fmt: skip
"""Keys of theirs that a trial does not measure; null in what is written."""

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_FIELDS = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
_PACKAGES = ("transformers", "peft", "datasets", "bitsandbytes", "torch")


def write(
    plan: Plan, state: State, facts: Mapping[str, TaskFacts], trials: Path, folder: Path
) -> tuple[Path, ...]:
    """Write every confirmed trial that has ended.

    Args:
        plan: the resolved plan.
        state: the journal's.
        facts: of every task.
        trials: the folder that holds each trial's files.
        folder: to write to; one folder a task, `<task>/<experiment>-seed<n>.json` within.

    Returns:
        The files.

    Raises:
        UserError: nothing has ended yet, a file is there already, or it cannot be written.
    """
    made = {
        folder / cell.task / f"{name.replace('/', '--')}-seed{trial.spec_json['seed']}.json":
            _document(trial, name, facts[cell.task], trials / trial.id)
        for cell in plan.cells
        for name in [experiment(cell)]
        for trial in _ended(plan, state, cell)
    }  # fmt: skip
    if not made:
        raise UserError(f"study '{plan.study.name}' has confirmed nothing that could be written")
    there = [file for file in made if file.exists()]
    if there:
        raise UserError(f"{there[0]} exists; name a new folder")
    try:
        for file, document in made.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None
    return tuple(made)


def experiment(cell: Cell) -> str:
    """`<method>/<backbone>-<fields of the arm>`, as they name theirs; the same at every seed."""
    fields = cell.arm.id.removeprefix(cell.arm.method).replace("=", "")
    words = [cell.backbone.rpartition("/")[2], fields or "default"]
    return f"{_slug(cell.arm.method)}/{'-'.join(map(_slug, words))}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+]+", "-", text).strip("-")


def _ended(plan: Plan, state: State, cell: Cell) -> Iterator[Trial]:
    """The trials of a cell's best values that finished or failed."""
    for _, specs in confirmation(plan, state, cell)[:1]:
        for spec in specs:
            trial = state.trials.get(spec.id)
            if trial is not None and trial.final and trial.status in {"finished", *FAILED}:
                yield trial


def _document(trial: Trial, name: str, facts: TaskFacts, files: Path) -> dict[str, Any]:
    spec, result = trial.spec, trial.result
    assert result is not None
    adapter = files / result.files[ADAPTER] if ADAPTER in result.files else None
    head = result.head_parameters or 0
    return {
        "run_info": {
            "created_at": None if trial.started_at is None else _when(trial.started_at),
            "total_time": result.seconds,
            "experiment_name": name,
            "peft_branch": None,
            "train_config": _train_config(trial, spec),
            "peft_config": _peft_config(spec),
            "error_msg": result.reason or "",
        },
        "train_info": {
            "accelerator_memory_reserved_avg": None,
            "accelerator_memory_max": result.peak_memory_bytes,
            "accelerator_memory_reserved_99th": None,
            "train_time": None,
            "file_size": adapter.stat().st_size if adapter and adapter.is_file() else None,
            "num_trainable_params": result.adapter_parameters,
            "num_trainable_params_of_head": head,
            "num_total_params": None,
            "status": "success" if trial.status == "finished" else "failed",
            "metrics": [*_reports(trial, spec), *_last(trial, spec, result, facts)],
        },
        "meta_info": _meta(spec, result, facts),
    }


def _train_config(trial: Trial, spec: TrialSpec) -> dict[str, Any]:
    recipe = spec.recipe
    known = trial.progress
    every = recipe.evaluate.every
    return {
        "model_id": spec.backbone,
        "dtype": _DTYPES.get(recipe.precision, recipe.precision),
        "max_seq_length": recipe.max_length,
        "batch_size": recipe.batch_size * recipe.accumulate,
        "batch_size_eval": None,
        "max_steps": known[-1].num_steps if known else recipe.steps,
        "eval_steps": every if isinstance(every, int) else None,
        "compile": False,
        "use_gc": recipe.gradient_checkpointing,
        "query_template": None,
        "seed": spec.seed,
        "grad_norm_clip": recipe.clip,
        "optimizer_type": "AdamW",
        "optimizer_kwargs": {
            "lr": recipe.learning_rate,
            "weight_decay": recipe.optimizer.weight_decay,
            "betas": list(recipe.optimizer.betas),
            "eps": recipe.optimizer.eps,
        },
        "lr_scheduler": recipe.schedule.name,
        "use_amp": recipe.precision != "fp32",
    }


def _peft_config(spec: TrialSpec) -> dict[str, Any] | None:
    """The adapter in their names where they have one for it; null for full fine-tuning."""
    if spec.method == FULL:
        return None
    name = spec.method.removeprefix("peft.").removesuffix("Config")
    targets = spec.targets
    return {
        "peft_type": name.upper(),
        "base_model_name_or_path": spec.backbone,
        "target_modules": list(targets) if isinstance(targets, tuple) else dict(targets),
        **{_FIELDS.get(key, key): value for key, value in spec.hyperparameters.items()},
    }


def _reports(trial: Trial, spec: TrialSpec) -> Iterator[dict[str, Any]]:
    for progress in trial.progress:
        yield {
            "step": progress.step,
            **{f"valid {metric}": score for metric, score in progress.scores.items()},
            "train loss": progress.train_loss,
            "train samples": _samples(spec, progress.step),
            "elapsed time": progress.seconds,
        }


def _last(
    trial: Trial, spec: TrialSpec, result: TrialResult, facts: TaskFacts
) -> Iterator[dict[str, Any]]:
    """The scores of the reported split, the primary metric's first."""
    scores = result.scores.get(spec.splits.report)
    if scores is None:
        return
    names: Sequence[str] = sorted(scores, key=lambda metric: metric != facts.primary)
    known = trial.progress
    yield {
        "step": known[-1].num_steps if known else spec.recipe.steps,
        **{f"{TEST}{metric}": scores[metric] for metric in names},
        "train loss": known[-1].train_loss if known else None,
        "train samples": _samples(spec, known[-1].num_steps) if known else None,
        "train total tokens": None,
    }


def _samples(spec: TrialSpec, steps: int) -> int:
    return steps * spec.recipe.batch_size * spec.recipe.accumulate


def _meta(spec: TrialSpec, result: TrialResult, facts: TaskFacts) -> dict[str, Any]:
    versions = result.environment
    split = spec.splits.report
    number = result.num_examples.get(split)
    return {
        "model_info": {"sha": spec.backbone_digest, "created_at": None},
        "dataset_info": {
            spec.task: {
                "sha": spec.data_digest,
                "created_at": None,
                "split": split,
                "num_examples": number,
                "directions": dict(facts.directions),
                "grid_steps": {m: 1 / number for m, on in facts.grid.items() if on and number},
                "trial_id": spec.id,
            }
        },
        "package_info": {
            **{f"{name}-version": versions.get(name) for name in _PACKAGES},
            "ablate-peft-version": versions.get("ablate-peft"),
        },
        "system_info": {
            "machine": versions.get("machine"),
            "accelerator": result.device,
        },
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
