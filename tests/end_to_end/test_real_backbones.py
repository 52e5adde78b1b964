"""Two real pretrained backbones on real tasks, where a sibling `shared` folder has them."""

import dataclasses
import os
from pathlib import Path

import pytest

from trials import backbones
from trials.catalogue import complete
from trials.places import Places
from trials.spec import Recipe, Splits, TrialSpec
from trials.tasks.locate import load as load_task
from trials.training import export
from trials.training.member import Member
from trials.training.pack import Pack

SHARED = Path(os.environ.get("ABLATE_SHARED", Path(__file__).parents[2].parent / "shared"))
pytestmark = [
    pytest.mark.skipif(
        not (SHARED / "models").is_dir(),
        reason="needs ../shared (or ABLATE_SHARED) with data and models",
    ),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
]
PLACES = Places(data=(str(SHARED / "data"),), models=(str(SHARED / "models"),))


def spec(task: str, backbone: str, method: str) -> TrialSpec:
    return TrialSpec(
        task=task,
        backbone=backbone,
        method=method,
        hyperparameters=complete(method, {"rank": 4}),
        targets=("query", "value"),
        recipe=Recipe(steps=3, batch_size=4, max_length=48, learning_rate=5e-3),
        splits=Splits(),
        seed=1,
        stage="confirm",
    )


CASES = [
    *(("sst2", "stories260K", m) for m in ("lora", "mtlora", "tlora", "triadaptlora", "lora_mini")),
    *(("mrpc", "all-MiniLM-L6-v2-fp16", m) for m in ("lora", "mtlora")),
]


@pytest.mark.parametrize(("task", "backbone", "method"), CASES)
def test_a_method_trains_and_merges_on_a_real_backbone(
    task: str, backbone: str, method: str
) -> None:
    data = load_task(task, roots=PLACES.data_roots)
    loaded = backbones.load(backbone, PLACES.model_roots)
    trial = spec(task, backbone, method)
    whole = data.rows("train", trial.splits)
    train = data.encode(loaded.tokenizer, whole.take(range(16)), trial.recipe.max_length)
    member = Member(trial, loaded, train)
    with Pack(loaded) as pack:
        before = pack.outputs(member, train)
        for _ in range(3):
            pack.step([member])
        after = pack.outputs(member, train)
    merged = dataclasses.replace(loaded, model=export.merge(member, loaded))
    untouched = Member(
        dataclasses.replace(trial, method="lora", hyperparameters=complete("lora", {"rank": 1})),
        loaded,
        train,
    )
    untouched.parameters.head.update(member.parameters.head)
    with Pack(merged) as pack:
        again = pack.outputs(untouched, train)
    assert float((after - before).abs().max()) > 1e-3
    assert float((after - again).abs().max()) <= 1e-4
