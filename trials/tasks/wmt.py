"""WMT16: news from English into Romanian and German (Bojar et al. 2016, W16-2301).

A sentence is asked for as T5 was trained to (Raffel et al. 2020, arXiv:1910.10683, appendix D).

Source: https://huggingface.co/datasets/wmt/wmt16
"""

from collections.abc import Mapping
from typing import Any

from trials.tasks.base import Definition, Hub, benchmark
from trials.tasks.generation import Generation, Template

LANGUAGES = {"ro": "Romanian", "de": "German"}


def sides(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Both languages as columns."""
    found: Mapping[str, Any] = row["translation"]
    return found


for _code, _name in LANGUAGES.items():
    benchmark(
        Definition(
            name=f"wmt16_en_{_code}",
            kind="text_to_text",
            metrics=("bleu", "ter"),
            primary="bleu",
            source=f"wmt/wmt16 on the hub, configuration {_code}-en",
            hub=Hub(
                path="wmt/wmt16",
                config=f"{_code}-en",
                splits=(("train", "train"), ("validation", "validation"), ("test", "test")),
            ),
            folder=f"wmt16_{_code}_en",
            template=Template(
                prompt=f"translate English to {_name}: {{en}}", completion=f"{{{_code}}}"
            ),
            generation=Generation(beams=4),
            adapt=sides,
        ),
        module=__name__,
    )
