"""What a pack is predicted to take, from configurations alone."""

import functools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from cases import DATA, member_of, small_backbone, spec_of

from trials.families import Head
from trials.spec import Dropout, TrialSpec
from trials.training.memory import COPIES, SLACK, Footprint, places, predicted
from trials.training.pack import Pack

GIB = 2**30
TWO = Head(2)


def test_a_pack_takes_the_backbone_once_and_each_member() -> None:
    footprint = Footprint(backbone=100, member=7)
    assert [footprint.total(n) for n in (0, 1, 5)] == [100, 107, 135]


@pytest.mark.parametrize("memory_bytes", [1000, 1071, 5000])
def test_as_many_fit_as_leave_some_memory_free(memory_bytes: int) -> None:
    footprint = Footprint(backbone=100, member=70)
    found = footprint.places(memory_bytes)
    assert footprint.total(found) <= memory_bytes * SLACK < footprint.total(found + 1)


def test_one_is_tried_whatever_is_predicted() -> None:
    assert Footprint(backbone=100, member=70).places(0) == 1


def config(layers: int = 2, **more: Any) -> Any:
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 80,
             "max_position_embeddings": 512, "pad_token_id": 0}  # fmt: skip
    return transformers.BertConfig(num_hidden_layers=layers, **{**sizes, **more})


def trial(**more: Any) -> TrialSpec:
    return spec_of(**{"batch_size": 4, "given": {"rank": 4}, **more})


@functools.cache
def usual() -> Footprint:
    return predicted(config(), trial(), TWO, 32)


def test_weights_and_what_a_member_owns_are_in_it() -> None:
    backbone = small_backbone(torch.float32, hidden_size=32, intermediate_size=64, vocab_size=80,
                              max_position_embeddings=512)  # fmt: skip
    weights = sum(p.nbytes for p in backbone.model.base_model.parameters())
    assert weights < usual().backbone < 3 * weights
    own = member_of(backbone, given={"rank": 4}).parameters.values.nbytes
    assert usual().member > COPIES * own


def test_a_head_that_is_kept_is_predicted_without_its_weights() -> None:
    """A configuration says of its head how many outputs it has, which is all that matters."""
    spec = trial()
    frozen = replace(spec.recipe, head="freeze", head_start="backbone")
    kept = predicted(config(num_labels=3), replace(spec, recipe=frozen), TWO, 32)
    assert kept.backbone == pytest.approx(usual().backbone, rel=0.1)
    assert 0 < kept.member < usual().member, "which has no moments"


@pytest.mark.parametrize(
    ("length", "more"),
    [(64, {}), (32, {"batch_size": 8}), (32, {"given": {"rank": 8}}),
     (32, {"targets": ("query", "value", "output")})],
)  # fmt: skip
def test_each_member_takes_more_of_larger_batches_and_ranks(
    length: int, more: dict[str, Any]
) -> None:
    larger = predicted(config(), trial(**more), TWO, length)
    assert larger.member > usual().member
    assert larger.backbone == pytest.approx(usual().backbone, rel=0.2), "which is there once"


def test_activations_grow_with_the_batch_and_what_is_owned_does_not() -> None:
    sizes = [predicted(config(), trial(batch_size=n), TWO, 32).member for n in (4, 8, 12)]
    assert sizes[1] - sizes[0] == pytest.approx(sizes[2] - sizes[1], rel=0.02)
    assert sizes[0] < sizes[1] < 2 * sizes[0]


def test_a_head_that_reads_every_token_takes_little_more() -> None:
    found = predicted(config(), trial(), Head(2, "tokens"), 32)
    assert found.member == pytest.approx(usual().member, rel=0.5)


def test_two_depths_tell_of_any() -> None:
    """In float32 exactly: every layer is alike."""
    whole = predicted(config(4), trial(), TWO, 32, layers=(1, 4))
    assert predicted(config(4), trial(), TWO, 32) == whole
    assert whole.member > usual().member
    assert whole.backbone > usual().backbone


FAMILIES = {
    "gpt2": {"n_inner": 64, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": None},
    "t5": {"d_kv": 8, "d_ff": 64, "decoder_start_token_id": 0},
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_two_depths_tell_of_any_in_other_families(family: str) -> None:
    """A decoder grows with its encoder; where it does not, nothing is carried on."""

    def of(layers: int, **more: int) -> Any:
        sizes = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 80}
        decoder = {"num_decoder_layers": layers} if family == "t5" else {}
        fields = {**sizes, **FAMILIES[family], **decoder, "num_hidden_layers": layers, **more}
        return transformers.AutoConfig.for_model(family, **fields)

    dropout = Dropout(backbone=0.1, attention=0.1)
    spec = trial(dropout=dropout, targets=("query", "intermediate"))
    whole = predicted(of(4), spec, TWO, 32, layers=(1, 4))
    carried_on = predicted(of(4), spec, TWO, 32)
    assert carried_on.member == pytest.approx(whole.member, rel=0.02)
    assert carried_on.backbone == pytest.approx(whole.backbone, rel=0.15)
    if family == "t5":
        uneven = predicted(of(4, num_decoder_layers=2), spec, TWO, 32)
        assert predicted(of(2), spec, TWO, 32).member < uneven.member < whole.member


def test_a_kept_head_needs_no_checkpoint_to_be_predicted() -> None:
    kept = trial(head="freeze", head_start="backbone")
    assert predicted(config(), kept, TWO, 32) == predicted(config(), trial(head="freeze"), TWO, 32)
    assert predicted(config(), kept, TWO, 32).member < usual().member


def test_half_the_precision_takes_less_for_each_member() -> None:
    shape = {"batch_size": 16}
    full = predicted(config(), trial(**shape), TWO, 64)
    half = predicted(config(), trial(precision="bf16", **shape), TWO, 64)
    assert 0.4 * full.member < half.member < 0.9 * full.member


def test_nothing_is_allocated_and_nothing_drawn() -> None:
    """A backbone larger than any machine that tests run on."""
    huge = config(96, hidden_size=16384, num_attention_heads=128, intermediate_size=65536)
    before = torch.get_rng_state()
    found = predicted(huge, trial(batch_size=64), TWO, 512)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.backbone > 96 * 12 * 16384**2 * 4 > 1000 * GIB
    assert found.member > 64 * 512 * 16384 * 4


def test_a_cpu_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small_backbone()
    with Pack(backbone) as pack:
        monkeypatch.setattr(pack, "rehearse", None)
        assert places(pack, member_of(backbone)) == 1


class Gpu:
    """`torch.cuda` of a device with so much free, where members take so much each."""

    def __init__(self, free: int, once: int, each: int) -> None:
        self.free, self.once, self.each = free, once, each
        self.peak = 0
        self.rehearsed: list[tuple[int, tuple[int, ...]]] = []

    def rehearse(self, members: list[Any], batches: list[Any]) -> None:
        self.rehearsed.append((len(members), tuple(batches[0].input_ids.shape)))
        self.peak = self.once + len(members) * self.each
        if self.peak > self.free:
            raise torch.OutOfMemoryError("full")

    def ask(self, monkeypatch: pytest.MonkeyPatch) -> int:
        fake = {
            "synchronize": lambda device: None,
            "empty_cache": lambda: None,
            "reset_peak_memory_stats": lambda device: None,
            "memory_allocated": lambda device: 5,
            "max_memory_allocated": lambda device: 5 + self.peak,
            "mem_get_info": lambda device: (self.free, 2 * self.free),
        }
        for name, function in fake.items():
            monkeypatch.setattr(torch.cuda, name, function)
        device = SimpleNamespace(type="cuda")
        pack: Any = SimpleNamespace(device=device, rehearse=self.rehearse)
        return places(pack, member_of(small_backbone(), batch_size=6))


def test_a_gpu_is_asked_with_the_longest_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(free=21 * GIB // 2, once=GIB, each=GIB)
    found = gpu.ask(monkeypatch)
    longest = max(map(len, DATA.input_ids))
    assert gpu.rehearsed == [(1, (6, longest)), (2, (6, longest))]
    assert found == 8, "with nine tenths of the memory"
    assert gpu.once + found * gpu.each <= gpu.free * SLACK


def test_where_two_do_not_fit_there_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Gpu(free=10 * GIB, once=GIB, each=5 * GIB).ask(monkeypatch) == 1
