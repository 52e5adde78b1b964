"""Pretrain the embedded backbone: `python -m trials.tiny.pretrain` writes `backbone/`.

A BERT encoder (Devlin et al. 2019, arXiv:1810.04805) learns two objectives on generated text:
masked words, and whether the second of two sentences retells the first, which trains the pooler.
Half of the batches are single sentences, half are pairs.

Shapes: B batch, L tokens, M masked positions of the batch.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from trials.tiny import FOLDER
from trials.tiny.language import sample_sentence, words
from trials.tiny.lexicon import vocabulary
from trials.tiny.rewrites import retell

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, _, CLS, SEP, MASK = range(len(SPECIAL))
IGNORED = -100
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the committed backbone was made with.

    Attributes:
        examples: texts of each of the two shapes, seen again in each epoch with other masks.
        batch: single sentences a step; a step of pairs takes half as many.
    """

    steps: int = 7000
    examples: int = 60_000
    batch: int = 96
    learning_rate: float = 1.5e-3
    warmup: float = 0.05
    mask_rate: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """Token ids with their segments; `same` says if B retells A, IGNORED for one sentence."""

    ids: tuple[int, ...]
    segments: tuple[int, ...]
    same: int


@dataclass(frozen=True)
class Batch:
    """ids, segments, attention: (B, L); positions, targets: (M,), flat; same: (B,)."""

    ids: Tensor
    segments: Tensor
    attention: Tensor
    positions: Tensor
    targets: Tensor
    same: Tensor


# ---------------------------------------------------------------- vocabulary


def token_ids() -> dict[str, int]:
    """Every token and its id: special tokens, whole words, and letters to spell other words."""
    pieces = [*vocabulary(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, *pieces]))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The lower-case word tokenizer, in BERT's format."""
    tokenizer = Tokenizer(WordPiece(token_ids(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
    )


def build_model(*, seed: int) -> BertForPreTraining:
    """The encoder with both pretraining heads, freshly drawn from the seed."""
    config = BertConfig(
        vocab_size=len(token_ids()), hidden_size=128, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=64, pad_token_id=PAD, dtype="float32",
        initializer_range=0.05,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForPreTraining(config)


# ---------------------------------------------------------------- text


def sample_example(rng: Random, ids: dict[str, int], *, pair: bool) -> Example:
    """One training text; B of a pair retells A in half of the cases."""
    first = sample_sentence(rng, max_words=17 if pair else 22)
    a = [CLS, *(ids[word] for word in words(first)), SEP]
    if not pair:
        return Example(tuple(a), (0,) * len(a), IGNORED)
    same = rng.randrange(2)
    other = first if same else sample_sentence(rng, max_words=17)
    b = [*(ids[word] for word in words(retell(rng, other))), SEP]
    return Example((*a, *b), (0,) * len(a) + (1,) * len(b), same)


def batches(
    examples: list[Example], *, size: int, rate: float, generator: Generator
) -> Iterator[Batch]:
    """Endless masked batches; texts of like length share one, so that little is padding."""
    while True:
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(0, len(order), 20 * size):
            window = sorted(order[start : start + 20 * size], key=lambda i: len(examples[i].ids))
            groups = [window[i : i + size] for i in range(0, len(window), size)]
            for i in torch.randperm(len(groups), generator=generator).tolist():
                rows = [examples[j] for j in groups[i]]
                yield mask_batch(rows, rate=rate, generator=generator)


def mask_batch(rows: list[Example], *, rate: float, generator: Generator) -> Batch:
    """Choose positions to predict; 80 % become [MASK], 10 % a random word, 10 % stay."""
    length = max(len(row.ids) for row in rows)

    def padded(field: str) -> Tensor:
        values = [getattr(row, field) for row in rows]
        return torch.tensor([[*value, *[0] * (length - len(value))] for value in values])

    ids, segments = padded("ids"), padded("segments")
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & (ids >= len(SPECIAL))
    positions = chosen.flatten().nonzero().squeeze(1)
    targets = ids.flatten()[positions]
    fate = torch.rand(positions.shape, generator=generator)
    drawn = torch.randint(
        len(SPECIAL), len(SPECIAL) + len(vocabulary()), positions.shape, generator=generator
    )
    shown = torch.where(fate < 0.8, MASK, torch.where(fate < 0.9, drawn, targets))
    masked = ids.flatten().scatter(0, positions, shown).view_as(ids)
    same = torch.tensor([row.same for row in rows])
    return Batch(masked, segments, (ids != PAD).long(), positions, targets, same)


# ---------------------------------------------------------------- training


def losses(model: BertForPreTraining, batch: Batch) -> tuple[Tensor, Tensor]:
    """The mean loss of the masked words, and that of the pairs (zero for single sentences)."""
    hidden_BLH, pooled_BH = model.bert(
        input_ids=batch.ids,
        token_type_ids=batch.segments,
        attention_mask=batch.attention,
        return_dict=False,
    )
    masked_MH = hidden_BLH.flatten(0, 1)[batch.positions]
    word_loss = cross_entropy(model.cls.predictions(masked_MH), batch.targets)
    if int(batch.same[0]) == IGNORED:
        return word_loss, torch.zeros(())
    return word_loss, cross_entropy(model.cls.seq_relationship(pooled_BH), batch.same)


def train(model: BertForPreTraining, recipe: Recipe) -> None:
    """Train the model in place, single sentences and pairs in turn."""
    rng, ids = Random(recipe.seed), token_ids()
    generator = Generator().manual_seed(recipe.seed)
    streams = [
        batches(
            [sample_example(rng, ids, pair=pair) for _ in range(recipe.examples)],
            size=recipe.batch // (2 if pair else 1), rate=recipe.mask_rate, generator=generator,
        )
        for pair in (False, True)
    ]  # fmt: skip
    log.info("text written")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rising = max(1, int(recipe.warmup * recipe.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / rising, (recipe.steps - step) / (recipe.steps - rising)),
    )
    model.train(False)  # without dropout: new masks each time leave nothing to regularise
    for step in range(recipe.steps):
        word_loss, pair_loss = losses(model, next(streams[step % 2]))
        optimizer.zero_grad()
        (word_loss + pair_loss).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 < 2:
            log.info("step %d words %.3f pairs %.3f", step, word_loss.item(), pair_loss.item())


def save(model: BertForPreTraining, folder: Path) -> None:
    """Write config, weights and tokenizer where `from_pretrained` finds them."""
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def main() -> None:
    """Pretrain with the recipe of the committed backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--out", type=Path, default=FOLDER / "backbone")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(2)
    recipe = Recipe(steps=arguments.steps)
    model = build_model(seed=recipe.seed)
    train(model, recipe)
    save(model, arguments.out)


if __name__ == "__main__":
    main()
