"""Pretrain the embedded backbone: `python -m trials.tiny.pretrain` writes `backbone/`.

A BERT encoder (Devlin et al. 2019, arXiv:1810.04805) learns three objectives on generated text:
masked words; which words were replaced (Clark et al. 2020, arXiv:2003.10555), with a head that is
thrown away; and, for the pooler, whether a sentence is undisturbed or, of a pair, whether the
second sentence retells the first. Single sentences and pairs take turns.

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
from torch.nn import Linear
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from trials.tiny import FOLDER
from trials.tiny.language import sample_sentence, words
from trials.tiny.lexicon import alternatives, confusions, vocabulary
from trials.tiny.rewrites import retell

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, _, CLS, SEP, MASK = range(len(SPECIAL))
VOCABULARY = vocabulary()
CONFUSIONS, ALTERNATIVES = confusions(), alternatives()
ANYTHING = {word: tuple(other for other in VOCABULARY if other != word) for word in VOCABULARY}
IGNORED = -100
MAX_WORDS, MAX_WORDS_OF_PAIR = 16, 12
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the committed backbone was made with.

    Attributes:
        examples: texts of each of the two shapes, seen again in each epoch with other masks.
        detection: the weight of the loss of replaced words.
    """

    steps: int = 6500
    examples: int = 60_000
    batch: int = 64
    learning_rate: float = 1.5e-3
    warmup: float = 0.05
    mask_rate: float = 0.15
    detection: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """One training text, before masking.

    Attributes:
        ids, segments: what the encoder reads.
        replaced: 1 where a word was replaced or moved.
        sound: 1 if a sentence is undisturbed, or if B of a pair retells A; else 0 or IGNORED.
    """

    ids: tuple[int, ...]
    segments: tuple[int, ...]
    replaced: tuple[int, ...]
    sound: int


@dataclass(frozen=True)
class Batch:
    """ids, segments, attention, replaced: (B, L); positions, targets: (M,), flat; sound: (B,)."""

    ids: Tensor
    segments: Tensor
    attention: Tensor
    positions: Tensor
    targets: Tensor
    replaced: Tensor
    sound: Tensor


# ---------------------------------------------------------------- vocabulary


def token_ids() -> dict[str, int]:
    """Every token and its id: special tokens, whole words, and letters to spell other words."""
    pieces = [*VOCABULARY, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
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
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
    )


def build_model(*, seed: int) -> BertForPreTraining:
    """The encoder with both pretraining heads, freshly drawn from the seed."""
    config = BertConfig(
        vocab_size=len(token_ids()), hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=64, pad_token_id=PAD, dtype="float32",
        initializer_range=0.05,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForPreTraining(config)


# ---------------------------------------------------------------- text


def sample_single(rng: Random, ids: dict[str, int]) -> Example:
    """A sentence; half of them are disturbed.

    The pooler learns of exchanged neighbours and of a few of the words that were replaced; the
    others are for the detector alone, so that a fine-tuned encoder has something left to learn.
    """
    tokens = words(sample_sentence(rng, max_words=MAX_WORDS))
    marks, sound = [0] * len(tokens), rng.randrange(2)
    if not sound and rng.random() < 0.3:
        i = rng.randrange(len(tokens) - 2)
        tokens[i : i + 2] = reversed(tokens[i : i + 2])
        marks[i : i + 2] = 1, 1
    elif not sound:
        for _ in range(rng.choice((1, 1, 2))):
            _replace(rng, tokens, marks, CONFUSIONS if rng.random() < 0.8 else ANYTHING)
        sound = 0 if rng.random() < 0.25 else IGNORED
    row = [CLS, *(ids[word] for word in tokens), SEP]
    return Example(tuple(row), (0,) * len(row), (0, *marks, 0), sound)


def sample_pair(rng: Random, ids: dict[str, int]) -> Example:
    """A sentence and a retelling: of it, of it with words replaced, or of another sentence."""
    first, draw = sample_sentence(rng, max_words=MAX_WORDS_OF_PAIR), rng.random()
    source = first if draw < 0.85 else sample_sentence(rng, max_words=MAX_WORDS_OF_PAIR)
    a, b = words(first), words(retell(rng, source))
    marks, sound = [0] * len(b), int(draw < 0.4)
    if 0.4 <= draw < 0.85:
        if rng.random() > 0.3 or not _exchange(rng, b, marks):
            _replace(rng, b, marks, ALTERNATIVES)
        sound = 0 if rng.random() < 0.4 else IGNORED
    row = [CLS, *(ids[word] for word in a), SEP, *(ids[word] for word in b), SEP]
    segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    return Example(tuple(row), tuple(segments), (*[0] * (len(a) + 2), *marks, 0), sound)


def _exchange(rng: Random, tokens: list[str], marks: list[int]) -> bool:
    """Let two words that fit in each other's place change places, if there are two."""
    couples = [
        (i, j)
        for i, word in enumerate(tokens)
        for j in range(i)
        if tokens[j] in ALTERNATIVES.get(word, ())
    ]
    if not couples:
        return False
    i, j = rng.choice(couples)
    tokens[i], tokens[j] = tokens[j], tokens[i]
    marks[i] = marks[j] = 1
    return True


def _replace(
    rng: Random, tokens: list[str], marks: list[int], options: dict[str, tuple[str, ...]]
) -> None:
    """Put another word in the place of one that has options, if any has."""
    places = [i for i, word in enumerate(tokens) if word in options and not marks[i]]
    if places:
        place = rng.choice(places)
        tokens[place] = rng.choice(options[tokens[place]])
        marks[place] = 1


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

    ids, segments, replaced = padded("ids"), padded("segments"), padded("replaced")
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & (ids >= len(SPECIAL))
    positions = chosen.flatten().nonzero().squeeze(1)
    targets = ids.flatten()[positions]
    fate = torch.rand(positions.shape, generator=generator)
    drawn = torch.randint(
        len(SPECIAL), len(SPECIAL) + len(VOCABULARY), positions.shape, generator=generator
    )
    shown = torch.where(fate < 0.8, MASK, torch.where(fate < 0.9, drawn, targets))
    masked = ids.flatten().scatter(0, positions, shown).view_as(ids)
    sound = torch.tensor([row.sound for row in rows])
    return Batch(masked, segments, (ids != PAD).long(), positions, targets, replaced, sound)


# ---------------------------------------------------------------- training


def losses(
    model: BertForPreTraining, batch: Batch, detector: Linear | None = None
) -> dict[str, Tensor]:
    """The mean loss of each objective; without a detector none for replaced words."""
    output = model.bert(
        input_ids=batch.ids,
        token_type_ids=batch.segments,
        attention_mask=batch.attention,
        output_hidden_states=True,
    )
    masked_MH = output.last_hidden_state.flatten(0, 1)[batch.positions]
    word_loss = cross_entropy(model.cls.predictions(masked_MH), batch.targets)
    sound_loss = cross_entropy(model.cls.seq_relationship(output.pooler_output), batch.sound)
    found = {"words": word_loss, "sound": sound_loss}
    if detector is not None:
        # One layer early, so that the last can still carry what was found to [CLS].
        logits_BL = detector(output.hidden_states[-2]).squeeze(2)
        weight_BL = batch.attention / batch.attention.sum()
        found["replaced"] = binary_cross_entropy_with_logits(
            logits_BL, batch.replaced.float(), weight_BL, reduction="sum"
        )
    return found


def train(model: BertForPreTraining, recipe: Recipe) -> None:
    """Train the model in place, single sentences and pairs in turn."""
    rng, ids = Random(recipe.seed), token_ids()
    generator = Generator().manual_seed(recipe.seed)
    streams = [
        batches(
            [sample(rng, ids) for _ in range(recipe.examples)],
            size=recipe.batch, rate=recipe.mask_rate, generator=generator,
        )
        for sample in (sample_single, sample_pair)
    ]  # fmt: skip
    detector = Linear(model.config.hidden_size, 1)  # thrown away at the end, as in ELECTRA
    torch.nn.init.zeros_(detector.weight)
    torch.nn.init.zeros_(detector.bias)
    parameters = [*model.parameters(), *detector.parameters()]
    log.info("text written")
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rising = max(1, int(recipe.warmup * recipe.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / rising, (recipe.steps - step) / (recipe.steps - rising)),
    )
    model.train(False)  # without dropout: new masks each time leave nothing to regularise
    for step in range(recipe.steps):
        found = losses(model, next(streams[step % 2]), detector)
        loss = found["words"] + found["sound"] + recipe.detection * found["replaced"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 < 2:
            shown = (f"{name} {value.item():.3f}" for name, value in found.items())
            log.info("step %d %s", step, " ".join(shown))


def save(model: BertForPreTraining, folder: Path) -> None:
    """Write config, weights and tokenizer where `from_pretrained` finds them."""
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def main() -> None:
    """Pretrain with the recipe of the committed backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=1, help="sums depend on it")
    parser.add_argument("--out", type=Path, default=FOLDER / "backbone")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(steps=arguments.steps)
    model = build_model(seed=recipe.seed)
    train(model, recipe)
    save(model, arguments.out)


if __name__ == "__main__":
    main()
