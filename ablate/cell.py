"""A cell: the unit that is searched and confirmed."""

from dataclasses import dataclass

from ablate.arm import Arm
from ablate.precedence import cell_values
from ablate.space import Space
from trials.spec import Json, TrialSpec


@dataclass(frozen=True)
class Cell:
    """Arm × task × backbone.

    Attributes:
        key: digest of everything that determines the results of the cell's search, and of nothing
            else: neither the label, nor the budget, nor what else the study holds.
        task: the task's name.
        backbone: the backbone's name.
        arm: what is compared.
        template: the trial before nuisance values, at seed 0 of the confirm stage.
        space: nuisance -> distribution; empty where nothing is tuned.
        source: key of the cell whose adapters its trials start from; None for the backbone.
    """

    key: str
    task: str
    backbone: str
    arm: Arm
    template: TrialSpec
    space: Space
    source: str | None = None

    @property
    def name(self) -> str:
        """How messages and logs call it."""
        return f"{self.arm.id} on {self.task}, {self.backbone}"

    @property
    def values(self) -> dict[str, Json]:
        """Everything that an expression may read of it, by name, before nuisance values."""
        return {
            **cell_values(self.arm, self.task, self.backbone, self.template.recipe),
            **self.template.hyperparameters,
        }

    def to_json(self) -> dict[str, Json]:
        """What `plan.json` keeps of it."""
        return {
            "key": self.key,
            "task": self.task,
            "backbone": self.backbone,
            "arm": self.arm.id,
            "template": self.template.to_json(),
            "space": self.space,
            "source": self.source,
        }
