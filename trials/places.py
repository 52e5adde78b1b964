"""Where a trial finds its data, backbone and code: what belongs to a machine, not to a trial."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from trials.catalogue import LocalCode, packs
from trials.families import Reads
from trials.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Places:
    """Roots and folders on one machine.

    Attributes:
        data: folders that hold tasks by name.
        models: folders that hold backbones by name.
        base: what relative folders of a study are relative to.
    """

    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    base: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain JSON types, as `dataclasses.asdict` gives them."""
        return cls(data=tuple(value["data"]), models=tuple(value["models"]), base=value["base"])

    @property
    def data_roots(self) -> tuple[Path, ...]:
        """`data` as paths."""
        return tuple(Path(p) for p in self.data)

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """`models` as paths."""
        return tuple(Path(p) for p in self.models)

    @property
    def base_folder(self) -> Path | None:
        """`base` as a path."""
        return None if self.base is None else Path(self.base)


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A trial and all that a process needs to train it; travels between processes as JSON.

    Attributes:
        spec: what to train.
        task, backbone: how the study refers to them: a name or a folder.
        places: where those are looked up.
        code: local source files, by content.
        folder: where the trial's checkpoint and results go.
        reads: what the task's head reads.
        source: folder of the trial whose adapter it starts from; None where there is none.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; more than one may round differently.
    """

    spec: TrialSpec
    task: str
    backbone: str
    places: Places
    folder: str
    reads: Reads = "text"
    source: str | None = None
    code: tuple[LocalCode, ...] = ()
    device: str = "cpu"
    threads: int = 1

    @property
    def kind(self) -> tuple[object, ...]:
        """What trials that can train in one pass have in common; their id, if they never share."""
        recipe = self.spec.recipe
        shared = (
            self.backbone,
            self.spec.backbone_digest,
            recipe.precision,
            recipe.base_precision,
            recipe.gradient_checkpointing,
            self.reads,
        )
        return shared if packs(self.spec.method) else (*shared, self.spec.id)

    @property
    def batches(self) -> tuple[object, ...]:
        """What trials that see the same batches have in common."""
        recipe = self.spec.recipe
        return (self.spec.task, self.spec.seed_on_the_way, recipe.batch_size, recipe.accumulate)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **own,
            "spec": self.spec.to_json(),
            "places": asdict(self.places),
            "code": [asdict(item) for item in self.code],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any] | str) -> Self:
        """Inverse of `to_json`; takes its text as well."""
        value = json.loads(given) if isinstance(given, str) else given
        return cls(
            **{
                **value,
                "spec": TrialSpec.from_json(value["spec"]),
                "places": Places.from_json(value["places"]),
                "code": tuple(LocalCode(**c) for c in value["code"]),
            }
        )
