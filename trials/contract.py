"""What every method must hold, as checks that anyone can run on their own.

`ablate check my_method.py` runs them, and so do this project's tests, over every method of the
folder. They need no download: a small encoder with random weights stands for the backbone.
"""

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trials import catalogue
from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import FAMILIES
from trials.small import Padding, examples, model_of
from trials.spec import Dropout, Recipe, Schedule, Splits, TrialSpec
from trials.training import checkpoint, export
from trials.training.member import Member
from trials.training.pack import Pack

RANKS = "total_rank"
"""The curve of a method whose ranks change."""

_DEAD = 1e-6
"""Of the largest gradient: what has no more than that has none."""

_EXEMPT = re.compile(r"key(_proj)?\.bias$|encoder\.LayerNorm\.bias$")
"""By name: a key's bias has no gradient by definition, for a softmax cancels whatever it adds to
its row; that of DeBERTa's norm of relative positions is alive, but with random weights fainter
than the limit (6e-7 of the largest, in float64 as in float32)."""


@dataclass(frozen=True)
class Outcome:
    """One check of one method.

    Attributes:
        check: what must hold.
        problem: what does not; None when it holds.
    """

    check: str
    problem: str | None


@dataclass(frozen=True)
class Training:
    """A training to its end.

    Attributes:
        backbone: what it was given; a method of a library has changed a copy of it.
        member: as it ended.
        states: after each step, to continue from.
        ranks: the total rank before the first step and after each; None of a method without.
    """

    backbone: Backbone
    member: Member
    states: Sequence[Any]
    ranks: Sequence[float | None]


@dataclass(frozen=True)
class Contract:
    """The checks of one method with one set of hyperparameters.

    Attributes:
        method: registered name.
        hyperparameters: every field.
        family: family of the small backbone.
        targets: what it adapts there.
    """

    method: str
    hyperparameters: Mapping[str, Any]
    family: str = "bert"
    targets: tuple[str, ...] = ("query", "value", "intermediate")

    @cached_property
    def spec(self) -> TrialSpec:
        """A trial of the method: 8 steps, warm-up and dropout on."""
        return TrialSpec(
            task="contract",
            backbone="small",
            method=self.method,
            hyperparameters=self.hyperparameters,
            targets=self.targets,
            recipe=Recipe(
                steps=8,
                batch_size=4,
                learning_rate=5e-3,
                schedule=Schedule(warmup=0.1),
                dropout=Dropout(backbone=0.1, adapter=0.1),
            ),
            splits=Splits(),
            seed=3,
            stage="confirm",
        )

    def backbone(self, dtype: torch.dtype = torch.float32) -> Backbone:
        """The small backbone."""
        model = model_of(self.family).to(dtype)
        return Backbone("small", "none", model, Padding(), FAMILIES[self.family])

    def member(self, backbone: Backbone, **changes: Any) -> Member:
        """A member that has not trained yet."""
        return Member(dataclasses.replace(self.spec, **changes), backbone, examples())

    @cached_property
    def training(self) -> Training:
        """A whole training in float32, for every check that only looks at one."""
        return self._train(self.backbone())

    @cached_property
    def exact_training(self) -> Training:
        """A whole training in the precision in which two ways must agree."""
        return self._train(self.backbone(self._exactly[0]))

    def _train(self, backbone: Backbone) -> Training:
        member = self.member(backbone)
        states, ranks = [], [member.curves().get(RANKS)]
        with Pack(member.backbone) as pack:
            while not member.done:
                pack.step([member])
                states.append(member.state())
                ranks.append(member.curves().get(RANKS))
        return Training(backbone, member, states, ranks)

    def check_start(self) -> None:
        """At step 0 the adapted model is the backbone, unless the paper says otherwise."""
        backbone = self.backbone()
        member = self.member(backbone)
        adapted = _outputs(member)
        gap = _gap(adapted, _outputs_without_update(backbone, member))
        starts = member.method.starts_at_backbone
        if starts is None:
            return
        _require(not starts or gap == 0, f"outputs at step 0 are {gap:.1e} from the backbone's")
        _require(starts or gap > 0, "is declared not to start at the backbone, but does")

    def check_gradients(self) -> None:
        """Within two updates every trained tensor has a gradient, where its elements are alive."""
        backbone = self.backbone()
        recipe = dataclasses.replace(
            self.spec.recipe, schedule=Schedule(name="constant"), dropout=Dropout()
        )
        member = self.member(backbone, recipe=recipe)
        largest: dict[str, float] = {}
        with Pack(member.backbone) as pack:
            for _ in range(3):
                pack.step([member])
                for path, tensor in member.parameters.trained.items():
                    assert tensor.grad is not None
                    name = _over_sites(path, backbone)
                    size = float(tensor.grad.abs().max())
                    largest[name] = max(largest.get(name, 0.0), size)
        limit = _DEAD * max(largest.values())
        dead = [n for n, size in largest.items() if size <= limit and not _EXEMPT.search(n)]
        _require(not dead, f"no gradient within two updates: {', '.join(dead)}")

    def check_ownership(self) -> None:
        """Only the trial's own trained parameters change; frozen ones and the backbone never."""
        member, fresh = self.training.member, self.member(self.backbone())
        before = self.backbone().model.state_dict()
        after = self.training.backbone.model.state_dict()
        _require(all(torch.equal(before[k], after[k]) for k in before), "the backbone has changed")
        buffers = member.method.buffers()
        for name, tensor in member.parameters.frozen.items():
            if name.rpartition(".")[2] not in buffers:
                same = torch.equal(tensor, fresh.parameters.frozen[name])
                _require(same, f"frozen parameter {name} has changed")
        moved = not torch.equal(member.parameters.values, fresh.parameters.values)
        _require(moved, "training has changed nothing")

    def check_saving(self) -> None:
        """Saved and loaded, the adapter gives the same outputs."""
        member, backbone = self.training.member, self.training.backbone
        with tempfile.TemporaryDirectory() as name:
            tensors = {**member.parameters.trained, **member.parameters.frozen}
            checkpoint.write(Path(name) / "adapter.safetensors", tensors, {})
            again = export.load_member(Path(name), self.spec, backbone, "adapter.safetensors")
        gap = _gap(_outputs(member), _outputs(again))
        _require(gap == 0, f"outputs after loading differ by {gap:.1e}")

    def check_resume(self) -> None:
        """Interrupted and continued, training is bit-equal to one without interruption.

        A method that grows or prunes is interrupted in the middle of it.
        """
        whole = self.training
        second = self.member(self.backbone())
        second.restore(*whole.states[interrupted(whole.ranks[1:]) - 1])
        with Pack(second.backbone) as pack:
            while not second.done:
                pack.step([second])
        one, other = whole.member.parameters.values, second.parameters.values
        _require(torch.equal(one, other), f"parameters differ by {_gap(one, other):.1e}")

    def check_budget(self) -> None:
        """Ranks keep within the budget: at the end it is met at most, before never exceeded."""
        budget = self.hyperparameters.get("rank", 0) * len(self.training.member.sites)
        of_step = [rank for rank in self.training.ranks if rank is not None]
        if not of_step:
            return
        _require(of_step[-1] <= budget, f"{of_step[-1]:g} ranks at the end, {budget} are allowed")
        most = max(of_step[0], budget)
        _require(max(of_step) <= most, f"{max(of_step):g} ranks on the way, {most:g} are allowed")

    @property
    def _exactly(self) -> tuple[torch.dtype, float]:
        """A precision, and what outputs may differ by there; the library computes in float32."""
        return (torch.float64, 1e-12) if catalogue.packs(self.method) else (torch.float32, 1e-4)

    def check_merging(self) -> None:
        """Merged into the weights, the update gives the same outputs (1e-12 in float64).

        A method that declares not to merge is refused by name.
        """
        _, limit = self._exactly
        member, backbone = self.exact_training.member, self.exact_training.backbone
        if not member.method.merges:
            self._refuses(lambda: export.merge(member, backbone))
            return
        adapted = _outputs(member)
        gap = _gap(adapted, _plain_outputs(export.merge(member, backbone)))
        _require(gap <= limit, f"merged outputs differ by {gap:.1e}")

    def check_export(self) -> None:
        """Exported, it loads as a LoRA of the `peft` library with the same outputs (as merged).

        A method that declares not to export is refused by name.
        """
        from peft import PeftModel

        dtype, limit = self._exactly
        member, backbone = self.exact_training.member, self.exact_training.backbone
        if not member.method.exports:
            self._refuses(lambda: export.to_peft(member, backbone, "small", Path("nowhere")))
            return
        adapted = _outputs(member)
        with tempfile.TemporaryDirectory() as name:
            folder = export.to_peft(member, backbone, "small", Path(name) / "adapter")
            model = PeftModel.from_pretrained(model_of(self.family).to(dtype), folder)
        gap = _gap(adapted, _plain_outputs(model.eval()))
        _require(gap <= limit, f"outputs of the exported adapter differ by {gap:.1e}")

    def _refuses(self, work: Callable[[], object]) -> None:
        try:
            work()
        except UserError as error:
            _require(f"'{self.method}'" in str(error), f"does not name the method: {error}")
        else:
            _require(False, "is declared impossible, but works")

    def check_packing(self) -> None:
        """In a pack with two other trials it trains to the same parameters (float64).

        A method that declares not to pack is never in one.
        """
        if not catalogue.packs(self.method):
            return
        alone, backbone = self.exact_training.member, self.exact_training.backbone
        packed = self.member(backbone)
        company = [
            self.member(backbone, seed=11),
            Member(_companion(self.spec), backbone, examples()),
        ]
        with Pack(backbone) as pack:
            while not packed.done:
                pack.step([company[0], packed, company[1]])
        gap = _gap(alone.parameters.values, packed.parameters.values)
        _require(gap <= 1e-11, f"parameters differ by {gap:.1e} from those of the trial alone")
        other = _gap(alone.parameters.values, company[0].parameters.values)
        _require(other > 1e-3, "another seed gives the same parameters, so this proves nothing")

    def check_count(self) -> None:
        """The method's formula counts what its `init` makes, unless it grows or prunes."""
        member = self.member(self.backbone())
        formula = [member.method.num_parameters(site) for site in member.sites]
        groups = [group.tensors for group in member.parameters.groups]
        if None in formula or any(member.method.counted(group) for group in groups):
            return
        made, _ = member.parameters.counts(member.method)
        expected = sum(number or 0 for number in formula)
        _require(made == expected, f"init makes {made} trained numbers, the formula {expected}")

    def outcomes(self) -> Iterator[Outcome]:
        """Run every check."""
        for name in CHECKS:
            check: Callable[[], None] = getattr(self, f"check_{name}")
            what = (check.__doc__ or name).strip().splitlines()[0]
            try:
                check()
            except (AssertionError, UserError) as error:
                yield Outcome(what, str(error))
            except Exception as error:  # noqa: BLE001 - a user's method may raise anything
                yield Outcome(what, f"{type(error).__name__}: {error}")
            else:
                yield Outcome(what, None)


CHECKS = (
    "start", "gradients", "ownership", "saving", "resume", "budget", "merging", "export", "packing",
    "count",
)  # fmt: skip


def interrupted(ranks: Sequence[float | None]) -> int:
    """After how many steps a training is interrupted: in the middle of its growth, if it grows.

    Args:
        ranks: the total rank after each step; None of a method that has none.
    """
    ends = {ranks[0], ranks[-1]}
    between = [step for step, rank in enumerate(ranks, start=1) if rank not in ends]
    return between[len(between) // 2] if between else 5


def contract(method: str, **given: Any) -> Contract:
    """The contract of a method with some hyperparameters given, and `family` and `targets`.

    Raises:
        UserError: no such method, or hyperparameters that it does not take.
    """
    where = {name: given.pop(name) for name in ("family", "targets") if name in given}
    return Contract(method, catalogue.complete(method, given), **where)


def _companion(spec: TrialSpec) -> TrialSpec:
    """A trial of another method, rank, seed and targets."""
    return dataclasses.replace(
        spec,
        method="lora",
        hyperparameters=catalogue.complete("lora", {"rank": 3}),
        targets=("query", "output"),
        seed=5,
    )


def _outputs_without_update(backbone: Backbone, member: Member) -> Tensor:
    """The backbone with the member's head alone."""
    model = model_of(backbone.model.config.model_type)
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            getattr(model.get_submodule(path), part).data.copy_(tensor.detach())
    return _plain_outputs(model)


@torch.no_grad()
def _plain_outputs(model: Any) -> Tensor:
    """Outputs of a model without hooks, in the same batches as ours."""
    from trials.training.data import collate, evaluation_rows

    data = examples()
    made, order = [], []
    for rows in evaluation_rows(data):
        batch = collate(data, rows, 0)
        made.append(model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits)
        order.extend(rows)
    stacked = torch.cat(made)
    return torch.empty_like(stacked).index_copy_(0, torch.tensor(order), stacked)


def _over_sites(name: str, backbone: Backbone) -> str:
    """A trained tensor's name without its site: ours are stacked, a library's lie apart."""
    path = name.removeprefix("model.")
    if path == name or path in dict(backbone.model.named_parameters()):
        return name
    paths = [p for p, _ in backbone.model.named_modules() if p and path.startswith(f"{p}.")]
    return path.removeprefix(f"{max(paths, key=len, default='')}.")


def _outputs(member: Member) -> Tensor:
    with Pack(member.backbone) as pack:
        made: Tensor = pack.outputs(member, examples())
        return made


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
