"""E2E: restaurants described from slots and values (Novikova et al. 2017, arXiv:1706.09254).

A meaning representation such as `name[The Vaults], eatType[pub]` is read as
`name : The Vaults | eatType : pub`, as LoRA's authors write it. Rows with one meaning
representation are one example with several references where they are scored; the official scorer
ignores case, as `bleu_lowercase` does. Texts are written as for LoRA's GPT-2 (Hu et al. 2021).

Source: https://huggingface.co/datasets/tuetschek/e2e_nlg
"""

import re
from collections.abc import Mapping
from typing import Any

from trials.tasks.base import Definition, Hub, benchmark
from trials.tasks.generation import Generation, Template

_SLOT = re.compile(r"\s*([^\[\],][^\[\]]*)\[([^\]]*)\]")


def slots(row: Mapping[str, Any]) -> dict[str, str]:
    """The meaning representation of a row, as it is read."""
    found = _SLOT.findall(row["meaning_representation"])
    return {"slots": " | ".join(f"{name.strip()} : {value.strip()}" for name, value in found)}


benchmark(
    Definition(
        name="e2e",
        kind="text_to_text",
        metrics=("bleu", "bleu_lowercase", "nist", "meteor", "rouge_l_coco", "cider_d"),
        primary="bleu",
        group=("meaning_representation",),
        source="tuetschek/e2e_nlg on the hub",
        hub=Hub(
            path="tuetschek/e2e_nlg",
            splits=(("train", "train"), ("validation", "validation"), ("test", "test")),
        ),
        folder="e2e_nlg",
        template=Template(prompt="{slots}\n", completion="{human_reference}", merge=True),
        generation=Generation(beams=10, length_penalty=0.9, no_repeat_ngram=4),
        adapt=slots,
    ),
    module=__name__,
)
