"""One trial in an engine: its method, parameters, optimiser and place in the data.

A member knows nothing of the pack it trains in.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from trials.backbones import Backbone
from trials.catalogue import lookup
from trials.errors import UserError
from trials.families import Head
from trials.methods.base import Method, Site, Update
from trials.sites import adapted, head_sites
from trials.spec import Recipe, TrialSpec
from trials.tasks.base import Encoded
from trials.training import data, losses
from trials.training.attention import refuse_unsupported
from trials.training.dropouts import refuse_out_of_reach
from trials.training.optimiser import FlatAdamW
from trials.training.own import own_copy
from trials.training.parameters import Parameters
from trials.training.scaling import LEAST, LossScale
from trials.training.schedule import multiplier, num_warmup


def build_method(spec: TrialSpec) -> Method:
    """The method object of a spec."""
    hyperparameters = {
        k: tuple(v) if isinstance(v, list) else v for k, v in spec.hyperparameters.items()
    }
    method = lookup("method", spec.method)(**hyperparameters)
    assert isinstance(method, Method)
    return method


def kept_head(backbone: Backbone, head: Head | None) -> dict[str, Tensor]:
    """The head of a backbone's checkpoint, by the names of a trial's parameters.

    It has an output for each label of the task that it was trained on: the loss reads them all,
    the task's own labels are the first (as the authors of TLoRA keep the three of MNLI).

    Raises:
        UserError: the checkpoint has none, or one of too few outputs, or the task's reads tokens.
    """
    if head is not None and head.reads == "tokens":
        raise UserError(
            "head: freeze keeps the head that classifies texts, but the task's reads every token; "
            "train it"
        )
    if not backbone.has_head:
        raise UserError(
            f"head: freeze keeps the head of the backbone's checkpoint, but '{backbone.name}' "
            "comes without one; train it, or name a backbone that was trained to classify"
        )
    modules = {path: backbone.model.get_submodule(path) for path in backbone.family.head}
    last = modules[backbone.family.head[-1]]
    outputs = int(last.weight.shape[0])
    num_outputs = None if head is None else head.outputs
    if num_outputs is not None and (outputs < num_outputs or (num_outputs == 1 != outputs)):
        raise UserError(
            f"head: freeze: the head of '{backbone.name}' has {outputs} outputs, and the task "
            f"needs {num_outputs}"
        )
    return {
        f"head.{path}.{part}": tensor.detach().clone()
        for path, module in modules.items()
        for part, tensor in module.named_parameters()
    }


def _head(
    backbone: Backbone, recipe: Recipe, head: Head | None
) -> tuple[list[tuple[Site, bool]], dict[str, Tensor] | None]:
    """The maps of a trial's own head, and what they start as; None for random values.

    A language model's words are the backbone's, whatever the recipe says of heads.
    """
    if backbone.writes:
        return [], None
    if recipe.head_start != "backbone":
        return head_sites(backbone.model, backbone.family, head), None
    # A head that is the checkpoint's keeps all of its outputs.
    return head_sites(backbone.model, backbone.family), kept_head(backbone, head)


class Member:
    """The state of one trial while it trains.

    Attributes:
        spec: what is trained.
        method: its method.
        backbone: what it trains over: the one given, or its method's changed copy.
        sites: the maps that its method adapts.
        parameters: what it owns.
        optimiser: AdamW over its flat vector.
        step: optimiser steps done.
        num_steps: optimiser steps in all.
        head: what its head reads, and how many numbers it gives.
        dense: site -> gradient of the loss by the site's dense change, summed over a step;
            empty unless the method reads it.
        diverged: why it stopped, once a loss or gradient was not finite.
        scale: of its loss, where it trains in float16; None in other precisions.
        overflowed: whether the gradient of the last step that was read did, for its scale.
    """

    def __init__(
        self,
        spec: TrialSpec,
        backbone: Backbone,
        train: Encoded,
        head: Head | None = None,
    ) -> None:
        """Start a trial.

        Args:
            spec: what is trained.
            backbone: what it adapts.
            train: the examples.
            head: what the task asks of its head; None for the model's own.
        """
        recipe = spec.recipe
        if recipe.dropout.attention:
            refuse_unsupported(backbone)
        if recipe.dropout.backbone or recipe.dropout.attention:
            refuse_out_of_reach(backbone)
        like = next(backbone.model.parameters())
        self.spec = spec
        self.recipe = recipe
        self.train = train
        self.method = build_method(spec)
        self.sites = adapted(backbone.model, backbone.family, self.method, spec.targets)
        maps, head_start = _head(backbone, recipe, head)
        reads = "text" if head is None else head.reads
        self.head = Head(maps[-1][0].outputs, reads) if maps else Head(0, "words")
        own = None
        if not self.method.packs:
            own = own_copy(backbone, self.method, self.sites, spec.seed)
        self.backbone = backbone if own is None else own.backbone
        self.parameters = Parameters(
            self.method,
            self.sites if own is None else (),
            maps,
            seed=spec.seed,
            train_head=recipe.head == "train",
            head_std=backbone.initializer_range,
            device=like.device,
            dtype=like.dtype,
            head_start=head_start,
            own=None if own is None else own.trained,
            fixed=None if own is None else own.fixed,
        )
        self.num_steps = data.num_steps(recipe, len(train.input_ids))
        self.step = 0
        self.dense: dict[str, Tensor] = {}
        self.diverged: str | None = None
        self.scale = LossScale() if recipe.precision == "fp16" else None
        self.overflowed = False
        self._loss_sum, self._loss_steps = 0.0, 0
        self.optimiser = FlatAdamW(
            self.parameters.values,
            self.parameters.gradient,
            self.parameters.decays() if recipe.optimizer.weight_decay else None,
            recipe.optimizer,
            recipe.learning_rate,
            self._rate,
        )
        self._mark_alive()

    def _rate(self, age: int, birth: int) -> float:
        """The multiplier of the learning rate, so many steps after a birth at a step."""
        schedule = self.recipe.schedule
        warmup = num_warmup(schedule, self.num_steps)
        if self.method.restarts():
            return multiplier(schedule, age, self.num_steps - birth, warmup)
        return multiplier(schedule, birth + age, self.num_steps, warmup)

    @property
    def done(self) -> bool:
        """Whether no step is left, or none can be taken."""
        return self.step >= self.num_steps or self.diverged is not None

    @property
    def epoch(self) -> float:
        """Passes over the training split done."""
        return self.step / data.steps_per_epoch(self.recipe, len(self.train.input_ids))

    def rows(self) -> list[tuple[int, ...]]:
        """Rows of the next step, one tuple for each microbatch."""
        seed = self.spec.seed_on_the_way
        return data.rows_of_step(self.recipe, seed, self.step, len(self.train.input_ids))

    def updates(self) -> list[Update]:
        """What the method adds, one entry for each group of sites."""
        return [self.method.update(g.tensors) for g in self.parameters.groups]

    def losses(self, outputs: Tensor, labels: Tensor, live: Tensor | None = None) -> Tensor:
        """The loss of each example, (B,), or of each token that is learned, (n,).

        Args:
            outputs: (B, O), (B, L, O) of a head that reads every token, or (n, V) of words.
            labels: as in `Batch`.
            live: (B, L) booleans, which tokens are there; needed where tokens are read.
        """
        outputs = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
        smoothing = self.recipe.label_smoothing
        if live is None:
            return losses.of_texts(outputs, labels, smoothing)
        return losses.of_places(outputs, labels, live, smoothing)

    def penalty(self) -> Tensor | None:
        """The method's own term of the loss: a mean over all sites."""
        terms = [self.method.penalty(g.tensors) for g in self.parameters.groups]
        present = [t for t in terms if t is not None]
        return torch.cat(present).mean() if present else None

    def hide_unborn(self) -> None:
        """What is not alive yet counts neither for clipping nor for Adam's moments."""
        if self.optimiser.cohorts is not None:
            self.parameters.gradient.mul_(self.optimiser.cohorts > 0)

    def note(self, step: int, loss: float, norm: float) -> None:
        """Take in the figures of a step; the first that is not finite ends the training.

        Args:
            step: optimiser steps that were done before it.
            loss: its training loss.
            norm: the norm of its gradient, before clipping.
        """
        if self.diverged is not None:
            return
        self.overflowed = False
        if self.scale is not None and math.isfinite(loss):
            self.overflowed = not math.isfinite(norm)
            if self.overflowed:
                self.dense.clear()
                self.scale.back_off()
            else:
                self.scale.go_on()
        if not math.isfinite(loss) or (not math.isfinite(norm) and not self._may_skip):
            what = f"loss {loss}" if not math.isfinite(loss) else f"gradient norm {norm}"
            self.diverged = f"{what} at step {step + 1} of {self.num_steps}"
            return
        self._loss_sum += loss
        self._loss_steps += 1

    @property
    def _may_skip(self) -> bool:
        """Whether a gradient that is not finite may be one with a smaller scale."""
        return self.overflowed and self.scale is not None and self.scale.value >= LEAST

    def unscale(self) -> None:
        """Divide the step's gradients by the scale of its loss."""
        if self.scale is None:
            return
        self.parameters.gradient.div_(self.scale.value)
        self.dense = {site: dense / self.scale.value for site, dense in self.dense.items()}

    def note_dense(self, site: str, gradient: Tensor) -> None:
        """Add one pass's gradient of the loss by a site's dense change, (O, I)."""
        known = self.dense.get(site)
        self.dense[site] = gradient if known is None else known + gradient

    def prepare(self) -> None:
        """Let the method see the step's gradient before the optimiser moves anything."""
        groups = [g.tensors for g in self.parameters.groups]
        gradients = [
            {k: t.grad for k, t in tensors.items() if t.grad is not None} for tensors in groups
        ]
        if self.method.reads_dense_gradient:
            for group, of_group in zip(self.parameters.groups, gradients, strict=True):
                of_group["delta"] = torch.stack([self.dense.pop(s.name) for s in group.sites])
        self.method.before_step(groups, gradients, self.step + 1, self.num_steps)

    def advance(self) -> None:
        """Count a step that the optimiser has taken, and let the method follow it."""
        self.step += 1
        groups = [g.tensors for g in self.parameters.groups]
        self.method.after_step(groups, self.step, self.num_steps)
        self._mark_alive()

    def take_train_loss(self) -> float:
        """Mean training loss since the last call; NaN when no step was taken since."""
        mean = self._loss_sum / self._loss_steps if self._loss_steps else math.nan
        self._loss_sum, self._loss_steps = 0.0, 0
        return mean

    def curves(self) -> Mapping[str, float]:
        """Figures of the method worth a curve, and the scale of the loss where there is one."""
        curves = self.method.curves([g.tensors for g in self.parameters.groups])
        if self.scale is None:
            return curves
        skipped = float(self.scale.skipped)
        return {**curves, "loss_scale": self.scale.value, "skipped_steps": skipped}

    def forget_births(self) -> None:
        """Take what is alive now as having been there from the start."""
        self.optimiser.cohorts, self.optimiser.births = None, [0, 0]
        self._mark_alive()

    def _mark_alive(self) -> None:
        alive = self.parameters.alive(self.method)
        if alive is not None:
            self.optimiser.set_alive(alive)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """All that a continuation needs: tensors, and plain numbers."""
        tensors = {
            "values": self.parameters.values,
            "mean": self.optimiser.mean,
            "square": self.optimiser.square,
        }
        if self.optimiser.cohorts is not None:
            tensors["cohorts"] = self.optimiser.cohorts
        tensors |= {f"buffer.{k}": v for k, v in self._buffers().items()}
        numbers: dict[str, object] = {
            "step": self.step,
            "births": list(self.optimiser.births),
            "loss": [self._loss_sum, self._loss_steps],
        }
        if self.scale is not None:
            numbers |= {"updates": self.optimiser.step, "scale": asdict(self.scale)}
        return {k: v.detach().clone() for k, v in tensors.items()}, dict(numbers)

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, object]) -> None:
        """Continue from `state`, bit for bit."""
        with torch.no_grad():
            self.parameters.values.copy_(tensors["values"])
            self.optimiser.mean.copy_(tensors["mean"])
            self.optimiser.square.copy_(tensors["square"])
            for name, buffer in self._buffers().items():
                buffer.copy_(tensors[f"buffer.{name}"])
        if "cohorts" in tensors:
            self.optimiser.cohorts = tensors["cohorts"].to(self.parameters.values.device, copy=True)
        self.step = self.optimiser.step = int(numbers["step"])  # type: ignore[call-overload]
        if self.scale is not None:
            self.optimiser.step = int(numbers["updates"])  # type: ignore[call-overload]
            self.scale = LossScale(**numbers["scale"])  # type: ignore[arg-type]
        self.optimiser.births = list(numbers["births"])  # type: ignore[call-overload]
        self._loss_sum, self._loss_steps = numbers["loss"]  # type: ignore[misc]

    def _buffers(self) -> dict[str, Tensor]:
        names = self.method.buffers()
        return {k: v for k, v in self.parameters.frozen.items() if k.rpartition(".")[2] in names}

    def adapter(self) -> tuple[Tensor, dict[str, Tensor]]:
        """A copy of what the trial has learned: flat values and the method's buffers."""
        buffers = {k: v.detach().clone() for k, v in self._buffers().items()}
        return self.parameters.values.detach().clone(), buffers

    def load_adapter(self, values: Tensor, buffers: Mapping[str, Tensor]) -> None:
        """Put back what `adapter` copied."""
        with torch.no_grad():
            self.parameters.values.copy_(values)
            for name, buffer in self._buffers().items():
                buffer.copy_(buffers[name])
