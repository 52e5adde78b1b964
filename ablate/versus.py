"""One side of a study against another, seed by seed, and what could not be paired. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.frame import plain
from ablate.stats.cells import Cells, collect
from ablate.stats.comparison import Comparison, Fields, Kind, arm_fields, matches
from ablate.stats.findings import analyse
from ablate.stats.pairing import align
from trials import yaml
from trials.errors import UserError, nearest

_APART = frozenset({"arm", "label"})

Json = dict[str, Any]


@dataclass(frozen=True)
class _Pair:
    """Arms of both sides on one task and backbone; one that is named twice weighs double."""

    task: str
    backbone: str
    treatment: tuple[str, ...]
    control: tuple[str, ...]

    @property
    def name(self) -> str:
        sides = " vs ".join(" & ".join(side) for side in (self.treatment, self.control))
        return f"{sides} on {self.task}, {self.backbone}"


def versus(
    frame: pd.DataFrame,
    treatment: str,
    control: str,
    *,
    level: float = 0.95,
    margin: float | None = None,
    rng: np.random.Generator,
) -> Json:
    """Compare the arms that one pattern names with those that another does.

    One arm a side is compared as it is. Of several, those meet that agree on every factor that
    both have and no pattern names, and they are averaged seed by seed.

    Args:
        frame: a checked table of one study.
        treatment, control: `method=lora,rank=8`, or an arm's id or label, or a method's name.
        level: of intervals, in (0.5, 1).
        margin: asks for equivalence as well: the largest difference that does not matter.
        rng: for sign patterns and bootstraps.

    Returns:
        `pairs`: one a task and backbone, with both sides' arms, the shared `seeds`, the
        `dropped` ones and why, and the `findings` (see `findings.json`); `unpaired`: arms that
        met none, and why.

    Raises:
        UserError: a pattern that no arm matches, one arm on both sides, or arms that never meet.
    """
    known = _known(frame)
    patterns = {text: pattern_of(text, known) for text in (treatment, control)}
    sides = [_matching(text, patterns[text], known) for text in (treatment, control)]
    both = [known[arm]["label"] for arm in sides[0] if arm in sides[1]]
    if both:
        raise UserError(f"{', '.join(map(str, both))}: on both sides of the comparison")
    named = {key for pattern in patterns.values() for key in pattern}
    pairs, unpaired = _meet(frame, known, sides, named)
    if not pairs:
        raise UserError(
            f"no arm of '{treatment}' agrees with one of '{control}' on the factors that both "
            "have; name one arm on each side"
        )
    own = frame[frame["arm"].isin({arm for side in sides for arm in side})]
    comparisons = [made for pair in pairs for made in _comparisons(pair, margin)]
    document = analyse(
        own, comparisons=comparisons, claims=(), level=level, margin=margin, rng=rng
    ).to_json()
    cells = collect(own)
    return {
        "treatment": treatment,
        "control": control,
        "level": level,
        "metric": document["metric"],
        "split": document["split"],
        "pairs": [_shown(pair, cells, known, document["findings"]) for pair in pairs],
        "unpaired": unpaired,
    }


def pattern_of(text: str, known: Mapping[str, Fields]) -> Fields:
    """What a text means among arms.

    Raises:
        UserError: it is neither an arm, nor a label, nor a pattern.
    """
    for arm, fields in known.items():
        if text in (arm, fields["label"]):
            return {"arm": arm}
    if "=" not in text:
        return {"method": text}
    pattern: Json = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise UserError(f"{text}: expected KEY=VALUE, separated by commas")
        pattern[key.strip()] = yaml.parse(value, file=text).value
    return pattern


def _known(frame: pd.DataFrame) -> dict[str, Json]:
    labels = frame.drop_duplicates("arm").set_index("arm")["label"]
    return {
        arm: {**fields, "arm": arm, "label": str(labels[arm])}
        for arm, fields in arm_fields(frame).items()
    }


def _matching(text: str, pattern: Fields, known: Mapping[str, Fields]) -> list[str]:
    unknown = [key for key in pattern if not any(key in fields for fields in known.values())]
    if unknown:
        factors = {key for fields in known.values() for key in fields}
        raise UserError(
            *(f"{text}: no arm has a factor '{key}'{nearest(key, factors)}" for key in unknown)
        )
    found = [arm for arm, fields in known.items() if matches(fields, pattern)]
    if not found:
        hint = ""
        for key, value in pattern.items():
            values = {str(fields[key]) for fields in known.values() if key in fields}
            if key == "method":
                values |= {str(fields["label"]) for fields in known.values()}
            if str(plain(value)) not in values:
                hint = nearest(str(plain(value)), values)
        raise UserError(f"no arm matches '{text}'{hint}")
    return found


def _meet(
    frame: pd.DataFrame,
    known: Mapping[str, Fields],
    sides: Sequence[Sequence[str]],
    named: set[str],
) -> tuple[list[_Pair], list[Json]]:
    pairs: list[_Pair] = []
    unpaired: list[Json] = []
    places = frame.drop_duplicates(["task", "backbone", "arm"])
    for (task, backbone), rows in places.groupby(["task", "backbone"], sort=False):
        here = set(rows["arm"])
        left, right = ([arm for arm in side if arm in here] for side in sides)
        single = len(sides[0]) == len(sides[1]) == 1
        met = [(a, b) for a in left for b in right if single or _agree(known[a], known[b], named)]
        if met:
            pairs.append(_Pair(str(task), str(backbone), *zip(*met, strict=True)))
        for side, arms, used in (("treatment", left, 0), ("control", right, 1)):
            unpaired += [
                {
                    "task": str(task), "backbone": str(backbone), "side": side, "arm": arm,
                    "label": known[arm]["label"],
                    "reason": "no arm of the other side has the same levels here",
                }
                for arm in arms
                if arm not in {pair[used] for pair in met}
            ]  # fmt: skip
    return pairs, unpaired


def _agree(one: Fields, other: Fields, named: set[str]) -> bool:
    shared = (one.keys() & other.keys()) - _APART - {"method"} - named
    return all(one[name] == other[name] for name in shared)


def _comparisons(pair: _Pair, margin: float | None) -> list[Comparison]:
    kinds: list[Kind] = ["mean", "variance", *(["equivalence"] if margin is not None else [])]  # type: ignore[list-item]
    return [
        Comparison(
            id=f"{kind}: {pair.name}",
            task=pair.task,
            backbone=pair.backbone,
            treatment=pair.treatment,
            control=pair.control,
            kind=kind,
            family=f"compare: {kind}",
            margin=margin if kind == "equivalence" else None,
            late=True,
        )
        for kind in kinds
    ]


def _shown(
    pair: _Pair, cells: Cells, known: Mapping[str, Fields], findings: Sequence[Json]
) -> Json:
    sides = {
        name: [cells[pair.task, pair.backbone, arm] for arm in dict.fromkeys(arms)]
        for name, arms in (("treatment", pair.treatment), ("control", pair.control))
    }
    aligned = align(sides["treatment"], sides["control"], task=pair.task, with_late=True)
    reasons = [
        {"seed": seed, "side": name, "arm": cell.arm, "reason": cell.failed.get(seed, "no score")}
        for seed in aligned.dropped
        for name, side in sides.items()
        for cell in side
        if seed not in cell.scores
    ]
    return {
        "task": pair.task,
        "backbone": pair.backbone,
        **{name: [known[cell.arm]["label"] for cell in side] for name, side in sides.items()},
        "seeds": list(aligned.seeds),
        "dropped": reasons,
        "findings": [found for found in findings if found["id"].endswith(f": {pair.name}")],
    }
