"""WebNLG 2017: triples of DBpedia told as text (Gardent et al. 2017, W17-3518).

Triples are read as `subject : property : object`, parted by `|`. The test split is reported as a
whole; its categories that train has (`test_seen`) and those that it lacks (`test_unseen`) are
scored and shown beside it, from the same texts. The official scorer ignores case, as
`bleu_lowercase` does. Texts are written as for LoRA's GPT-2 (Hu et al. 2021).

Source: https://huggingface.co/datasets/webnlg-challenge/web_nlg
"""

from collections.abc import Mapping
from typing import Any

from trials.tasks.base import Definition, Hub, benchmark
from trials.tasks.generation import Generation, Template
from trials.tasks.rows import Portion

SEEN, UNSEEN = "test_seen", "test_unseen"


def triples(row: Mapping[str, Any]) -> dict[str, Any]:
    """The triples of a row as they are read, and its texts."""
    parts = [triple.split(" | ") for triple in row["modified_triple_sets"]["mtriple_set"][0]]
    told = " | ".join(" : ".join(part.strip() for part in triple) for triple in parts)
    return {"triples": told.replace("_", " "), "texts": list(row["lex"]["text"])}


benchmark(
    Definition(
        name="webnlg",
        kind="text_to_text",
        metrics=("bleu", "bleu_lowercase", "meteor", "ter"),
        primary="bleu",
        group=("triples",),
        beside=(SEEN, UNSEEN),
        source="webnlg-challenge/web_nlg on the hub, configuration webnlg_challenge_2017",
        hub=Hub(
            path="webnlg-challenge/web_nlg",
            config="webnlg_challenge_2017",
            splits=(
                ("train", "train"),
                ("validation", "dev"),
                ("test", "test"),
                (SEEN, "test"),
                (UNSEEN, "test"),
            ),
        ),
        folder="web_nlg",
        template=Template(prompt="{triples}\n", completion="{texts}"),
        generation=Generation(beams=10, length_penalty=0.8, no_repeat_ngram=4),
        adapt=triples,
        portions=(
            Portion(SEEN, "test", "test_category", "seen"),
            Portion(UNSEEN, "test", "test_category", "unseen"),
        ),
    ),
    module=__name__,
)
