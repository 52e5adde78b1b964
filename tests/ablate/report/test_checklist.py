"""The checklist answers from what is recorded, and says where nothing is."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.report import checklist, methods


def test_answers_are_what_the_study_recorded(whole: Any) -> None:
    frame = whole.frame.assign(num_examples=277, seconds=12.5)
    about = {**whole.about, "space": {"learning_rate": "0.0001 to 0.003, on a log scale"}}
    found = dict(checklist.answers(frame, whole.findings, about))
    told = " ".join(found.values())
    for text in (
        "4 claims, served by",
        "extended 1 time after results had been seen",
        "cola: reported on test (277 examples), chosen on dev (277 examples).",
        "sampler tpe, pruner median, budget 6 tries per cell",
        "Tuned: learning_rate (0.0001 to 0.003, on a log scale); 6 tries a cell.",
        "1 to 8 seeds a cell",
        "matthews and accuracy.",
        "95 % intervals",
        "3 runs without a result",
        "18,433 to 589,824 trainable parameters",
        "1.2 GPU-hours",
        "took 12.5 to 12.5 seconds",
        "torch 2.9.0, cuda 13.0",
        "`ablate reproduce`",
    ):
        assert text in told
    assert checklist.UNKNOWN not in found.values()


def test_what_is_not_recorded_is_said_to_be() -> None:
    frame = pd.DataFrame({"task": ["t"], "stage": ["confirm"], "status": ["finished"],
                          "arm": ["a"], "seed": [0]})  # fmt: skip
    found = dict(checklist.answers(frame, {}, {}))
    assert found["Which versions of the software were used?"] == checklist.UNKNOWN
    assert found["Which devices were used, for how long?"] == checklist.UNKNOWN
    assert "No claim was stated" in " ".join(found.values())


def test_methods_as_a_text_have_no_markup_of_the_user(whole: Any) -> None:
    about = {**whole.about, "sampler": "<img> & x"}
    text = methods.markdown(whole.frame, whole.findings, about)
    assert "<" not in text
    assert "&lt;img> &amp; x" in text
    assert "## Reproducibility checklist" in text
    assert text.count("**") == 2 * len(checklist.answers(whole.frame, whole.findings, about))
    for paragraph in methods.paragraphs(whole.findings, about):
        assert methods.plain(paragraph) in text
