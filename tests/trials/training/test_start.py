"""Trials that start from another trial's adapter, or keep the head of their backbone."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import assignment_of, member_of, small_backbone, small_task, spec_of, train
from torch import Tensor

from trials import backbones, catalogue
from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import Head
from trials.places import Assignment
from trials.small import END
from trials.spec import TrialResult
from trials.tasks.base import Encoded
from trials.training import checkpoint, engine, export
from trials.training.member import Member
from trials.training.pack import Pack
from trials.training.run import ADAPTER, CHECKPOINT, Run
from trials.training.start import start_from

GIVEN: dict[str, dict[str, Any]] = {
    "adalora": {"rank": 2, "interval": 1, "warmup": 0.1, "final": 0.1},
    "increlora": {"rank": 3, "interval": 1, "warmup": 0.0},
    "triadaptlora": {"rank": 3, "interval": 1, "threshold": "fixed", "top_k": 2},
    "peft.IA3Config": {"target_modules": ["key", "value"], "feedforward_modules": []},
}
METHODS = [*catalogue.methods(), "peft.IA3Config"]
FAMILIES = ("bert", "roberta", "deberta-v2", "llama", "gpt2", "t5")
BINARY = Encoded(
    [[5, 6, 7, END], [9, 10, END]] * 6, None, [0, 1] * 6, [str(i) for i in range(12)], 0
)


def given_of(method: str) -> dict[str, Any]:
    known = catalogue.method_fields(method)
    return {k: v for k, v in GIVEN.get(method, {}).items() if k in known}


def write(member: Member, folder: Path) -> Path:
    """As `Run` leaves it."""
    tensors = {**member.parameters.trained, **member.parameters.frozen}
    sites = [site.name for site in member.sites]
    checkpoint.write(folder / ADAPTER, tensors, {"spec": member.spec.to_json(), "sites": sites})
    return folder / ADAPTER


def follower(source: Member, backbone: Backbone, **more: Any) -> Member:
    """The same method on another task of two labels."""
    spec = dataclasses.replace(source.spec, task="other", source=source.spec.id, **more)
    return Member(spec, backbone, BINARY, Head(2))


def owned(member: Member) -> dict[str, Tensor]:
    return {**member.parameters.trained, **member.parameters.frozen}


@pytest.mark.parametrize("method", METHODS)
def test_the_adapter_goes_on_and_the_head_starts_anew(method: str, tmp_path: Path) -> None:
    backbone = small_backbone()
    source = member_of(backbone, method, given=given_of(method), steps=8)
    train(source.backbone, [source], 6)
    fresh, made = (follower(source, backbone, seed=9) for _ in range(2))
    start_from(made, write(source, tmp_path))
    for name, tensor in owned(made).items():
        same_as = fresh if name.startswith("head.") else source
        assert torch.equal(tensor, owned(same_as)[name]), name
    assert made.curves() == source.curves()
    adapter, _ = made.parameters.counts(made.method)
    assert adapter == source.parameters.counts(source.method)[0]
    assert made.step == made.optimiser.step == 0
    losses = train(made.backbone, [made], 4)[0]
    assert all(torch.isfinite(torch.tensor(losses)))
    assert not torch.equal(made.parameters.values, source.parameters.values[: len(losses)])


@pytest.mark.parametrize("family", FAMILIES)
def test_its_first_outputs_are_those_of_the_source_with_another_head(
    family: str, tmp_path: Path
) -> None:
    backbone = small_backbone(family=family)
    source = member_of(backbone, "mtlora", steps=8)
    train(backbone, [source], 8)
    made = follower(source, backbone, seed=9)
    start_from(made, write(source, tmp_path))
    with torch.no_grad():
        for path, parts in made.parameters.head.items():
            for part, tensor in parts.items():
                tensor.copy_(source.parameters.head[path][part][: len(tensor)])
    with Pack(backbone) as pack:
        ours, theirs = pack.outputs(made, BINARY), pack.outputs(source, BINARY)
    assert torch.equal(ours, theirs[:, :2])


@pytest.mark.parametrize("method", ["triadaptlora", "increlora"])
def test_what_had_grown_has_been_there_from_the_start(method: str, tmp_path: Path) -> None:
    """Or its learning rate would never warm up with the rest, and its moments be another's."""
    backbone = small_backbone()
    source = member_of(backbone, method, given=given_of(method), steps=8)
    train(backbone, [source], 6)
    assert len(source.optimiser.births) > 2
    made = follower(source, backbone)
    start_from(made, write(source, tmp_path))
    assert made.optimiser.cohorts is not None
    assert made.optimiser.births == [0, 0]
    alive = made.parameters.alive(made.method)
    assert alive is not None
    assert torch.equal(made.optimiser.cohorts, alive.long())
    groups = zip(made.parameters.groups, source.parameters.groups, strict=True)
    for ours, theirs in groups:
        mine, others = (
            m.alive(g.tensors) for m, g in ((made.method, ours), (source.method, theirs))
        )
        assert mine is not None
        assert others is not None
        assert all(torch.equal(mine[name], others[name]) for name in others)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyperparameters": catalogue.complete("lora", {"rank": 2})},
         "has sites.0.a of shape (4, 8, 32), where this one has (4, 2, 32)"),
        ({"targets": ("query", "key")}, "adapts other modules"),
        ({"source": "0" * 64}, "is not the adapter of trial 000000000000"),
    ],
)  # fmt: skip
def test_an_adapter_that_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    backbone = small_backbone()
    source = member_of(backbone)
    spec = dataclasses.replace(source.spec, **{"source": source.spec.id, **changes})
    with pytest.raises(UserError) as error:
        start_from(Member(spec, backbone, BINARY, Head(2)), write(source, tmp_path))
    assert message in str(error.value)


def test_an_adapter_that_was_not_kept_is_named(tmp_path: Path) -> None:
    backbone = small_backbone()
    source = member_of(backbone)
    with pytest.raises(UserError, match=f"trial {source.spec.id[:12]}, which it starts from, has"):
        start_from(follower(source, backbone), tmp_path / ADAPTER)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_task(tmp_path_factory.mktemp("data"))


def course(folder: Path, root: Path, source: Assignment | None = None, **more: Any) -> Assignment:
    """A trial of LoRA-Mini, whose fixed factors are drawn by its seed."""
    made = assignment_of(folder, root, method="lora_mini", **more)
    if source is None:
        return made
    recipe = dataclasses.replace(made.spec.recipe, start_from="tiny_acceptability")
    spec = dataclasses.replace(made.spec, recipe=recipe, source=source.spec.id)
    return dataclasses.replace(made, spec=spec, source=source.folder)


def finish(assignment: Assignment) -> TrialResult:
    *_, last = engine.train(assignment)
    return last.result


def test_a_run_starts_from_its_source_and_survives_an_interruption(
    root: Path, tmp_path: Path
) -> None:
    source = course(tmp_path / "source", root, steps=10)
    assert finish(source).status == "finished"
    whole, cut = (course(tmp_path / n, root, source, seed=7) for n in ("whole", "cut"))
    result = finish(whole)
    assert result.status == "finished", result.reason
    assert finish(course(tmp_path / "plain", root, seed=7)).status == "finished"
    for event in engine.train(cut):
        if event.progress is not None and event.progress.step == 10:
            break
    assert (tmp_path / "cut" / CHECKPOINT).is_file()
    assert finish(cut).scores == result.scores
    made = [checkpoint.read(tmp_path / n / ADAPTER) for n in ("whole", "cut", "source", "plain")]
    assert all(m is not None for m in made)
    tensors = [m[0] for m in made if m is not None]
    assert all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])
    assert any(not torch.equal(tensors[0][k], tensors[3][k]) for k in tensors[0])
    assert torch.equal(tensors[0]["sites.0.b_aux"], tensors[2]["sites.0.b_aux"]), "by its own seed"
    task, backbone = Run(whole).task, backbones.load("tiny")
    again = export.load_member(tmp_path / "whole", whole.spec, backbone, ADAPTER)
    assert torch.equal(owned(again)["sites.0.b_aux"], tensors[0]["sites.0.b_aux"])
    assert task.head == Head(2)


def test_a_source_that_is_gone_fails_the_trial_with_a_reason(root: Path, tmp_path: Path) -> None:
    source = course(tmp_path / "source", root)
    result = finish(course(tmp_path / "next", root, source))
    assert result.status == "crashed"
    assert f"trial {source.spec.id[:12]}, which it starts from, has no adapter" in str(
        result.reason
    )


def with_head(has_head: bool = True, **more: Any) -> Backbone:
    return dataclasses.replace(small_backbone(**more), has_head=has_head)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["train", "freeze"])
def test_a_head_of_the_checkpoint_stays_or_trains_on(family: str, head: str) -> None:
    backbone = with_head(family=family)
    member = member_of(backbone, head=head, head_start="backbone", label_smoothing=0.1)
    for path, parts in member.parameters.head.items():
        module = backbone.model.get_submodule(path)
        assert all(torch.equal(t, getattr(module, part)) for part, t in parts.items())
    before = {k: v.detach().clone() for k, v in owned(member).items() if k.startswith("head.")}
    start = member.parameters.values.clone()
    train(backbone, [member], 4)
    same = all(torch.equal(owned(member)[k], v) for k, v in before.items())
    assert same == (head == "freeze")
    assert not torch.equal(start, member.parameters.values)
    assert (member.parameters.counts(member.method)[1] == 0) == (head == "freeze")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kept_head_has_all_its_outputs_and_the_first_are_the_tasks(family: str) -> None:
    """As TLoRA keeps the three outputs of MNLI for tasks of two labels."""
    backbone = with_head(family=family)
    spec = spec_of(head="freeze", head_start="backbone", steps=3)
    member = Member(spec, backbone, BINARY, Head(2))
    assert member.head == Head(3)
    with Pack(backbone) as pack:
        outputs = pack.outputs(member, BINARY)
    with torch.no_grad():
        plain = backbone.model(input_ids=torch.tensor([BINARY.input_ids[0]])).logits
    assert torch.allclose(outputs[0], plain[0])
    labels = torch.tensor(BINARY.labels)
    whole = torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
    assert torch.equal(member.losses(outputs, labels), whole)


@pytest.mark.parametrize(
    ("backbone", "head", "message"),
    [
        (with_head(False), Head(3), "'small' comes without one"),
        (with_head(), Head(4), "has 3 outputs, and the task needs 4"),
        (with_head(), Head(1), "has 3 outputs, and the task needs 1"),
        (with_head(), Head(2, "tokens"), "the task's reads every token"),
    ],
)
def test_a_head_that_cannot_be_kept_is_refused(
    backbone: Backbone, head: Head, message: str
) -> None:
    spec = spec_of(head="freeze", head_start="backbone")
    with pytest.raises(UserError, match=message):
        Member(spec, backbone, BINARY, head)


def test_a_frozen_head_may_be_the_sources(tmp_path: Path) -> None:
    backbone = small_backbone()
    source = member_of(backbone, steps=8)
    train(backbone, [source], 6)
    recipe = dataclasses.replace(source.recipe, head="freeze", head_start="source")
    spec = dataclasses.replace(source.spec, task="other", source=source.spec.id, recipe=recipe)
    made = Member(spec, backbone, source.train, Head(3))
    start_from(made, write(source, tmp_path))
    for name, tensor in owned(source).items():
        assert torch.equal(tensor, owned(made)[name])
    train(backbone, [made], 3)
    assert torch.equal(
        made.parameters.head["classifier"]["weight"], source.parameters.head["classifier"]["weight"]
    )
    with pytest.raises(UserError, match="has head.classifier.weight of shape"):
        start_from(Member(spec, backbone, BINARY, Head(2)), tmp_path / ADAPTER)


def test_a_run_over_a_kept_head_scores_the_labels_of_its_task(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import copy

    loaded = backbones.load("tiny")
    model = copy.deepcopy(loaded.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.classifier = torch.nn.Linear(model.config.hidden_size, 3).requires_grad_(False)
    model.num_labels = model.config.num_labels = 3
    three = dataclasses.replace(loaded, model=model, has_head=True)
    monkeypatch.setattr(backbones, "load", lambda *_: three)
    made = assignment_of(tmp_path / "t", root, head="freeze", head_start="backbone")
    result = finish(made)
    assert result.status == "finished", result.reason
    assert result.head_parameters == 0
    assert set(result.scores) == {"validation", "test"}
    found = checkpoint.read(tmp_path / "t" / ADAPTER)
    assert found is not None
    assert torch.equal(found[0]["head.classifier.weight"], model.classifier.weight)
