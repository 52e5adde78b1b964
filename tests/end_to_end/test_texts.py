"""Texts end to end: a trial of one's own task, and T5 that learns real pairs by heart."""

import dataclasses
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers

from trials import backbones
from trials.catalogue import complete
from trials.places import Assignment, Places
from trials.spec import Evaluate, Recipe, Schedule, Splits, TrialSpec
from trials.tasks.locate import load as load_task
from trials.training.engine import train
from trials.training.member import Member
from trials.training.pack import Pack

SHARED = Path(os.environ.get("ABLATE_SHARED", Path(__file__).parents[2].parent / "shared"))
NEEDS_SHARED = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="needs ../shared (or ABLATE_SHARED) with its data"
)
WORDS = ["red", "green", "blue", "cat", "dog", "bird", "what", "is", "the", "?", "it", "."]
DEFINITION = """\
task: told
kind: text_to_text
prompt: "what is the {animal} ?"
completion: "it is {colour} ."
metrics: [exact_match, rouge_l, bleu]
primary: rouge_l
generation: {max_new_tokens: 8, beams: 2, extract: "is (.*) [.]"}
"""


def spelled(texts: list[str], folder: Path, **names: str) -> None:
    """A tokenizer of whole words, saved."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    made.train_from_iterator(texts, tokenizers.trainers.WordLevelTrainer(special_tokens=special))
    ends = {"single": "$A </s>"} if names else {"single": "<s> $A"}
    pairs = [(token, special.index(token)) for token in ("<s>", "</s>")]
    made.post_processor = tokenizers.processors.TemplateProcessing(**ends, special_tokens=pairs)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", model_max_length=512,
    ).save_pretrained(folder)  # fmt: skip


def folder_of(root: Path) -> Path:
    task = root / "told"
    task.mkdir()
    (task / "task.yaml").write_text(DEFINITION)
    rows = [
        {"animal": animal, "colour": colour}
        for animal, colour in (("cat", "red"), ("dog", "green"), ("bird", "blue"))
    ]
    for split, times in (("train", 8), ("validation", 1), ("test", 1)):
        (task / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows * times))
    return task


def test_a_trial_learns_to_write_and_leaves_its_texts(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    task, model = folder_of(tmp_path), tmp_path / "model"
    spelled([" ".join(WORDS)], model)
    config = transformers.LlamaConfig(
        vocab_size=4 + len(WORDS), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=32, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, tie_word_embeddings=True, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.LlamaForCausalLM(config).save_pretrained(model)
    spec = TrialSpec(
        task="told", backbone="model", method="lora",
        hyperparameters=complete("lora", {"rank": 8}),
        targets=("query", "value", "intermediate", "output"),
        recipe=Recipe(steps=60, batch_size=12, learning_rate=3e-2, evaluate=Evaluate(every=30)),
        splits=Splits(search="validation", report="test"), seed=1, stage="confirm",
    )  # fmt: skip
    assignment = Assignment(
        spec=spec, task=str(task), backbone=str(model), places=Places(),
        folder=str(tmp_path / "trial"), reads="words",
    )  # fmt: skip
    events = list(train(assignment))
    result = events[-1].result
    assert result.status == "finished", result.reason
    assert result.head_parameters == 0
    assert result.num_examples == {"validation": 3, "test": 3}
    assert result.scores["test"]["exact_match"] == 1.0, result.scores
    assert "version:" in result.environment["bleu"]
    with gzip.open(tmp_path / "trial" / result.files["predictions_test"], "rt") as file:
        rows = [json.loads(line) for line in file]
    assert [row["prediction"] for row in rows] == ["red", "green", "blue"]
    assert rows[0]["label"] == ["red"]
    assert [event.progress.step for event in events if event.progress] == [30, 60]


@NEEDS_SHARED
@pytest.mark.slow
def test_a_small_t5_learns_64_pairs_by_heart(tmp_path: Path) -> None:
    """Two layers with random weights: what it writes by beams is what it was shown."""
    pytest.importorskip("sacrebleu")
    task = load_task("wmt16_en_ro", roots=[SHARED / "data"])
    whole = task.splits["train"]
    short = sorted(range(len(whole)), key=lambda row: len(whole.texts[0][row]))[:64]
    pairs = whole.take(short)
    references: Any = pairs.labels
    spelled([*pairs.texts[0], *(texts[0] for texts in references)], tmp_path, kind="t5")
    vocabulary = len(transformers.AutoTokenizer.from_pretrained(tmp_path))
    config = transformers.T5Config(
        vocab_size=vocabulary, d_model=96, d_kv=24, d_ff=192, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=2, dropout_rate=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    backbone = backbones.load(str(tmp_path), reads="words")
    recipe = Recipe(steps=160, batch_size=64, learning_rate=5e-3, schedule=Schedule(warmup=0.05))
    spec = TrialSpec(
        task="wmt16_en_ro", backbone="t5", method="full", hyperparameters={},
        targets=("query",), recipe=recipe, splits=Splits(), seed=1, stage="confirm",
    )  # fmt: skip
    start_id = backbone.start_id
    learned = task.encode(backbone.tokenizer, pairs, 128, learned=True, start_id=start_id)
    asked = task.encode(backbone.tokenizer, pairs, 128, start_id=start_id)
    assert learned.num_truncated == 0
    member = Member(spec, backbone, learned, task.head)
    with Pack(member.backbone) as pack:
        before = task.scores(pack.outputs(member, asked), asked.labels)["bleu"]
        for _ in range(recipe.steps or 0):
            pack.step([member])
        pack.settle()
        after = task.scores(pack.outputs(member, asked), asked.labels)["bleu"]
    assert before < 5
    assert after > 90
    assert dataclasses.asdict(recipe)["steps"] == member.step
