"""Write the embedded tasks: `python -m trials.tiny.make_tasks` writes `tasks/`, byte for byte.

tiny_acceptability asks whether a sentence keeps the rules of the language, tiny_paraphrase whether
two sentences say the same. No text stands in two rows, hence none in two splits.
"""

import argparse
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from trials.tiny import FOLDER
from trials.tiny.language import sample_sentence, spell, words
from trials.tiny.rewrites import CONTRASTS, FAULTS, change, misorder, retell

SPLITS = {"train": 2400, "validation": 480, "test": 600}
SEEDS = {"tiny_acceptability": 20260, "tiny_paraphrase": 20261}
NOISE = 0.03  # the share of wrong labels, as annotators leave them
FAULT_WEIGHTS = {
    "agreement": 3, "relative": 5, "relativiser": 1, "determiner": 1, "pronoun": 2,
    "selection": 1, "frame": 5, "tense": 5, "form": 1, "order": 1,
}  # fmt: skip
CONTRAST_WEIGHTS = {
    "roles": 3, "gap": 2, "order": 1, "antonym": 4, "opposite_phrase": 3, "negation": 5, "noun": 3,
}  # fmt: skip

Row = dict[str, str | int]
Tokens = list[str]
Drawn = tuple[tuple[Tokens, ...], Tokens]  # the texts of a row, and the sentence they came from
Draw = Callable[[Random, int], Drawn | None]


def draw_acceptability(rng: Random, label: int) -> Drawn | None:
    """A sentence (label 1), or one with a fault (label 0).

    The fault is drawn first, and a good sentence must be one that the fault could have broken, so
    that neither length nor vocabulary gives the label away.
    """
    (fault,) = rng.choices(tuple(FAULT_WEIGHTS), tuple(FAULT_WEIGHTS.values()))
    sentence = sample_sentence(rng, max_words=16)
    good = words(sentence)
    if fault == "order":
        bad = misorder(rng, good)
    else:
        broken = change(rng, sentence, FAULTS[fault])
        bad = words(broken) if broken else good
    if bad == good or len(good) < 5:
        return None
    return ((good if label else bad),), good


def draw_paraphrase(rng: Random, label: int) -> Drawn | None:
    """A sentence with a retelling of it (label 1) or of a contrast to it (label 0)."""
    (name,) = rng.choices(tuple(CONTRAST_WEIGHTS), tuple(CONTRAST_WEIGHTS.values()))
    sentence = sample_sentence(rng, max_words=12)
    contrast = change(rng, sentence, CONTRASTS[name])
    if contrast is None:
        return None
    told = retell(rng, sentence if label else contrast)
    first, second = words(sentence), words(told)
    if first == second or len(first) < 5 or len(first) + len(second) > 28:
        return None
    return (first, second), first


DRAWS: dict[str, tuple[tuple[str, ...], Draw]] = {
    "tiny_acceptability": (("sentence",), draw_acceptability),
    "tiny_paraphrase": (("sentence1", "sentence2"), draw_paraphrase),
}


def _texts(rng: Random, draw: Draw, label: int) -> Iterator[list[str]]:
    """The texts of row after row, each followed by its source."""
    while True:
        drawn = draw(rng, label)
        if drawn:
            yield [spell(tokens) for tokens in (*drawn[0], drawn[1])]


def draw_rows(task: str) -> Iterator[Row]:
    """The rows of a task, endless, labels in equal shares up to the noise, each text once."""
    columns, draw = DRAWS[task]
    rng, seen = Random(SEEDS[task]), set[str]()
    index = 0
    while True:
        label = rng.randrange(2)
        texts = next(t for t in _texts(rng, draw, label) if not seen & set(t))
        seen |= set(texts)
        shown = 1 - label if rng.random() < NOISE else label
        yield {**dict(zip(columns, texts, strict=False)), "label": shown, "idx": index}
        index += 1


def compress(rows: list[Row]) -> bytes:
    """JSON lines, compressed without a time stamp."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as file:
        file.write(text.encode())
    return buffer.getvalue()


def build_task(task: str) -> dict[str, list[Row]]:
    """The rows of each split."""
    rows = draw_rows(task)
    return {split: [next(rows) for _ in range(size)] for split, size in SPLITS.items()}


def write_tasks(folder: Path) -> None:
    """Write the data of every task below a folder; `task.yaml` is written by hand."""
    for task in DRAWS:
        for split, rows in build_task(task).items():
            path = folder / task / f"{split}.jsonl.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(compress(rows))


def main() -> None:
    """Write the committed tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER / "tasks")
    write_tasks(parser.parse_args().out)


if __name__ == "__main__":
    main()
