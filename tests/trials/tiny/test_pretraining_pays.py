"""Fine-tuning profits from the embedded backbone's pretraining, by our own engine."""

import shutil
from pathlib import Path

import pytest
import torch
import transformers

from trials import backbones
from trials.catalogue import complete
from trials.places import Assignment, Places
from trials.spec import Evaluate, Recipe, Schedule, Splits, TrialSpec
from trials.tiny import FOLDER
from trials.training.engine import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*")


def untrained(root: Path) -> Path:
    """The embedded architecture and tokenizer with random weights."""
    folder = root / "untrained"
    shutil.copytree(FOLDER / "backbone", folder)
    (folder / "model.safetensors").unlink()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.AutoConfig.from_pretrained(folder)
        transformers.BertModel(config).save_pretrained(folder)
    return folder


def score(backbone: str, folder: Path) -> float:
    spec = TrialSpec(
        task="tiny_acceptability",
        backbone="tiny",
        method="lora",
        hyperparameters=complete("lora", {"rank": 8}),
        targets=("query", "value"),
        recipe=Recipe(
            steps=80,
            learning_rate=3e-3,
            schedule=Schedule(warmup=0.1),
            evaluate=Evaluate(every=80),
        ),
        splits=Splits(search="validation", report="test"),
        seed=0,
        stage="confirm",
    )
    *_, last = train(
        Assignment(
            spec=spec,
            task="tiny_acceptability",
            backbone=backbone,
            places=Places(),
            folder=str(folder),
        )
    )
    return last.result.scores["test"]["mcc"]


def test_lora_learns_the_task_with_pretraining_and_hardly_without(tmp_path: Path) -> None:
    backbones._loaded.cache_clear()
    with_pretraining = score("tiny", tmp_path / "pretrained")
    without = score(str(untrained(tmp_path)), tmp_path / "random")
    assert with_pretraining > 0.5
    assert without < with_pretraining - 0.3
