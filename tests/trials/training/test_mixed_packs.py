"""Packs whose members differ in everything and come and go, against the same trials alone.

One joins at step 7, one is stopped at 11, one diverges at 13, one is checkpointed and continued at
17, one grows at 19. Whatever happens, the others' numbers are those of training alone, to the
rounding of the arithmetic.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import DATA, member_of, small_backbone
from torch import Tensor, nn
from torch.nn import functional

from trials.backbones import Backbone
from trials.methods.base import Site
from trials.spec import Dropout, Optimizer, Schedule
from trials.tasks.base import Encoded
from trials.training.member import Member
from trials.training.pack import Pack

STEPS = 30
ALL_DROPOUT = Dropout(backbone=0.1, adapter=0.1, attention=0.1)
LONG = Encoded([ids * 2 for ids in DATA.input_ids], None, DATA.labels, DATA.ids, DATA.num_truncated)
COSINE = Schedule(name="cosine", warmup=2)

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("lora", {"given": {"rank": 3}, "seed": 1, "learning_rate": 1e-2}),
    "late": ("lora", {"given": {"rank": 8}, "seed": 2, "targets": ("key", "intermediate")}),
    "shim": ("mtlora", {"given": {"rank": 5, "structure": "shim"}, "batch_size": 3, "data": LONG}),
    "icfm": ("mtlora", {"given": {"rank": 2, "structure": "icfm"}, "seed": 2, "clip": None}),
    "ctcm": ("mtlora", {"given": {"rank": 3, "structure": "ctcm"}, "schedule": COSINE}),
    "stopped": ("mtlora", {"given": {"rank": 4, "structure": "dtsm"}, "seed": 4}),
    "apart": (
        "mtlora",
        {"given": {"rank": 3, "fused": "block"}, "targets": ("query", "key", "value")},
    ),
    "tlora": ("tlora", {"given": {"rank": 6}, "optimizer": Optimizer(weight_decay=0.1)}),
    "resumed": ("lora_mini", {"given": {"rank": 2, "a": 7, "b": 6}, "accumulate": 2, "clip": 0.1}),
    "broken": ("lora", {"given": {"rank": 4}, "seed": 5, "learning_rate": 2e-3}),
    "pruning": ("adalora", {"given": {"rank": 2, "interval": 4}, "seed": 2}),
    "adapter": ("adapter", {"given": {"bottleneck": 3}, "seed": 4, "learning_rate": 1e-3}),
    "biases": ("bitfit", {"seed": 1}),
    "shared": ("vera", {"given": {"rank": 20}, "seed": 2, "targets": ("query", "intermediate")}),
    "growing": (
        "triadaptlora",
        {
            "given": {"rank": 4, "interval": 19, "threshold": "fixed", "top_k": 2},
            "seed": 5,
            "targets": ("query", "output"),
            "label_smoothing": 0.1,
        },
    ),
}
"""Role -> method and what is special about it: nine methods, with ranks, rates, seeds."""
ON_EVERY_FAMILY = (
    "lora", "late", "shim", "stopped", "tlora", "resumed", "broken", "adapter", "growing",
)  # fmt: skip
"""Whoever something happens to, of six methods; all roles are on the first family."""
ENDS = {"stopped": 11, "broken": 13}
"""Steps after which two members take no more."""


def member(role: str, backbone: Backbone, steps: int = STEPS) -> Member:
    method, more = CASES[role]
    common = {"dropout": ALL_DROPOUT, "steps": steps, "schedule": Schedule(warmup=0.1)}
    return member_of(backbone, method, **{**common, **more})


Losses = dict[str, list[float]]


def poison(one: Member) -> None:
    with torch.no_grad():
        one.parameters.values[0] = torch.nan


def together(backbone: Backbone, roles: list[str]) -> tuple[dict[str, Member], Losses]:
    """All of them in one pack, with everything that happens on the way."""
    present = {role: member(role, backbone) for role in roles if role != "late"}
    gone: dict[str, Member] = {}
    losses: Losses = {role: [] for role in roles}
    with Pack(backbone) as pack:
        clock = 0
        while present:
            if clock == 7 and "late" in roles:
                present["late"] = member("late", backbone)
            if clock == ENDS["stopped"] and "stopped" in present:
                gone["stopped"] = present.pop("stopped")
            if clock == ENDS["broken"] and "broken" in present:
                poison(present["broken"])
            if clock == 17 and "resumed" in present:
                again = member("resumed", backbone)
                again.restore(*present["resumed"].state())
                present["resumed"] = again
            pack.step(list(present.values()))
            for role, one in list(present.items()):
                if one.diverged is None:
                    losses[role].append(one.take_train_loss())
                if one.done:
                    gone[role] = present.pop(role)
            clock += 1
    return gone, losses


def apart(backbone: Backbone, role: str, steps: int = STEPS) -> tuple[Member, list[float]]:
    """One of them alone, without any of it but its own end."""
    one = member(role, backbone, steps)
    losses = []
    with Pack(backbone) as pack:
        for _ in range(ENDS.get(role, steps)):
            pack.step([one])
            losses.append(one.take_train_loss())
    return one, losses


def gap(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).abs().max())


def spread(one: list[float], other: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(one, other, strict=True))


def key_biases_aside(one: Member, values: Tensor) -> Tensor:
    """Key biases have no true gradient, for softmax cancels them: what they do is rounding."""
    kept = {}
    if one.spec.method == "bitfit":
        for index, group in enumerate(one.parameters.groups):
            keep = torch.tensor([float("key" not in site.name) for site in group.sites])
            kept |= {f"sites.{index}.{name}": keep[:, None].to(values) for name in group.tensors}
    return values * one.parameters.flat(kept, 1.0)


EXACT, ROUNDED = (torch.float64, 1e-12, 1e-11), (torch.float32, 1e-5, 5e-5)
FAMILIES = ("bert", "roberta", "llama", "deberta-v2", "gpt2", "t5")


@pytest.mark.parametrize(
    ("family", "dtype", "of_loss", "of_parameters"),
    [
        *(pytest.param(family, *EXACT, id=f"{family}-float64") for family in FAMILIES),
        pytest.param("bert", *ROUNDED, id="bert-float32"),
        *(
            pytest.param(family, *ROUNDED, id=f"{family}-float32", marks=pytest.mark.slow)
            for family in FAMILIES[1:]
        ),
    ],
)
def test_what_happens_to_some_changes_nothing_for_others(
    family: str, dtype: torch.dtype, of_loss: float, of_parameters: float
) -> None:
    backbone = small_backbone(dtype, family)
    roles = list(CASES) if family == "bert" else list(ON_EVERY_FAMILY)
    gone, losses = together(backbone, roles)
    assert gone["broken"].diverged == f"loss nan at step 14 of {STEPS}"
    assert gone["growing"].curves()["total_rank"] > len(gone["growing"].sites)
    alone = {role: apart(backbone, role) for role in roles}
    for role, (one, expected) in alone.items():
        assert spread(losses[role], expected) <= of_loss, role
        if role != "broken":
            values = key_biases_aside(one, gone[role].parameters.values)
            assert gap(values, key_biases_aside(one, one.parameters.values)) <= of_parameters, role
    assert len(losses["stopped"]) == 11
    assert len(losses["broken"]) == 13
    wrong = max(spread(losses["lora"], alone[r][1]) for r in roles if r not in ("lora", *ENDS))
    assert wrong >= 0.1, "a wrong member is as good, so this proves nothing"


@pytest.mark.slow
def test_after_300_steps_a_pack_is_no_further_off_than_its_precision() -> None:
    """In float32: from the trials alone no further than those are from the ones in float64."""
    roles = ["lora", "shim", "tlora", "resumed", "growing"]
    single, double = small_backbone(torch.float32), small_backbone(torch.float64)
    double.model.load_state_dict(single.model.state_dict())
    packed, alone, exact = (
        [member(role, backbone, 300) for role in roles] for backbone in (single, single, double)
    )
    with Pack(single) as pack, Pack(double) as in_double:
        for _ in range(300):
            pack.step(packed)
            for one, other in zip(alone, exact, strict=True):
                pack.step([one])
                in_double.step([other])
    of_packing = distance(packed, alone)
    of_precision = distance(alone, exact)
    assert 0 < of_packing <= of_precision
    assert distance(packed[:2], packed[1::-1]) > 1e3 * of_precision


def distance(some: list[Member], others: list[Member]) -> float:
    """Over all parameters of all members."""
    pairs = zip(some, others, strict=True)
    values = [(a.parameters.values, b.parameters.values) for a, b in pairs]
    return sum(float((a[: len(b)].double() - b[: len(a)].double()).norm()) for a, b in values)


class Plain:
    """A trial as anyone would write it: hooks, products one after another, torch's optimiser."""

    def __init__(self, backbone: Backbone, role: str) -> None:
        method, more = CASES[role]
        self.twin = member_of(backbone, method, **{**more, "steps": STEPS})
        self.model = backbone.model
        leaves = {k: t.detach().clone() for k, t in self.twin.parameters.trained.items()}
        self.leaves = {k: t.requires_grad_() for k, t in leaves.items()}
        biases = [t for k, t in self.leaves.items() if k.endswith(".bias") or t[0].numel() == 1]
        matrices = [t for t in self.leaves.values() if not any(t is b for b in biases)]
        recipe = self.twin.recipe
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices}, {"params": biases, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            weight_decay=recipe.optimizer.weight_decay,
        )
        self.rate: Callable[[int], float] = lambda step: self.twin.optimiser.rate(step, 0)

    def updates(self) -> list[tuple[Site, Callable[[Tensor], Tensor]]]:
        """What each site adds, of factors that nobody has folded."""
        made = []
        for index, group in enumerate(self.twin.parameters.groups):
            tensors = dict(group.tensors)
            for name in tensors:
                tensors[name] = self.leaves.get(f"sites.{index}.{name}", tensors[name])
            update = self.twin.method.update(tensors)
            for k, site in enumerate(group.sites):
                core = None if update.core is None else update.core[k]
                scale = update.scale if isinstance(update.scale, float) else update.scale[k]
                made.append((site, self._one(update.left[k], core, update.right[k], scale)))
        return made

    @staticmethod
    def _added(site: Site, output: Tensor, made: Tensor) -> Tensor:
        """A map's output with what a site adds to its own rows."""
        total = output.clone()
        for rows, part in zip(site.rows, made.chunk(site.slices, -1), strict=True):
            total[..., rows] += part
        return total

    @staticmethod
    def _one(left: Tensor, core: Tensor | None, right: Tensor, scale: Any) -> Any:
        def add(x: Tensor) -> Tensor:
            inner = x @ right.T
            inner = inner if core is None else inner @ core.T
            return scale * (inner @ left.T)

        return add

    def step(self, number: int, rows: tuple[int, ...]) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self.twin.recipe.learning_rate * self.rate(number)
        handles = []
        for site, add in self.updates():
            handles.append(self.model.get_submodule(site.path).register_forward_hook(
                lambda _, args, output, s=site, add=add: self._added(s, output, add(args[0]))
            ))  # fmt: skip
        for path in self.twin.parameters.head:
            weight = self.leaves[f"head.{path}.weight"]
            bias = self.leaves.get(f"head.{path}.bias")
            handles.append(self.model.get_submodule(path).register_forward_hook(
                lambda _, args, __, w=weight, b=bias: functional.linear(args[0], w, b)
            ))  # fmt: skip
        data = self.twin.train
        longest = max(len(data.input_ids[r]) for r in rows)
        ids = [data.input_ids[r] + [0] * (longest - len(data.input_ids[r])) for r in rows]
        live = [[int(i < len(data.input_ids[r])) for i in range(longest)] for r in rows]
        logits = self.model(
            input_ids=torch.tensor(ids), attention_mask=torch.tensor(live)
        ).logits  # fmt: skip
        labels = torch.tensor([data.labels[r] for r in rows])
        loss = functional.cross_entropy(logits, labels)
        for handle in handles:
            handle.remove()
        self.optimiser.zero_grad()
        loss.backward()
        if self.twin.recipe.clip is not None:
            nn.utils.clip_grad_norm_(list(self.leaves.values()), self.twin.recipe.clip)
        self.optimiser.step()
        return float(loss.detach())


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_an_engine_of_plain_modules_and_torchs_optimiser_agrees(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed = alone would not show a mistake that both make."""
    backbone = small_backbone(family=family)
    roles = ["lora", "late", "shim", "icfm", "ctcm", "stopped", "tlora"]
    tlora = CASES["tlora"][1] | {"given": {"rank": 6, "dropout": 0.0}}
    monkeypatch.setitem(CASES, "tlora", ("tlora", tlora))
    packed = [member_of(backbone, CASES[r][0], **{**CASES[r][1], "steps": STEPS}) for r in roles]
    plain = {role: Plain(backbone, role) for role in roles}
    rows = [[rows_at(m, step) for step in range(STEPS)] for m in packed]
    losses: Losses = {role: [] for role in roles}
    with Pack(backbone) as pack:
        for _ in range(STEPS):
            pack.step(packed)
            for role, one in zip(roles, packed, strict=True):
                losses[role].append(one.take_train_loss())
    for role, one, of_member in zip(roles, packed, rows, strict=True):
        expected = [plain[role].step(n, of_step) for n, of_step in enumerate(of_member)]
        assert spread(losses[role], expected) <= 1e-10, role
        for name, leaf in plain[role].leaves.items():
            made = one.parameters.trained[name].detach()
            assert gap(made, leaf.detach()) <= 1e-8, (role, name)


def rows_at(one: Member, step: int) -> tuple[int, ...]:
    one.step = step
    (rows,) = one.rows()
    one.step = 0
    return rows
