"""The contract over every method of the folder, and proof that each of its checks can fail."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from trials import catalogue
from trials.contract import CHECKS, Contract, contract, interrupted
from trials.errors import UserError
from trials.methods.base import Update
from trials.methods.lora import LoRA
from trials.methods.tlora import TLoRA
from trials.methods.vera import VeRA

# Exporting copies the model, and peft asks it for an attribute that transformers renames.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

FUSED = ("query", "key", "value", "intermediate")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("lora", {"rank": 4}),
    "shim": ("mtlora", {"structure": "shim", "rank": 4}),
    "gaussian": ("lora", {"rank": 4, "start": "gaussian"}),
    "shim-zero": ("mtlora", {"structure": "shim", "rank": 4, "initial": "zero_core"}),
    "dtsm-zero": ("mtlora", {"structure": "dtsm", "rank": 4, "initial": "zero_core"}),
    "icfm": ("mtlora", {"structure": "icfm", "rank": 4}),
    "ctcm": ("mtlora", {"structure": "ctcm", "rank": 4, "initial": "identity"}),
    "dtsm": ("mtlora", {"structure": "dtsm", "rank": 4}),
    "tlora": ("tlora", {"rank": 6}),
    "tlora-unscaled": ("tlora", {"rank": 6, "learn_scale": False}),
    "mini-zero": ("lora_mini", {"rank": 4, "a": 6, "b": 5, "zero": ["b_train"]}),
    "mini": ("lora_mini", {"rank": 4, "a": 6, "b": 5}),
    "mini-paper": ("lora_mini", {"rank": 4, "a": 6, "b": 5, "initial": "paper"}),
    "mini-inner": ("lora_mini", {"rank": 4, "a": 6, "b": 5, "freeze": ["a_train", "b_aux"]}),
    "linear": ("triadaptlora", {"rank": 4}),
    "nonlinear": ("triadaptlora", {"rank": 4, "threshold": "nonlinear", "score": "squared"}),
    "fixed": ("triadaptlora", {"rank": 4, "threshold": "fixed", "orthogonality": 0.1}),
    "c0": ("triadaptlora", {"rank": 4, "start": "c0", "overshoot": True}),
    "eye": ("triadaptlora", {"rank": 4, "start": "eye", "restart": False}),
    "lora-roberta": ("lora", {"rank": 4, "family": "roberta"}),
    "ctcm-roberta": ("mtlora", {"structure": "ctcm", "rank": 4, "family": "roberta"}),
    "linear-roberta": ("triadaptlora", {"rank": 4, "family": "roberta"}),
    "lora-llama": ("lora", {"rank": 4, "family": "llama"}),
    "ctcm-llama": ("mtlora", {"structure": "ctcm", "rank": 4, "family": "llama"}),
    "linear-llama": ("triadaptlora", {"rank": 4, "family": "llama"}),
    "lora-deberta": ("lora", {"rank": 4, "family": "deberta-v2"}),
    "ctcm-deberta": ("mtlora", {"structure": "ctcm", "rank": 4, "family": "deberta-v2"}),
    "tlora-deberta": ("tlora", {"rank": 6, "family": "deberta-v2"}),
    "linear-deberta": ("triadaptlora", {"rank": 4, "family": "deberta-v2"}),
    "adalora": ("adalora", {"rank": 4, "interval": 2}),
    "adalora-after": ("adalora", {"rank": 4, "scored": "after", "distance": "squared"}),
    "adalora-roberta": ("adalora", {"rank": 4, "interval": 1, "family": "roberta"}),
    "adalora-llama": ("adalora", {"rank": 4, "orthogonality": 0.0, "family": "llama"}),
    "adalora-deberta": ("adalora", {"rank": 4, "interval": 1, "family": "deberta-v2"}),
    "incre": ("increlora", {"rank": 4, "interval": 2}),
    "incre-plain": ("increlora", {"rank": 4, "interval": 1, "top_k": 1, "advance": False}),
    "incre-over": ("increlora", {"rank": 3, "add_rank": 2, "overshoot": True, "restart": False}),
    "incre-roberta": ("increlora", {"rank": 4, "interval": 2, "family": "roberta"}),
    "incre-llama": ("increlora", {"rank": 4, "interval": 1, "family": "llama"}),
    "incre-deberta": ("increlora", {"rank": 4, "interval": 2, "family": "deberta-v2"}),
    "vera": ("vera", {"rank": 6}),
    "vera-roberta": ("vera", {"rank": 40, "d_initial": 1.0, "family": "roberta"}),
    "vera-llama": ("vera", {"rank": 6, "family": "llama"}),
    "vera-deberta": ("vera", {"rank": 6, "family": "deberta-v2"}),
    "houlsby": ("adapter", {"bottleneck": 4}),
    "houlsby-linear": ("adapter", {"bottleneck": 4, "start": "linear"}),
    "houlsby-llama": ("adapter", {"activation": "silu", "family": "llama"}),
    "houlsby-deberta": ("adapter", {"activation": "relu", "family": "deberta-v2"}),
    "pfeiffer": ("adapter", {"variant": "pfeiffer", "activation": "relu"}),
    "pfeiffer-roberta": ("adapter", {"variant": "pfeiffer", "family": "roberta"}),
    "pfeiffer-deberta": ("adapter", {"variant": "pfeiffer", "family": "deberta-v2"}),
    "bitfit": ("bitfit", {}),
    "bitfit-some": ("bitfit", {"biases": "query_and_intermediate"}),
    "bitfit-roberta": ("bitfit", {"family": "roberta"}),
    "bitfit-deberta": ("bitfit", {"family": "deberta-v2"}),
    "full": ("full", {}),
    "full-roberta": ("full", {"family": "roberta"}),
    "full-llama": ("full", {"family": "llama"}),
    "peft-lora": ("peft.LoraConfig", {"r": 4, "lora_dropout": 0.1}),
    "peft-dora": ("peft.LoraConfig", {"use_dora": True, "bias": "all", "family": "llama"}),
    "peft-lora-deberta": ("peft.LoraConfig", {"lora_dropout": 0.1, "family": "deberta-v2"}),
    "peft-ia3": ("peft.IA3Config", {"target_modules": ["key", "value"], "feedforward_modules": []}),
    "peft-vera": ("peft.VeraConfig", {"r": 8}),
    "peft-norms": ("peft.LNTuningConfig", {"family": "roberta"}),
    "peft-oft": ("peft.OFTConfig", {"oft_block_size": 4, "family": "llama"}),
    "peft-lora-gpt2": ("peft.LoraConfig", {"r": 4, "family": "gpt2", "targets": FUSED}),
    "peft-vera-gpt2": ("peft.VeraConfig", {"r": 8, "family": "gpt2", "targets": FUSED}),
    "peft-lora-t5": ("peft.LoraConfig", {"lora_dropout": 0.1, "family": "t5"}),
    "cross-t5": ("lora", {"family": "t5", "targets": ("encoder.output", "cross.value")}),
    "block-gpt2": ("mtlora", {"structure": "dtsm", "fused": "block", "family": "gpt2"}),
    **{
        f"{structure}-fused-gpt2": (
            "mtlora",
            {"structure": structure, "rank": 3, "family": "gpt2", "targets": FUSED},
        )
        for structure in ("shim", "icfm", "ctcm", "dtsm")
    },
    **{
        f"{structure}-zero-gpt2": (
            "mtlora",
            {"structure": structure, "initial": "zero_core", "family": "gpt2", "targets": FUSED},
        )
        for structure in ("shim", "dtsm")
    },
    "vera-fused-gpt2": ("vera", {"rank": 20, "family": "gpt2", "targets": FUSED}),
    "vera-cross-t5": ("vera", {"family": "t5", "targets": ("encoder.output", "cross.value")}),
}
FAMILIES = ("bert", "roberta", "deberta-v2", "llama", "gpt2", "t5")
NO_BIASES = "method 'bitfit' trains biases, and this backbone has none"
NO_NORM_BEHIND = "method 'adapter': variant pfeiffer stands at the layer norm behind"
REFUSED: dict[tuple[str, str], tuple[dict[str, Any], str]] = {
    ("bitfit", "llama"): ({}, NO_BIASES),
    ("bitfit", "t5"): ({}, NO_BIASES),
    **{
        ("adapter", family): ({"variant": "pfeiffer"}, NO_NORM_BEHIND)
        for family in ("llama", "gpt2", "t5")
    },
    ("peft.LoraConfig", "gpt2"): (
        {},
        r"peft.LoraConfig adapts whole maps, and of transformer.h.0.attn.c_attn the targets name "
        "query and value alone; name all that it holds",
    ),
    ("peft.OFTConfig", "gpt2"): ({"targets": FUSED}, "peft.OFTConfig: Target module Conv1D"),
}
"""Method and family -> with which hyperparameters it cannot stand there, and what is said."""

NOWHERE = {key for key, (given, _) in REFUSED.items() if not given}


def _on_every_family() -> dict[str, tuple[str, dict[str, Any]]]:
    """The first case of each method of ours, on the families that no other case has it on."""
    firsts: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, (method, given) in CASES.items():
        if not method.startswith("peft."):
            firsts.setdefault(method, (name, given))
    covered = {(method, given.get("family", "bert")) for method, given in CASES.values()}
    return {
        f"{name}-{family}": (method, {**given, "family": family})
        for method, (name, given) in firsts.items()
        for family in FAMILIES
        if (method, family) not in covered and (method, family) not in NOWHERE
    }


CASES |= _on_every_family()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES)
def test_the_contract_holds(case: str, check: str) -> None:
    getattr(contract_of(case), f"check_{check}")()


@functools.lru_cache(maxsize=1)
def contract_of(case: str) -> Contract:
    """Its checks share what they train; they come one case after another."""
    method, given = CASES[case]
    return contract(method, **given)


def test_every_method_and_every_choice_has_a_case() -> None:
    own = {n for n, c in catalogue.methods().items() if c.__module__.startswith("trials.")}
    own = {name for name in own if not name.startswith("peft.")}
    assert own == {method for method, _ in CASES.values() if not method.startswith("peft.")}
    for name in own:
        cases = [given for method, given in CASES.values() if method == name]
        for field in catalogue.method_fields(name).values():
            if field.choices is not None:
                offered = {c for c in field.choices if not refused(name, {field.name: c})}
                assert {g.get(field.name, field.default) for g in cases} == offered


def refused(method: str, given: dict[str, Any]) -> bool:
    try:
        catalogue.complete(method, given)
    except UserError:
        return True
    return False


def test_every_method_stands_on_every_family_or_is_refused_there() -> None:
    own = {method for method, _ in CASES.values() if not method.startswith("peft.")}
    covered = {(method, given.get("family", "bert")) for method, given in CASES.values()}
    assert {(m, f) for m in own for f in FAMILIES} <= covered | NOWHERE


@pytest.mark.parametrize(("method", "family"), REFUSED)
def test_a_method_that_cannot_stand_on_a_family_says_why(method: str, family: str) -> None:
    given, message = REFUSED[method, family]
    case = contract(method, family=family, **given)
    backbone = case.backbone()
    with pytest.raises(UserError, match=message):
        case.member(backbone)


@pytest.mark.parametrize(
    ("ranks", "step"),
    [([None] * 12, 5), ([4.0] * 12, 5), ([1.0, 1.0, 2.0, 3.0, 4.0, 4.0], 4), ([6.0, 5.0, 4.0], 2)],
)
def test_a_training_is_interrupted_in_the_middle_of_its_growth(ranks: list, step: int) -> None:
    assert interrupted(ranks) == step


@pytest.mark.parametrize("case", ["linear", "nonlinear", "fixed", "incre", "adalora"])
def test_cases_that_grow_or_prune_have_a_middle(case: str) -> None:
    method, given = CASES[case]
    _, *ranks = contract(method, **given).training.ranks
    assert ranks[interrupted(ranks) - 1] not in (ranks[0], ranks[-1])


def test_every_check_is_in_the_list() -> None:
    methods = {name for name, _ in inspect.getmembers(Contract, inspect.isfunction)}
    assert {n.removeprefix("check_") for n in methods if n.startswith("check_")} == set(CHECKS)


def test_a_method_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="no method called 'lroa'; did you mean 'lora'?"):
        contract("lroa")


@dataclass(frozen=True, kw_only=True)
class BothFactorsZero(LoRA):
    def init(self, site: Any, generator: Any) -> Any:
        return {k: torch.zeros_like(v) for k, v in super().init(site, generator).items()}


@dataclass(frozen=True, kw_only=True)
class WrongCount(LoRA):
    def num_parameters(self, site: Any) -> int:
        return super().num_parameters(site) + 1


@dataclass(frozen=True, kw_only=True)
class Elsewhere(LoRA):
    def init(self, site: Any, generator: Any) -> Any:
        values = super().init(site, generator)
        return {**values, "b": torch.full_like(values["b"], 0.1)}


@dataclass(frozen=True, kw_only=True)
class SaysElsewhere(LoRA):
    starts_at_backbone = False


@dataclass(frozen=True, kw_only=True)
class SaysItCannot(LoRA):
    """Declares that it does not merge, and merges."""

    @property
    def merges(self) -> bool:  # type: ignore[override]
        asked = self.__dict__.get("asked", 0)
        object.__setattr__(self, "asked", asked + 1)
        return asked > 0


@dataclass(frozen=True, kw_only=True)
class GlobalRandomness(LoRA):
    def update(self, p: Any) -> Update:
        made = super().update(p)
        return Update(made.left, None, made.right, 2.0 + float(torch.rand(())))


@dataclass(frozen=True, kw_only=True)
class MovesFrozen(TLoRA):
    def after_step(self, groups: Any, step: int, num_steps: int) -> None:
        for p in groups:
            p["a"].mul_(1.001)


@dataclass(frozen=True, kw_only=True)
class SharesGlobalDraws(VeRA):
    """Draws what its sites share elsewhere than from the trial's stream: lost on a resume."""

    def shared(self, sites: Any, generator: Any) -> Any:
        values = super().shared(sites, generator)
        return {name: torch.rand(value.shape) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class MovesShared(VeRA):
    def after_step(self, groups: Any, step: int, num_steps: int) -> None:
        groups[0]["b"].mul_(1.001)


@dataclass(frozen=True, kw_only=True)
class StateOnTheObject(LoRA):
    """The scale depends on how often this object has taken a step: lost on a resume."""

    def update(self, p: Any) -> Update:
        made = super().update(p)
        return Update(made.left, None, made.right, 1.0 + self.__dict__.get("steps", 0) / 10)

    def after_step(self, groups: Any, step: int, num_steps: int) -> None:
        object.__setattr__(self, "steps", self.__dict__.get("steps", 0) + 1)


SHARED: list[float] = []


@dataclass(frozen=True, kw_only=True)
class SharedByAllTrials(LoRA):
    """The scale depends on every trial of the process."""

    def update(self, p: Any) -> Update:
        SHARED.append(0.0)
        made = super().update(p)
        return Update(made.left, None, made.right, 1.0 + len(SHARED) % 7)


@dataclass(frozen=True, kw_only=True)
class Overspends(LoRA):
    def curves(self, groups: Any) -> Any:
        return {"total_rank": 100.0}


@dataclass(frozen=True, kw_only=True)
class Raises(LoRA):
    def update(self, p: Any) -> Update:
        raise RuntimeError("not today")


BROKEN = [
    (BothFactorsZero, "gradients", "no gradient within two updates: sites.0.a, sites.0.b"),
    (WrongCount, "count", "the formula"),
    (Elsewhere, "start", "from the backbone's"),
    (SaysElsewhere, "start", "is declared not to start at the backbone, but does"),
    (GlobalRandomness, "saving", "outputs after loading differ"),
    (GlobalRandomness, "resume", "parameters differ"),
    (GlobalRandomness, "merging", "merged outputs differ"),
    (MovesFrozen, "ownership", "frozen parameter sites.0.a has changed"),
    (MovesShared, "ownership", "frozen parameter shared.b has changed"),
    (SharesGlobalDraws, "resume", "parameters differ"),
    (SharesGlobalDraws, "packing", "from those of the trial alone"),
    (StateOnTheObject, "resume", "parameters differ"),
    (StateOnTheObject, "saving", "outputs after loading differ"),
    (SharedByAllTrials, "packing", "from those of the trial alone"),
    (SaysItCannot, "merging", "is declared impossible, but works"),
    (Overspends, "budget", "100 ranks at the end, 24 are allowed"),
]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Contract:
    """The contract of a class that is registered for this test alone."""
    catalogue.methods()
    table = {kind: dict(names) for kind, names in catalogue._registry.items()}
    table["method"]["broken"] = request.param
    monkeypatch.setattr(request.param, "name", "broken")
    monkeypatch.setattr(catalogue, "_registry", table)
    given = {"rank": 6} if issubclass(request.param, TLoRA) else {"rank": 4}
    return contract("broken", **given)


@pytest.mark.parametrize(("broken", "check", "message"), BROKEN, indirect=["broken"])
def test_a_broken_method_is_caught(broken: Contract, check: str, message: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with pytest.raises(AssertionError, match=message):
            getattr(broken, f"check_{check}")()


@pytest.mark.parametrize("broken", [WrongCount], indirect=True)
def test_outcomes_name_what_does_not_hold(broken: Contract) -> None:
    outcomes = list(broken.outcomes())
    assert len(outcomes) == len(CHECKS)
    failed = [o for o in outcomes if o.problem is not None]
    assert [o.check for o in failed] == [
        "The method's formula counts what its `init` makes, unless it grows or prunes."
    ]


@pytest.mark.parametrize("broken", [Raises], indirect=True)
def test_a_method_that_raises_fails_its_checks_and_stops_none(broken: Contract) -> None:
    problems = dict(zip(CHECKS, (o.problem for o in broken.outcomes()), strict=True))
    never_update = "count"
    assert problems == {
        check: None if check == never_update else "RuntimeError: not today" for check in CHECKS
    }
