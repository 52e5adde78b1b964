"""DART: triples told as text, from tables and other sets (Nan et al. 2021, arXiv:2007.02871).

Triples are read as `subject : relation : object`, parted by `|`. An example has all the texts of
its set of triples as references. Texts are written as for LoRA's GPT-2 (Hu et al. 2021).

Source: https://huggingface.co/datasets/Yale-LILY/dart
"""

from collections.abc import Mapping
from typing import Any

from trials.tasks.base import Definition, Hub, benchmark
from trials.tasks.generation import Generation, Template


def triples(row: Mapping[str, Any]) -> dict[str, Any]:
    """The triples of a row as they are read, and its texts; the set has one that is null."""
    told = " | ".join(
        f"{subject} : {relation} : {object_}" for subject, relation, object_ in row["tripleset"]
    )
    texts = [text for text in row["annotations"]["text"] if text is not None]
    return {"triples": told, "texts": texts}


benchmark(
    Definition(
        name="dart",
        kind="text_to_text",
        metrics=("bleu", "meteor", "ter"),
        primary="bleu",
        group=("triples",),
        source="Yale-LILY/dart on the hub",
        hub=Hub(
            path="Yale-LILY/dart",
            splits=(("train", "train"), ("validation", "validation"), ("test", "test")),
        ),
        template=Template(prompt="{triples}\n", completion="{texts}"),
        generation=Generation(beams=10, length_penalty=0.8, no_repeat_ngram=4),
        adapt=triples,
    ),
    module=__name__,
)
