"""LoRA, AdaLoRA and VeRA train to the losses of the `peft` library's own modules.

The oracle is the library's model over a copy of the same small BERT, given our starting values, in
a plain loop: torch's AdamW, torch's clipping, a learning rate that is written out again, and, for
AdaLoRA, the library's penalty and its `update_and_allocate`. 50 steps in float64.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trials.backbones import Backbone
from trials.contract import contract, examples
from trials.spec import Optimizer, Recipe, Schedule
from trials.training.data import collate
from trials.training.member import Member
from trials.training.pack import Pack

STEPS, WARMUP, RATE, DECAY, CLIP = 50, 5, 2e-2, 0.05, 0.4
RECIPE = Recipe(
    steps=STEPS,
    batch_size=6,
    learning_rate=RATE,
    schedule=Schedule(warmup=WARMUP),
    optimizer=Optimizer(weight_decay=DECAY),
    clip=CLIP,
)
TARGETS = ("query", "value", "intermediate", "output")
"""Maps of three shapes: 32 × 32, 48 × 32 and 32 × 48."""


def member_of(method: str, **given: Any) -> tuple[Backbone, Member]:
    case = contract(method, **given)
    backbone = case.backbone(torch.float64)
    return backbone, case.member(backbone, recipe=RECIPE, targets=TARGETS)


def wrapped(backbone: Backbone, member: Member, configured: Any) -> Any:
    """The library's model over a copy of the backbone, with the member's head, which trains."""
    from peft import get_peft_model

    model = copy.deepcopy(backbone.model)
    configured.target_modules = [site.name for site in member.sites]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = get_peft_model(model, configured).double()
    head = model.classifier
    for part, tensor in member.parameters.head["classifier"].items():
        getattr(head, part).data.copy_(tensor.detach())
        getattr(head, part).requires_grad_(True)
    return made


def layers(model: Any, member: Member) -> list[tuple[Any, dict[str, Tensor]]]:
    """The library's layer of each site, with our values of that site."""
    inner = model.base_model.model
    return [
        (inner.get_submodule(site.name), {k: v[i % len(v)] for k, v in group.tensors.items()})
        for group in member.parameters.groups
        for i, site in enumerate(group.sites)
    ]


def put(theirs: Tensor, ours: Tensor) -> None:
    theirs.data.copy_(ours.detach().view_as(theirs))


def oracle(
    model: Any,
    member: Member,
    before_step: Callable[[int], None] = lambda _: None,
    after_step: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Losses of a plain loop over the member's own batches; `member` is left as it is.

    What is to be done before and after the optimiser moves anything is told the step, from 1.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.dim() == 2 and min(p.shape) > 1]
    vectors = [p for p in trained if not any(p is m for m in matrices)]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=RATE,
    )
    losses = []
    for step in range(STEPS):
        member.step = step
        (rows,) = member.rows()
        batch = collate(examples(), rows, 0)
        outputs = model.base_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
        )
        optimiser.zero_grad()
        outputs.loss.backward()
        nn.utils.clip_grad_norm_(trained, CLIP)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(step / WARMUP, (STEPS - step) / (STEPS - WARMUP))
        before_step(step + 1)
        optimiser.step()
        after_step(step + 1)
        losses.append(float(outputs.loss.detach()))
    member.step = 0
    return losses


def trained(backbone: Backbone, member: Member) -> list[float]:
    losses = []
    with Pack(backbone) as pack:
        for _ in range(STEPS):
            pack.step([member])
            losses.append(member.take_train_loss())
    return losses


def assert_same(made: list[float], expected: list[float]) -> None:
    assert made == pytest.approx(expected, rel=1e-6)
    assert min(expected) < 0.8 * expected[0], "nothing is learned, so this proves little"


def test_lora() -> None:
    from peft import LoraConfig

    backbone, member = member_of("lora", rank=4, alpha=12.0)
    model = wrapped(backbone, member, LoraConfig(r=4, lora_alpha=12, lora_dropout=0.0))
    for layer, p in layers(model, member):
        put(layer.lora_A["default"].weight, p["a"])
        put(layer.lora_B["default"].weight, p["b"])
    expected = oracle(model, member)
    assert_same(trained(backbone, member), expected)
    for layer, p in layers(model, member):
        torch.testing.assert_close(p["a"].detach(), layer.lora_A["default"].weight.detach())


def test_vera() -> None:
    """Our A and B go into the library's, which all its layers refer to and slice."""
    from peft import VeraConfig

    backbone, member = member_of("vera", rank=24, d_initial=0.3)
    configured = VeraConfig(r=24, d_initial=0.3, vera_dropout=0.0, projection_prng_key=1)
    model = wrapped(backbone, member, configured)
    shared = {k: v for k, v in member.parameters.frozen.items() if k.startswith("shared.")}
    for ours, theirs in (("a", "vera_A"), ("b", "vera_B")):
        buffer = getattr(model.base_model, theirs)["default"]
        assert buffer.shape == shared[f"shared.{ours}"].shape == ((24, 48), (48, 24))[ours == "b"]
        put(buffer, shared[f"shared.{ours}"])
    for layer, p in layers(model, member):
        assert layer.vera_A["default"].data_ptr() == model.base_model.vera_A["default"].data_ptr()
        torch.testing.assert_close(layer.vera_lambda_d["default"].detach(), p["lambda_d"].detach())
        torch.testing.assert_close(layer.vera_lambda_b["default"].detach(), p["lambda_b"].detach())
    expected = oracle(model, member)
    assert_same(trained(backbone, member), expected)
    for layer, p in layers(model, member):
        put_b = layer.vera_lambda_b["default"].detach()
        torch.testing.assert_close(p["lambda_b"].detach(), put_b)


@pytest.mark.parametrize("scored", ["after", "before"])
def test_adalora(scored: str) -> None:
    """With the library's schedule, penalty, scores and masks.

    Its loop reads the weights of an importance after the optimiser has moved them: `scored: after`
    is that. The paper's algorithm reads them before; for that default the same allocator is asked
    to score before the step, and only to mask after it.

    It masks once more than the authors' code where the budget reaches its end between two rounds
    of pruning; here the end is a round, so that both do the same.
    """
    from peft import AdaLoraConfig

    given = {"rank": 2, "initial_rank": 4, "warmup": 0.1, "final": 0.4, "interval": 3}
    backbone, member = member_of("adalora", **given, scored=scored, orthogonality=0.2, alpha=10.0)
    first, last = 5, 30
    assert member.method.budget(last, STEPS, 8) == (16, True)  # type: ignore[attr-defined]
    configured = AdaLoraConfig(
        target_r=2, init_r=4, tinit=first, tfinal=STEPS - last, deltaT=3, total_step=STEPS,
        lora_alpha=10, lora_dropout=0.0, beta1=0.85, beta2=0.85, orth_reg_weight=0.2,
    )  # fmt: skip
    model = wrapped(backbone, member, configured)
    for layer, p in layers(model, member):
        put(layer.lora_A["default"], p["q"])
        put(layer.lora_E["default"], p["lambda"])
        put(layer.lora_B["default"], p["p"])
        # The library sets r₀ as fixed, but some versions hand it to the optimiser all the same.
        layer.ranknum["default"].requires_grad_(False)
    library = model.base_model
    score = library.rankallocator.update_ipt
    kept: list[int] = []

    def score_before(step: int) -> None:
        if scored == "before" and step < last:
            score(library.model)

    def follow(step: int) -> None:
        library.update_and_allocate(step)
        values = [layer.lora_E["default"] for layer, _ in layers(model, member)]
        kept.append(sum(int((value != 0).sum()) for value in values))

    if scored == "before":
        library.rankallocator.update_ipt = lambda _: None
    expected = oracle(model, member, score_before, follow)
    assert_same(trained(backbone, member), expected)
    assert len(set(kept)) > 4, "the budget hardly falls, so this proves little"
    assert kept[-1] == 16
    for layer, p in layers(model, member):
        theirs = layer.lora_E["default"].detach().view(-1)
        torch.testing.assert_close(p["lambda"].detach(), theirs)
        assert torch.equal(p["lambda"] == 0, theirs == 0)


def test_the_oracle_sees_a_difference() -> None:
    """At another alpha its losses are others, so that agreement means something."""
    from peft import LoraConfig

    backbone, member = member_of("lora", rank=4, alpha=12.0)
    model = wrapped(backbone, member, LoraConfig(r=4, lora_alpha=13, lora_dropout=0.0))
    for layer, p in layers(model, member):
        put(layer.lora_A["default"].weight, p["a"])
        put(layer.lora_B["default"].weight, p["b"])
    pairs = zip(oracle(model, member), trained(backbone, member), strict=True)
    assert max(abs(x - y) for x, y in pairs) > 1e-3
