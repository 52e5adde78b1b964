"""What is set against what: arms already resolved to ids, on one task and backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from ablate.frame import NUISANCE_PREFIX, factors, plain
from trials.errors import Problem, UserError, nearest

Kind = Literal["mean", "variance", "equivalence"]
Pick = Literal["treatment", "control", "both"]
Fields = Mapping[str, Any]
BASELINE_FAMILY = "baselines"
_NAMED_ARMS = 12


@dataclass(frozen=True)
class Comparison:
    """Treatment against control on one task and backbone.

    Attributes:
        id: unique among the comparisons of one analysis.
        task, backbone: where.
        treatment, control: arm ids, averaged per seed; one that is named twice weighs double.
        kind: whether the mean, the spread or equivalence is asked about.
        family: comparisons of one family are adjusted together.
        confirmatory: registered before the results were seen.
        claim_id: the claim that this serves, if any.
        by: gain under the null hypothesis, in the metric's unit (`mean` only).
        margin: largest difference that does not matter (`equivalence` only); None for the study's.
        note: what a reader should know about how the arms were matched.
        pick: side whose best arm, by the search split, stands for all that it names.
        late: registered after results were seen, so that late rows count as well.
        looks: seed counts of the race that it was registered for; None for the analysis's own.
        seen: seeds that each look so far used; None to tell them from the table.
        stopped: why the race adds no more seeds for it: `decided`, `futile` or `undecided`.
    """

    id: str
    task: str
    backbone: str
    treatment: tuple[str, ...]
    control: tuple[str, ...]
    kind: Kind = "mean"
    family: str = BASELINE_FAMILY
    confirmatory: bool = False
    claim_id: str | None = None
    by: float = 0.0
    margin: float | None = None
    note: str | None = None
    pick: Pick | None = None
    late: bool = False
    looks: tuple[int, ...] | None = None
    seen: tuple[tuple[int, ...], ...] | None = None
    stopped: str | None = None

    def __post_init__(self) -> None:
        if not self.treatment or not self.control:
            raise ValueError(f"comparison {self.id!r} needs arms on both sides")
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown kind of comparison {self.kind!r}")
        if self.margin is not None and not self.margin > 0:
            raise ValueError(f"margin must be positive, but got {self.margin}")


def arm_fields(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The fields of each arm, `method` first, those without a value left out; by arm id."""
    names = ["arm", "method", *factors(frame)]
    rows = frame.drop_duplicates("arm")[names].to_dict("records")
    fields: dict[str, dict[str, Any]] = {}
    for row in rows:
        values = {str(key): plain(value) for key, value in row.items() if key != "arm"}
        fields[row["arm"]] = {k: v for k, v in values.items() if v is not None and v != ""}
    return fields


def matches(fields: Fields, pattern: Fields) -> bool:
    """Whether an arm has every field of a pattern; `8` and `"8"` are the same value."""
    return all(
        key in fields and str(fields[key]) == str(plain(value)) for key, value in pattern.items()
    )


def against_baselines(
    frame: pd.DataFrame,
    baselines: Sequence[Fields],
    *,
    match: Sequence[str] | None = None,
    margin: float | None = None,
    kinds: Sequence[Kind] = ("mean", "variance"),
) -> tuple[Comparison, ...]:
    """Every arm against each baseline, cell by cell, as exploratory comparisons.

    An arm meets the baseline's arms that agree with it on every factor both have, averaged per
    seed. An arm that none agrees with meets the one that is best by the search split, or, where
    there are no search results, each of them.

    Args:
        frame: a checked table.
        baselines: patterns of fields, such as `{"method": "lora"}` or `{"arm": "lora rank=8"}`.
        match: factors to agree on; None for all that both have.
        margin: adds an equivalence comparison for each; in the metric's unit.
        kinds: what is asked of each pair besides.

    Returns:
        The comparisons, one family a kind.

    Raises:
        UserError: a baseline that no arm matches.
    """
    fields = arm_fields(frame)
    known = {arm: {**values, "arm": arm} for arm, values in fields.items()}
    problems = [
        Problem(
            f"no arm matches the baseline {_words(b)}{_hint(known, b)}; {_arms(known)}",
            key="baselines",
        )  # fmt: skip
        for b in baselines
        if not any(matches(values, b) for values in known.values())
    ]
    if problems:
        raise UserError(*problems)
    asked: list[Kind] = [*kinds, *(["equivalence"] if margin is not None else [])]  # type: ignore[list-item]
    comparisons: dict[str, Comparison] = {}
    places = frame.drop_duplicates(["task", "backbone", "arm"])
    searched = bool((frame["stage"] == "search").any())
    for (task, backbone), rows in places.groupby(["task", "backbone"], sort=False):
        for baseline in baselines:
            for pair in _pairs(list(rows["arm"]), known, baseline, match, searched):
                for kind in asked:
                    made = _comparison(str(task), str(backbone), pair, kind, margin)
                    comparisons.setdefault(made.id, made)
    return tuple(comparisons.values())


_Pair = tuple[str, tuple[str, ...], bool]


def _pairs(
    arms: Sequence[str],
    fields: Mapping[str, Fields],
    baseline: Fields,
    match: Sequence[str] | None,
    searched: bool,
) -> list[_Pair]:
    """(arm, its controls, whether one of them is to be picked by the search split)."""
    controls = tuple(arm for arm in arms if matches(fields[arm], baseline))
    pairs: list[_Pair] = []
    for arm in arms if controls else ():
        if arm in controls:
            continue
        agreeing = tuple(c for c in controls if _agree(fields[arm], fields[c], match))
        if agreeing:
            pairs.append((arm, agreeing, False))
        elif searched or len(controls) == 1:
            pairs.append((arm, controls, len(controls) > 1))
        else:
            pairs += [(arm, (control,), False) for control in controls]
    return pairs


def _agree(one: Fields, other: Fields, match: Sequence[str] | None) -> bool:
    shared = (set(one) & set(other)) - {"arm", "method"}
    if match is not None:
        shared &= set(match)
    return all(one[name] == other[name] for name in shared)


def _comparison(
    task: str, backbone: str, pair: _Pair, kind: Kind, margin: float | None
) -> Comparison:
    arm, controls, pick = pair
    family = BASELINE_FAMILY if kind == "mean" else f"{BASELINE_FAMILY}: {kind}"
    return Comparison(
        id=f"{kind}: {arm} vs {' & '.join(controls)} on {task}, {backbone}",
        task=task,
        backbone=backbone,
        treatment=(arm,),
        control=controls,
        kind=kind,
        family=family,
        margin=margin if kind == "equivalence" else None,
        pick="control" if pick else None,
        note="no arm of the baseline has the same levels; it is represented by its best by the "
        "search split"
        if pick
        else None,
    )


def _words(pattern: Fields) -> str:
    return ", ".join(f"{key}={value}" for key, value in pattern.items())


def _arms(known: Mapping[str, Fields]) -> str:
    """The arms that there are, the first of them where they are many."""
    named = list(known)[:_NAMED_ARMS]
    more = f" and {len(known) - len(named)} more" if len(known) > len(named) else ""
    return f"the table has {', '.join(named)}{more}"


def _hint(known: Mapping[str, Fields], pattern: Fields) -> str:
    for key, value in pattern.items():
        if key.startswith(NUISANCE_PREFIX):
            return "; a tuned value cannot tell arms apart"
        values = {str(fields[key]) for fields in known.values() if key in fields}
        if str(plain(value)) not in values:
            return nearest(value, values)
    return ""
