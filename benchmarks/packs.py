"""How fast one engine trains packs of 1, 2, 4, … trials, and the memory that they take.

    python benchmarks/packs.py                                  # embedded backbone, CPU
    python benchmarks/packs.py --device cuda --precision bf16 --shape roberta-base roberta-large
    python benchmarks/packs.py --device cuda --precision bf16 --shape llama-1b --batch 4

On a GPU give `--length 128` (512 for the last). Backbones have random weights of the named
shape, so nothing is downloaded. Each pack is timed over the same steps, in turn with a plain loop
over a model of the `peft` library (side `peft`); a row has the median of `--repeats`. Memory is the
allocator's peak on a GPU, beside what `trials.training.memory` predicts from the configuration; on
a CPU there is the prediction alone. Neither Ray nor data nor MLflow takes part.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import transformers
from common import keep, show
from torch import nn

from trials import backbones
from trials.backbones import Backbone
from trials.catalogue import complete
from trials.families import Head
from trials.spec import Dropout, Recipe, Splits, TrialSpec
from trials.tasks.base import Encoded
from trials.training.member import Member
from trials.training.memory import predicted
from trials.training.pack import Pack

LLAMA_1B = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
}
LEARNING_RATE = 1e-3


def main() -> None:
    """Time every shape at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", default=["tiny"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--places", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.0, help="on hidden states")
    parser.add_argument("--name", default="packs")
    given = parser.parse_args()
    torch.set_num_threads(1 if given.device == "cpu" else torch.get_num_threads())
    rows = [row for shape in given.shape for row in of_shape(shape, given)]
    keep(given.name, rows)
    show(rows)


def configuration(shape: str) -> Any:
    """A backbone's configuration by its name."""
    if shape == "llama-1b":
        return transformers.AutoConfig.for_model("llama", **LLAMA_1B)
    return backbones.configuration(shape)


def of_shape(shape: str, given: Any) -> list[dict[str, Any]]:
    """One row for the plain loop and one for each size."""
    config = configuration(shape)
    spec = spec_of(given)
    torch.manual_seed(0)
    backbone = backbones.weightless(config, config.num_hidden_layers)
    backbone.model.to(given.device)
    if shape == "llama-1b":
        backbone.model.to(torch.bfloat16)
    data = examples(given, config.vocab_size)
    footprint = predicted(config, spec, Head(2), given.length)
    sides: dict[int, Callable[[], Any]] = {0: partial(peft_loop, config, data, given)}
    sides |= {k: partial(pack_loop, backbone, spec, data, k) for k in given.places}
    seconds: dict[int, list[float]] = {size: [] for size in sides}
    memory: dict[int, float | None] = {}
    for _ in range(given.repeats):
        for size, prepare in sides.items():
            timed = measure(prepare, given)
            if timed is None:
                continue
            seconds[size].append(timed[0])
            memory[size] = timed[1]
            print(shape, size, timed, file=sys.stderr, flush=True)
    rates = {
        size: max(1, size) * given.steps / statistics.median(of_size)
        for size, of_size in seconds.items()
        if of_size
    }
    return [
        {
            "shape": shape,
            "side": "peft" if size == 0 else f"pack of {size}",
            "trial-steps a second": round(rate, 2),
            "against peft": round(rate / rates[0], 2),
            "GiB": None if memory[size] is None else round(memory[size] / 2**30, 2),
            "GiB predicted": round(footprint.total(size) / 2**30, 2) if size else None,
        }
        for size, rate in rates.items()
    ]


def spec_of(given: Any) -> TrialSpec:
    """LoRA on query and value."""
    return TrialSpec(
        task="random",
        backbone="random",
        method="lora",
        hyperparameters=complete("lora", {"rank": given.rank}),
        targets=("query", "value"),
        recipe=Recipe(
            steps=10**6,
            batch_size=given.batch,
            max_length=given.length,
            learning_rate=LEARNING_RATE,
            precision=given.precision,
            dropout=Dropout(backbone=given.dropout),
        ),
        splits=Splits(),
        seed=0,
        stage="confirm",
    )


def examples(given: Any, vocabulary: int) -> Encoded:
    """Random token ids, all of the full length."""
    stream = torch.Generator().manual_seed(1)
    shape = (16 * given.batch, given.length)
    ids = torch.randint(5, vocabulary, shape, generator=stream).tolist()
    labels = torch.randint(0, 2, (len(ids),), generator=stream).tolist()
    return Encoded(ids, None, labels, [str(i) for i in range(len(ids))], 0)


def measure(
    prepare: Callable[[], contextlib.AbstractContextManager[Callable[[], None]]], given: Any
) -> tuple[float, float | None] | None:
    """Seconds of the steps and peak bytes, after a few steps to warm up; None without memory."""
    on_gpu = given.device != "cpu"
    try:
        with prepare() as step:
            for _ in range(3):
                step()
            if on_gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            for _ in range(given.steps):
                step()
            if on_gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
    return seconds, float(torch.cuda.max_memory_allocated()) if on_gpu else None


@contextlib.contextmanager
def pack_loop(
    backbone: Backbone, spec: TrialSpec, data: Encoded, size: int
) -> Iterator[Callable[[], None]]:
    """One optimiser step of `size` members, seeds paired."""
    members = [Member(spec, backbone, data, Head(2)) for _ in range(size)]
    with Pack(backbone) as pack:
        yield lambda: pack.step(members)


@contextlib.contextmanager
def peft_loop(config: Any, data: Encoded, given: Any) -> Iterator[Callable[[], None]]:
    """A step as a plain loop takes it: one model of the `peft` library, torch's AdamW."""
    import peft

    torch.manual_seed(0)
    base = transformers.AutoModelForSequenceClassification.from_config(config)
    names = ["q_proj", "v_proj"] if config.model_type == "llama" else ["query", "value"]
    options = peft.LoraConfig(
        r=given.rank, lora_alpha=16, target_modules=names, task_type="SEQ_CLS"
    )
    model: nn.Module = peft.get_peft_model(base, options).to(given.device)
    if config.model_type == "llama":
        base.to(torch.bfloat16)
    model.train(given.dropout > 0)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    bf16 = given.precision == "bf16"
    cast = torch.autocast(given.device, torch.bfloat16) if bf16 else contextlib.nullcontext()
    batches = iter(range(10**9))
    ids, labels = torch.tensor(data.input_ids), torch.tensor(data.labels)

    def step() -> None:
        first = next(batches) * given.batch % len(ids)
        rows = slice(first, first + given.batch)
        inputs = ids[rows].to(given.device)
        with cast:
            logits = model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits
        loss = nn.functional.cross_entropy(logits.float(), labels[rows].to(given.device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()

    yield step


if __name__ == "__main__":
    main()
