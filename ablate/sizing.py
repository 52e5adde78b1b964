"""How much memory the trials of a plan take, and how many of them one GPU trains together."""

from dataclasses import dataclass
from typing import Any

from ablate.cell import Cell
from ablate.profile import Profile
from ablate.resolve import Resolved
from trials import backbones
from trials.training.memory import Footprint, predicted

GIB = 2**30


@dataclass(frozen=True)
class Sizing:
    """What the most demanding cell of one backbone takes.

    Attributes:
        backbone: its name.
        cell: key of that cell.
        batch: examples of a microbatch.
        length: tokens of the longest batch that may come.
        precision: `fp32` or `bf16`.
        footprint: bytes, once and for each trial.
        places: trials that train together; None where the GPU's memory is not known.
    """

    backbone: str
    cell: str
    batch: int
    length: int
    precision: str
    footprint: Footprint
    places: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; sizes in bytes."""
        return {
            "backbone": self.backbone,
            "cell": self.cell,
            "batch": self.batch,
            "length": self.length,
            "precision": self.precision,
            "once_bytes": self.footprint.backbone,
            "trial_bytes": self.footprint.member,
            "pack": self.places,
        }

    def __str__(self) -> str:
        once, each = self.footprint.backbone / GIB, self.footprint.member / GIB
        packs = "" if self.places is None else f"; packs of {self.places}"
        return (
            f"{self.backbone}: {once:.2f} GiB once + {each:.2f} GiB a trial, predicted at "
            f"{self.batch} × {self.length} tokens, {self.precision}{packs}"
        )


def sizes(resolved: Resolved, profile: Profile) -> list[Sizing]:
    """One entry for each backbone whose configuration is at hand.

    Args:
        resolved: the study.
        profile: says how much memory a GPU has, and how many trials are packed if not `auto`.
    """
    memory = gpu_memory(profile)
    made = []
    roots, base = resolved.places.model_roots, resolved.places.base_folder
    for reference in resolved.plan.study.backbones:
        cells = [c for c in resolved.plan.cells if c.backbone == reference.name]
        if not cells or not backbones.has_configuration(reference.text, roots, base):
            continue
        config = backbones.configuration(reference.text, roots, base)
        cell = max(cells, key=_demand)
        recipe = cell.template.recipe
        length = min(recipe.max_length, backbones.longest(config))
        spec = cell.template.with_seed(0, "confirm")
        footprint = predicted(config, spec, resolved.facts[cell.task].head, length)
        places = profile.places
        if places is None and memory is not None:
            places = footprint.places(memory)
        made.append(
            Sizing(
                reference.name, cell.key, recipe.batch_size, length, recipe.precision,
                footprint, places,
            )
        )  # fmt: skip
    return made


def gpu_memory(profile: Profile) -> float | None:
    """Bytes of one GPU: as the profile says, else of this machine's; None where neither is."""
    import torch

    if profile.gpu_memory is not None:
        return profile.gpu_memory * GIB
    if profile.device != "cpu" and torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1])
    return None


def _demand(cell: Cell) -> tuple[int, int]:
    """By what cells are compared: tokens of a batch, then the rank."""
    recipe = cell.template.recipe
    rank = cell.template.hyperparameters.get("rank")
    return recipe.batch_size * recipe.max_length, rank if isinstance(rank, int) else 0
