"""Any method of the `peft` library, by the name of its configuration: `peft.IA3Config`.

The library changes a copy of the backbone in the way that its configuration says, so such trials
run alone. Its fields are the configuration's own, at the installed version's defaults.
"""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trials.catalogue import OF_PEFT, hyper, register
from trials.errors import UserError, nearest
from trials.methods.base import Method, Site, fused

if TYPE_CHECKING:
    from torch import Generator, nn

_OF_THE_STUDY = frozenset(
    {
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "modules_to_save",
    }
)
"""Fields that say what a study says already: task, backbone, and that the head trains."""
_STEERED: Mapping[str, str] = {
    "AdaLoraConfig": "use method adalora",
    "OSFConfig": "use method full",
}
"""Configurations whose tuner must be called at every step by the loop that trains it."""


@dataclass(frozen=True, kw_only=True)
class PeftMethod(Method):
    """A configuration of the library, filled in from a study.

    Where `target_modules` is silent it is what the trial targets.
    """

    source = "Mangrulkar et al. 2022, the peft library"
    starts_at_backbone: ClassVar[bool | None] = None
    packs: ClassVar[bool] = False
    configuration: ClassVar[Any]

    @classmethod
    def invalid(cls, hyperparameters: Mapping[str, Any]) -> str | None:
        """What the library says of a combination of its fields."""
        try:
            cls._configured(hyperparameters)
        except Exception as error:  # noqa: BLE001 - its checks raise whatever they like
            return f"{cls.name}: {' '.join(str(error).split())}"
        return None

    @classmethod
    def _configured(cls, hyperparameters: Mapping[str, Any]) -> Any:
        """The library's object; fields at their defaults are left to the library."""
        defaults = {item.name: item.default for item in dataclasses.fields(cls)}
        given = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in hyperparameters.items()
            if value != defaults[name]
        }
        return cls.configuration(**given)

    def configured(self, targeted: Sequence[Site]) -> Any:
        """The library's configuration of this trial.

        Args:
            targeted: what it stands at where it does not say so itself.
        """
        names = [item.name for item in dataclasses.fields(self)]
        made = self._configured({name: getattr(self, name) for name in names})
        if getattr(made, "target_modules", "") is None:
            made.target_modules = {site.path for site in targeted}
        return made

    def adapt(self, model: nn.Module, targeted: Sequence[Site], generator: Generator) -> None:
        """Let the library put its modules in; whatever it draws comes from the generator's seed."""
        import torch
        from peft import get_peft_model

        configured = self.configured(targeted)
        if getattr(self, "target_modules", "") is None:
            self._refuse_parts(model, targeted)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # What the library has to say to its own developers.
            warnings.simplefilter("ignore")
            torch.manual_seed(generator.initial_seed())
            try:
                get_peft_model(model, configured)
            except Exception as error:  # noqa: BLE001 - the library raises whatever it likes
                raise UserError(f"{self.name}: {' '.join(str(error).split())}") from error
        dropped = [n for n, v in _dropouts(configured) if v]
        if dropped and not any(isinstance(m, torch.nn.Dropout) and m.p for m in _added(model)):
            raise UserError(f"{self.name}: {dropped[0]} is of a kind that cannot be drawn by seed")

    def _refuse_parts(self, model: nn.Module, targeted: Sequence[Site]) -> None:
        """The library knows whole maps alone."""
        for site in fused(targeted):
            weight = model.get_submodule(site.path).weight
            if site.outputs * site.inputs != weight.numel():  # type: ignore[operator]
                raise UserError(
                    f"{self.name} adapts whole maps, and of {site.path} the targets name "
                    f"{site.target.replace('+', ' and ')} alone; name all that it holds"
                )

    def absorb(self, model: nn.Module) -> None:
        """Merge the library's layers and take them out again."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [(p, m) for p, m in model.named_modules() if isinstance(m, BaseTunerLayer)]
        for path, layer in layers:
            try:
                layer.merge(safe_merge=True)
            except Exception as error:  # noqa: BLE001 - as above
                reason = " ".join(str(error).split()) or "the library cannot merge it"
                raise UserError(f"method '{self.name}': {reason}") from error
            owner, _, name = path.rpartition(".")
            setattr(model.get_submodule(owner), name, layer.get_base_layer())
        if hasattr(model, "peft_config"):
            del model.peft_config


def _dropouts(configured: Any) -> Iterator[tuple[str, Any]]:
    for item in dataclasses.fields(configured):
        if "dropout" in item.name:
            yield item.name, getattr(configured, item.name)


def _added(model: nn.Module) -> Iterator[nn.Module]:
    """What the library's layers hold beside the map that they stand at."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in model.modules():
        if isinstance(layer, BaseTunerLayer):
            for name, part in layer.named_children():
                if name != "base_layer":
                    yield from part.modules()


def describe(name: str) -> None:
    """Register the method of a configuration class.

    Args:
        name: `peft.` and the class.

    Raises:
        UserError: the installed library has no such class, or it cannot be trained here.
    """
    peft = importlib.import_module("peft")
    classes = {
        key: value
        for key, value in vars(peft).items()
        if isinstance(value, type) and issubclass(value, peft.PeftConfig) and _is_tuner(value)
    }
    key = name.removeprefix(OF_PEFT)
    if key in _STEERED:
        raise UserError(f"{name} must be called at every step by who trains it: {_STEERED[key]}")
    if key not in classes:
        if isinstance(getattr(peft, key, None), type):
            raise UserError(f"{name} changes no module of a backbone, so it cannot be trained here")
        raise UserError(f"peft has no {key}{nearest(key, classes)}")
    configuration = classes[key]
    items: list[tuple[str, Any, Any]] = [
        (item.name, Any, hyper(_plain_default(item), free=True, help="as the library has it"))
        for item in dataclasses.fields(configuration)
        if item.name not in _OF_THE_STUDY
    ]
    made = dataclasses.make_dataclass(
        key, items, bases=(PeftMethod,), frozen=True, kw_only=True,
        namespace={"configuration": configuration, "__module__": __name__},
    )  # fmt: skip
    register(name)(made)


def _is_tuner(configuration: Any) -> bool:
    """Whether its tuner changes modules of a model; prompts, for one, do not."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTuner

    kinds = [k for k, known in PEFT_TYPE_TO_CONFIG_MAPPING.items() if known is configuration]
    tuners = [PEFT_TYPE_TO_TUNER_MAPPING[kind] for kind in kinds]
    return any(issubclass(tuner, BaseTuner) for tuner in tuners)


def _plain_default(item: dataclasses.Field[Any]) -> Any:
    """A field's default where it is plain; None for whatever the library makes anew."""
    default = item.default
    return default if isinstance(default, bool | int | float | str) else None
