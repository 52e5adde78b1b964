"""What the tests of the training floor share: specs, members, and a small study's files."""

import copy
import dataclasses
import gzip
from pathlib import Path
from typing import Any

import torch

from trials import backbones
from trials.backbones import Backbone
from trials.catalogue import complete
from trials.contract import Padding, examples, model_of
from trials.families import FAMILIES, Head
from trials.places import Assignment, Places
from trials.small import END
from trials.spec import Dropout, Evaluate, Recipe, Schedule, Splits, TrialSpec
from trials.tasks.base import Encoded
from trials.tasks.embedded import FOLDER
from trials.tasks.generation import Generation
from trials.training.member import Member
from trials.training.pack import Pack

RECIPE = Recipe(steps=12, batch_size=4, learning_rate=5e-3)
DATA = examples()


def small_backbone(
    dtype: torch.dtype = torch.float64, family: str = "bert", **particular: Any
) -> Backbone:
    """Two layers with random weights."""
    model = model_of(family, **particular).to(dtype)
    return Backbone("small", "none", model, Padding(), FAMILIES[family])  # type: ignore[arg-type]


class Numbers(Padding):
    """A tokenizer whose words are the numbers of the tokens."""

    eos_token_id = END

    def decode(self, tokens: list[int], **_: Any) -> str:
        """Two letters a token: its last digit, then its tens."""
        return "".join(f"{'abcdefghij'[token % 10]}{'tuvwxyz'[token // 10]}" for token in tokens)


def small_writer(
    family: str = "llama", dtype: torch.dtype = torch.float64, **particular: Any
) -> Backbone:
    """A language model of two layers, with random weights that make up their mind."""
    wide = {"initializer_factor": 4.0} if family == "t5" else {"initializer_range": 0.4}
    fields = {"eos_token_id": END, "bos_token_id": None, **wide, **particular}
    model = model_of(family, "words", **fields).to(dtype)
    named = FAMILIES[family].with_head("words")
    return Backbone("small", "none", model, Numbers(), named, has_head=True, reads="words")  # type: ignore[arg-type]


def prompts_of(how: Generation, num_rows: int = 7, start_id: int | None = None) -> Encoded:
    """Random prompts of different lengths, to go on with."""
    rows = [row[:-1] for row in examples(num_rows).input_ids]
    names = [f"test-{i}" for i in range(num_rows)]
    return Encoded(rows, None, [("",)] * num_rows, names, 0, start_id=start_id, generation=how)


def completed(num_rows: int = 24, start_id: int | None = None) -> Encoded:
    """Random prompts with completions of different lengths, to learn."""
    whole = examples(num_rows)
    sizes = [2 + row % 3 for row in range(num_rows)]
    rows = whole.input_ids
    targets = [ids[-size:] for ids, size in zip(rows, sizes, strict=True)]
    if start_id is not None:
        rows = [ids[:-size] for ids, size in zip(rows, sizes, strict=True)]
    return Encoded(rows, None, whole.labels, whole.ids, 0, targets=targets, start_id=start_id)


def tiny_backbone(dtype: torch.dtype = torch.float64) -> Backbone:
    """A copy of the embedded backbone."""
    loaded = backbones.load("tiny")
    return dataclasses.replace(loaded, model=copy.deepcopy(loaded.model).to(dtype))


def spec_of(method: str = "lora", *, seed: int = 3, given: Any = None, **more: Any) -> TrialSpec:
    """A trial; whatever is a field of a recipe goes into the recipe."""
    names = {f.name for f in dataclasses.fields(Recipe)}
    recipe = {k: more.pop(k) for k in list(more) if k in names}
    return TrialSpec(
        **{
            "task": "contract",
            "backbone": "small",
            "method": method,
            "hyperparameters": complete(method, given or {}),
            "targets": ("query", "value"),
            "recipe": dataclasses.replace(RECIPE, **recipe),
            "splits": Splits(),
            "seed": seed,
            "stage": "confirm",
            **more,
        }
    )


def member_of(backbone: Backbone, method: str = "lora", **more: Any) -> Member:
    """A member on the random token ids of the contract, or on `data`, with a head as `asked`."""
    data: Encoded = more.pop("data", DATA)
    head: Head | None = more.pop("asked", None)
    return Member(spec_of(method, **more), backbone, data, head)


def train(backbone: Backbone, members: list[Member], steps: int) -> list[list[float]]:
    """Losses of each member, by step."""
    losses: list[list[float]] = [[] for _ in members]
    with Pack(backbone) as pack:
        for _ in range(steps):
            pack.step(members)
            for member, of_member in zip(members, losses, strict=True):
                of_member.append(member.take_train_loss())
    return losses


def small_task(root: Path, *, splits: tuple[str, ...] = ("train", "validation", "test")) -> Path:
    """A data root with a part of `tiny_acceptability`."""
    folder = root / "tiny_acceptability"
    folder.mkdir(parents=True)
    for split in splits:
        with gzip.open(FOLDER / "tiny_acceptability" / f"{split}.jsonl.gz", "rt") as file:
            lines = [next(file) for _ in range(96 if split == "train" else 32)]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return root


def assignment_of(folder: Path, root: Path, **more: Any) -> Assignment:
    """A trial of 20 steps on the embedded backbone that is evaluated every 5."""
    fixed = {
        "steps": 20,
        "batch_size": 8,
        "evaluate": Evaluate(every=5),
        "dropout": Dropout(backbone=0.1, adapter=0.1),
        "splits": Splits(search="validation", report="test"),
    }
    spec = spec_of(task="tiny_acceptability", backbone="tiny", **{**fixed, **more})
    return Assignment(
        spec=spec,
        task="tiny_acceptability",
        backbone="tiny",
        places=Places(data=(str(root),)),
        folder=str(folder),
    )


_GOLDEN: dict[str, dict[str, Any]] = {
    "lora_mini": {},
    "adalora": {"rank": 4, "interval": 2},
    "increlora": {"rank": 4, "interval": 2},
    "adapter": {"bottleneck": 4},
    "bitfit": {},
}
"""Hyperparameters of those that are not trained at rank 4 and else by default."""


def golden(method: str) -> list[float]:
    """Last loss, norm and first numbers after ten steps in float64 on the embedded backbone."""
    rows = [[2, *range(10 + i, 16 + 2 * i), 3] for i in range(12)]
    data = Encoded(rows, None, [i % 2 for i in range(12)], [str(i) for i in range(12)], 0)
    backbone = tiny_backbone()
    more = {
        "given": _GOLDEN.get(method, {"rank": 4}),
        "dropout": Dropout(backbone=0.1, adapter=0.1),
        "schedule": Schedule(warmup=0.2),
        "steps": 10,
    }
    member = member_of(backbone, method, data=data, **more)
    loss = train(backbone, [member], 10)[0][-1]
    values = member.parameters.values
    return [loss, float(values.norm()), *values[:4].tolist(), *values[-20:-16].tolist()]
