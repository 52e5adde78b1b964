"""Results of PEFT's method comparison: one JSON file a run.

Format: github.com/huggingface/peft, `method_comparison/*/results/*.json`, and its reader
`method_comparison/processing.py`. A run has `run_info` (experiment, training and adapter
configuration), `train_info` (status, parameters, memory, metrics at each evaluation; the last has
those of the test set, named `test …`) and `meta_info` (versions, data, machine).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from trials.errors import Problem, UserError, nearest

ORIGIN = "PEFT's method comparison"
PARTS = ("run_info", "train_info", "meta_info")
STATUSES = {"success": "finished", "failed": "crashed", "canceled": "missing"}
TEST = "test "
FULL = "full"
LOWER = frozenset({"loss", "forgetting", "drift", "perplexity"})
"""Metrics of theirs that are better when lower."""

_ALSO_TEST = frozenset({"forgetting"})
_SHARES = frozenset({"accuracy"})
_EXAMPLES = {"gsm8k": 1319}
"""Test examples of the data sets that they report on. Source: Cobbe et al. 2021, section 2."""

Document = Mapping[str, Any]


def recognises(document: Any) -> bool:
    """Whether a parsed JSON file is a run of the comparison."""
    return isinstance(document, Mapping) and all(part in document for part in PARTS[:2])


def rows(documents: Mapping[str, Any]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Runs as rows of the frame.

    Args:
        documents: parsed files by name.

    Returns:
        One row a run and test metric, and what a reader should know.

    Raises:
        UserError: every mistake of every file; runs that repeat one another, with both files.
    """
    problems: list[Problem] = []
    found: list[dict[str, Any]] = []
    first: dict[tuple[Any, ...], str] = {}
    for name, document in documents.items():
        wrong = list(_problems(name, document))
        problems += wrong
        if wrong:
            continue
        made = list(_rows(document))
        key = tuple(made[0][k] for k in ("task", "backbone", "arm", "seed"))
        if key in first:
            told = f"repeats {first[key]}: experiment {key[2]} at seed {key[3]}; keep one of them"
            problems.append(Problem(told, file=name, key="run_info.experiment_name"))
        first.setdefault(key, name)
        found += made
    if problems:
        raise UserError(*problems)
    metric = next((row["metric"] for row in found if row.get("primary")), "accuracy")
    table = pd.DataFrame([{"metric": metric, "grid_step": None, **row} for row in found])
    return _with_grid(table), tuple(_notes(table))


def _problems(name: str, document: Any) -> Iterator[Problem]:
    """What a file lacks that a row needs."""
    if not isinstance(document, Mapping):
        yield Problem("expected a run of PEFT's method comparison", file=name)
        return
    for part in PARTS:
        if not isinstance(document.get(part), Mapping):
            yield Problem(
                "is missing" + nearest(part, set(document) - set(PARTS)), file=name, key=part
            )
    if any(not isinstance(document.get(part), Mapping) for part in PARTS):
        return
    yield from _run_problems(name, document["run_info"])
    train = document["train_info"]
    if train.get("status") not in STATUSES:
        told = f"unknown value {train.get('status')!r}{nearest(train.get('status'), STATUSES)}"
        yield Problem(told, file=name, key="train_info.status")
    elif train["status"] == "success":
        yield from _score_problems(name, train)


def _run_problems(name: str, run: Document) -> Iterator[Problem]:
    configured = run.get("train_config")
    config = configured if isinstance(configured, Mapping) else {}
    text = {"run_info.experiment_name": run.get("experiment_name"),
            "run_info.train_config.model_id": config.get("model_id")}  # fmt: skip
    for key, value in text.items():
        if not isinstance(value, str) or not value:
            yield Problem(f"expected a name, but got {value!r}", file=name, key=key)
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        key = "run_info.train_config.seed"
        yield Problem(f"expected a whole number, but got {seed!r}", file=name, key=key)
    adapter = run.get("peft_config")
    if adapter is not None and not (isinstance(adapter, Mapping) and adapter.get("peft_type")):
        yield Problem("expected null, or a peft_type", file=name, key="run_info.peft_config")


def _score_problems(name: str, train: Document) -> Iterator[Problem]:
    metrics = train.get("metrics")
    last = metrics[-1] if isinstance(metrics, list) and metrics else None
    key = "train_info.metrics[-1]"
    if not isinstance(last, Mapping) or not any(str(k).startswith(TEST) for k in last):
        yield Problem("a run that succeeded needs a 'test …' metric", file=name, key=key)
        return
    for metric, value in last.items():
        if _is_test(metric) and (isinstance(value, bool) or not isinstance(value, int | float)):
            told = f"expected a number, but got {value!r}"
            yield Problem(told, file=name, key=f"{key}.{metric}")


def _is_test(metric: str) -> bool:
    return metric.startswith(TEST) or metric in _ALSO_TEST


def _rows(document: Document) -> Iterator[dict[str, Any]]:
    run, train, meta = (document[part] for part in PARTS)
    adapter: Document = run.get("peft_config") or {}
    data: Document = meta.get("dataset_info") or {}
    own = next((info for info in data.values() if isinstance(info, Mapping) and "split" in info),
               {})  # fmt: skip
    config = run["train_config"]
    status = STATUSES[train["status"]]
    reason = (run.get("error_msg") or train["status"]) if status != "finished" else None
    if reason and "out of memory" in str(reason).lower():
        status = "out_of_memory"
    row = {
        "task": "+".join(sorted(data)) or "comparison",
        "backbone": config["model_id"],
        "arm": run["experiment_name"],
        "label": run["experiment_name"],
        "method": str(adapter.get("peft_type", FULL)).lower(),
        "rank": adapter.get("target_r", adapter.get("r")),
        **_tuned(config),
        "seed": config["seed"],
        "split": own.get("split", "test"),
        "num_examples": own.get("num_examples", _known_examples(data)),
        "status": status,
        "reason": reason,
        "trainable_parameters": train.get("num_trainable_params"),
        "seconds": run.get("total_time"),
        "peak_memory_bytes": train.get("accelerator_memory_max"),
        "device": (meta.get("system_info") or {}).get("accelerator"),
        "environment": _environment(meta.get("package_info") or {}),
        "trial_id": own.get("trial_id"),
    }
    if status != "finished":
        yield {**row, "score": None}
        return
    scored = [(str(k), v) for k, v in train["metrics"][-1].items() if _is_test(str(k))]
    scored.sort(key=lambda item: not item[0].startswith(TEST))
    for place, (name, score) in enumerate(scored):
        metric = name.removeprefix(TEST)
        lower = any(word in metric for word in LOWER)
        named = "lower" if lower else "higher"
        yield {
            **row,
            "metric": metric,
            "score": score,
            "direction": (own.get("directions") or {}).get(metric, named),
            "primary": place == 0,
            "grid_step": (own.get("grid_steps") or {}).get(metric),
        }


def _tuned(config: Document) -> dict[str, Any]:
    """What each of their experiments sets by hand: no factor, but shown beside its score."""
    optimizer = config.get("optimizer_kwargs") or {}
    return {"tune.learning_rate": optimizer.get("lr"),
            "tune.weight_decay": optimizer.get("weight_decay")}  # fmt: skip


def _known_examples(data: Document) -> int | None:
    return next((number for name, number in _EXAMPLES.items() if name in data), None)


def _environment(packages: Document) -> str | None:
    known = {str(k): v for k, v in packages.items() if v is not None}
    return " ".join(f"{key}={value}" for key, value in sorted(known.items())) or None


def _with_grid(table: pd.DataFrame) -> pd.DataFrame:
    """Say where scores are shares of n examples; where they are not, n is another than is known."""
    count, score, told = (
        pd.to_numeric(table[name], errors="coerce").astype(float)
        for name in ("num_examples", "score", "grid_step")
    )
    share = table["metric"].isin(_SHARES) & count.gt(0) & told.isna()
    off = share & ((score * count).round() - score * count).abs().gt(1e-6)
    wrong = table["task"].isin(set(table.loc[off, "task"]))
    step = told.where(~share | wrong, 1 / count)
    return table.assign(num_examples=count.mask(wrong), grid_step=step)


def _notes(table: pd.DataFrame) -> Iterator[str]:
    if table["tune.learning_rate"].nunique() > 1:
        yield (
            "Learning rates were set by hand for each experiment, not tuned with one budget: a "
            "difference may be the learning rate's."
        )
