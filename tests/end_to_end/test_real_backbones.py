"""Two real pretrained backbones on real tasks, where a sibling `shared` folder has them."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from trials import backbones
from trials.catalogue import complete
from trials.places import Places
from trials.spec import Recipe, Splits, TrialSpec
from trials.tasks.base import Encoded
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
    *(("sst2", "stories260K", m) for m in ("adalora", "increlora")),
    *(("mrpc", "all-MiniLM-L6-v2-fp16", m) for m in ("lora", "mtlora")),
]


@pytest.mark.parametrize(("task", "backbone", "method"), CASES)
def test_a_method_trains_and_merges_on_a_real_backbone(
    task: str, backbone: str, method: str
) -> None:
    loaded = backbones.load(backbone, PLACES.model_roots)
    trains_and_merges(spec(task, backbone, method), loaded)


def trains_and_merges(trial: TrialSpec, loaded: backbones.Backbone) -> None:
    data = load_task(trial.task, roots=PLACES.data_roots)
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


@pytest.fixture
def gpt2(tmp_path: Path) -> backbones.Backbone:
    """GPT-2's own tokenizer, which pads with nothing, before a small model without training."""
    folder = Path(shutil.copytree(SHARED / "models" / "gpt2-tokenizer", tmp_path / "gpt2"))
    config = transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.GPT2ForSequenceClassification(config).save_pretrained(folder)
    return backbones.load(str(folder))


@pytest.mark.parametrize("task", ["sst2", "mrpc"])
def test_gpt2s_tokenizer_and_fused_maps_go_together(task: str, gpt2: backbones.Backbone) -> None:
    assert gpt2.tokenizer.pad_token_id == gpt2.model.config.pad_token_id == 50256
    trial = dataclasses.replace(spec(task, "gpt2", "mtlora"), targets=("query", "key", "value"))
    trains_and_merges(trial, gpt2)


def test_a_text_is_read_at_its_last_token_whatever_it_is_padded_with(
    gpt2: backbones.Backbone,
) -> None:
    """A text without any token among them."""
    texts = ["", "a fine film", "a film that is neither good nor bad nor short", "good"]
    ids = [gpt2.tokenizer(text)["input_ids"] for text in texts]
    assert ids[0] == []
    together = Encoded(ids, None, [0, 1, 0, 1], texts, 0)
    member = Member(spec("sst2", "gpt2", "lora"), gpt2, together)
    with Pack(gpt2) as pack:
        made = pack.outputs(member, together)
        for index, row in enumerate(ids):
            beside = Encoded([row, [7]], None, [0, 0], ["0", "1"], 0)
            alone = pack.outputs(member, beside)
            assert float((made[index] - alone[0]).abs().max()) < 1e-5
    assert float(made.std(0).min()) > 1e-3
