"""The looks of a race on the page."""

from typing import Any

from ablate.report import looks
from ablate.report.render import write


def raced(study: Any, **changes: Any) -> dict[str, Any]:
    """The study's first registered finding, as a race of two looks would have it."""
    told = [
        {"num_seeds": 5, "n": 4, "estimate": 0.02, "ci_low": -0.04, "ci_high": 0.08,
         "p_value": 0.2, "p_sequential": 1.0},
        {"num_seeds": 8, "n": 8, "estimate": 0.03, "ci_low": 0.01, "ci_high": 0.05,
         "p_value": 0.001, "p_sequential": 0.002},
    ]  # fmt: skip
    first, *rest = study.findings["findings"]
    found = {**first, "confirmatory": True, "sequential": True, "looks": told,
             "stopped": "decided", "verdict": "better", **changes}  # fmt: skip
    return {**study.findings, "findings": [found, *rest]}


def test_each_look_is_a_row_and_the_last_has_the_verdict(study: Any) -> None:
    first, second = looks.table(raced(study))
    assert (first["n"], first["lost"], first["then"], first["verdict"]) == (
        "4",
        "1",
        "goes on",
        None,
    )
    assert (second["n"], second["lost"], second["p"]) == ("8", "", "0.002")
    assert second["then"] == "decided: no more seeds"
    assert second["verdict"].text == "better"
    open_ = looks.table(raced(study, stopped=None))
    assert open_[-1]["then"] == "goes on"


def test_a_study_without_looks_has_no_such_table(study: Any) -> None:
    assert looks.table(study.findings) == []


def test_registered_questions_come_alone(study: Any) -> None:
    document = raced(study)
    beside = {**document["findings"][0], "id": "beside", "confirmatory": False}
    document["findings"].append(beside)
    assert len(looks.table(document)) == 2
    for finding in document["findings"]:
        finding["confirmatory"] = False
    assert len(looks.table(document)) == 4


def test_the_page_shows_them(study: Any, tmp_path: Any) -> None:
    page = write(study.frame, raced(study), study.about, tmp_path).read_text(encoding="utf-8")
    assert "Look by look" in page
    assert "decided: no more seeds" in page
    assert "The results have been looked at 2 times" in page
