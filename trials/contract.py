"""What every method must hold, as checks that anyone can run on their own.

`ablate check my_method.py` runs them, and so do this project's tests, over every method of the
folder. They need no download: a small encoder with random weights stands for the backbone.
"""

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trials import catalogue
from trials.backbones import FAMILIES, Backbone
from trials.errors import UserError
from trials.spec import Dropout, Recipe, Schedule, Splits, TrialSpec
from trials.tasks.base import Encoded
from trials.training import checkpoint, export
from trials.training.member import Member
from trials.training.pack import Pack

NUM_LABELS = 3
_LIVE = 1e-6
"""A gradient below this share of the largest one counts as none."""

_CANCELLED = re.compile(r"key(_proj)?\.bias$")
"""What has no gradient by definition: a softmax cancels whatever a key's bias adds to its row."""

_PARTICULAR: Mapping[str, Mapping[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
    },
}
"""What a family's small model needs besides its sizes; DeBERTa's is version 3's."""


class Padding:
    """The part of a tokenizer that training needs."""

    pad_token_id = 0
    padding_side = "right"

    def save_pretrained(self, folder: Path) -> None:
        """Nothing to save."""


@dataclass(frozen=True)
class Outcome:
    """One check of one method.

    Attributes:
        check: what must hold.
        problem: what does not; None when it holds.
    """

    check: str
    problem: str | None


def model_of(family: str, **particular: Any) -> Any:
    """A small model of a family, with random weights that do not depend on what ran before.

    Args:
        family: its name in `FAMILIES`.
        particular: fields of its configuration, in place of the usual ones.
    """
    import transformers

    width = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes = {**width, "intermediate_size": 48, "vocab_size": 60, "max_position_embeddings": 40}
    fields = {**sizes, "num_labels": NUM_LABELS, "pad_token_id": 0, **_PARTICULAR.get(family, {})}
    config = transformers.AutoConfig.for_model(family, **{**fields, **particular})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260101)
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    return model.eval().requires_grad_(False)


def examples(num_rows: int = 24) -> Encoded:
    """Random token ids of different lengths."""
    stream = torch.Generator().manual_seed(7)
    lengths = torch.randint(5, 13, (num_rows,), generator=stream).tolist()
    ids = [torch.randint(3, 60, (length,), generator=stream).tolist() for length in lengths]
    labels = torch.randint(0, NUM_LABELS, (num_rows,), generator=stream).tolist()
    return Encoded(ids, None, labels, [f"train-{i}" for i in range(num_rows)], 0)


@dataclass(frozen=True)
class Contract:
    """The checks of one method with one set of hyperparameters.

    Attributes:
        method: registered name.
        hyperparameters: every field.
        family: family of the small backbone.
    """

    method: str
    hyperparameters: Mapping[str, Any]
    family: str = "bert"

    @cached_property
    def spec(self) -> TrialSpec:
        """A trial of the method: 12 steps, warm-up, dropout and accumulation on."""
        return TrialSpec(
            task="contract",
            backbone="small",
            method=self.method,
            hyperparameters=self.hyperparameters,
            targets=("query", "value", "intermediate"),
            recipe=Recipe(
                steps=12,
                batch_size=4,
                accumulate=2,
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

    def trained(self, backbone: Backbone, steps: int = 6) -> Member:
        """A member after some steps."""
        member = self.member(backbone)
        _train(member, steps)
        return member

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
        limit = _LIVE * max(largest.values())
        dead = [n for n, size in largest.items() if size <= limit and not _CANCELLED.search(n)]
        _require(not dead, f"no gradient within two updates: {', '.join(dead)}")

    def check_ownership(self) -> None:
        """Only the trial's own trained parameters change; frozen ones and the backbone never."""
        backbone = self.backbone()
        before = {k: v.clone() for k, v in backbone.model.state_dict().items()}
        fresh = self.member(backbone)
        member = self.trained(backbone)
        after = backbone.model.state_dict()
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
        backbone = self.backbone()
        member = self.trained(backbone)
        with tempfile.TemporaryDirectory() as name:
            tensors = {**member.parameters.trained, **member.parameters.frozen}
            checkpoint.write(Path(name) / "adapter.safetensors", tensors, {})
            again = export.load_member(Path(name), self.spec, backbone, "adapter.safetensors")
        gap = _gap(_outputs(member), _outputs(again))
        _require(gap == 0, f"outputs after loading differ by {gap:.1e}")

    def check_resume(self) -> None:
        """Interrupted and continued, training is bit-equal to one without interruption."""
        backbone = self.backbone()
        whole, first, second = (self.member(backbone) for _ in range(3))
        _train(whole, 12)
        _train(first, 5)
        second.restore(*first.state())
        _train(second, 7)
        _require(
            torch.equal(whole.parameters.values, second.parameters.values),
            f"parameters differ by {_gap(whole.parameters.values, second.parameters.values):.1e}",
        )

    def check_merging(self) -> None:
        """Merged into the weights, the update gives the same outputs (1e-4 in float32).

        A method that declares not to merge is refused by name.
        """
        backbone = self.backbone()
        member = self.trained(backbone)
        if not member.method.merges:
            self._refuses(lambda: export.merge(member, backbone))
            return
        adapted = _outputs(member)
        gap = _gap(adapted, _plain_outputs(export.merge(member, backbone)))
        _require(gap <= 1e-4, f"merged outputs differ by {gap:.1e}")

    def check_export(self) -> None:
        """Exported, it loads as a LoRA of the `peft` library with the same outputs.

        A method that declares not to export is refused by name.
        """
        from peft import PeftModel

        backbone = self.backbone()
        member = self.trained(backbone)
        if not member.method.exports:
            self._refuses(lambda: export.to_peft(member, backbone, "small", Path("nowhere")))
            return
        adapted = _outputs(member)
        with tempfile.TemporaryDirectory() as name:
            folder = export.to_peft(member, backbone, "small", Path(name) / "adapter")
            model = PeftModel.from_pretrained(model_of(self.family), folder)
        gap = _gap(adapted, _plain_outputs(model.eval()))
        _require(gap <= 1e-4, f"outputs of the exported adapter differ by {gap:.1e}")

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
        backbone = self.backbone(torch.float64)
        alone = self.member(backbone)
        packed = self.member(backbone)
        company = [
            self.member(backbone, seed=11),
            Member(_companion(self.spec), backbone, examples()),
        ]
        with Pack(backbone) as pack:
            for _ in range(12):
                pack.step([alone])
            for _ in range(12):
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
    "start", "gradients", "ownership", "saving", "resume", "merging", "export", "packing", "count",
)  # fmt: skip


def contract(method: str, **given: Any) -> Contract:
    """The contract of a method with some hyperparameters given.

    Raises:
        UserError: no such method, or hyperparameters that it does not take.
    """
    family = given.pop("family", "bert")
    return Contract(method, catalogue.complete(method, given), family)


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


def _train(member: Member, steps: int) -> None:
    with Pack(member.backbone) as pack:
        for _ in range(steps):
            pack.step([member])


def _outputs(member: Member) -> Tensor:
    with Pack(member.backbone) as pack:
        return pack.outputs(member, examples())


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
