"""SQuAD against the official scripts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trials.tasks.text.squad import (
    Best,
    best_threshold,
    exact_by_question,
    f1_by_question,
    normalise,
    squad,
    squad_exact,
    squad_f1,
)

SHARES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1), st.booleans(), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda question: question[1],
)


@pytest.fixture
def questions(oracle) -> tuple[list[str], list[list[str]], list[float]]:
    said, gold, silent = zip(*oracle["questions"], strict=True)
    return list(said), list(gold), list(silent)


def test_each_question_as_in_the_script(oracle, questions) -> None:
    said, gold, _ = questions
    assert exact_by_question(said, gold) == oracle["squad"]["v2.0"]["exact"]
    assert f1_by_question(said, gold) == pytest.approx(oracle["squad"]["v2.0"]["f1"])


@pytest.mark.parametrize("threshold", ["1.0", "0.5"])
def test_means_and_counts_as_in_the_script(oracle, questions, threshold: str) -> None:
    said, gold, silent = questions
    found = squad(said, gold, no_answer=silent, threshold=float(threshold))
    for part, expected in zip(
        (found.all, found.has_answer, found.no_answer),
        oracle["squad"]["v2.0"][threshold],
        strict=True,
    ):
        own = (100 * part.exact, 100 * part.f1, part.num_questions)
        assert own == pytest.approx(tuple(expected))


def test_the_best_thresholds_as_in_the_script(oracle, questions) -> None:
    said, gold, silent = questions
    expected, found = oracle["squad"]["v2.0"], squad(said, gold, no_answer=silent)
    assert found.best_exact is not None
    assert found.best_f1 is not None
    assert 100 * found.best_exact.value == pytest.approx(expected["best_exact"])
    assert found.best_exact.threshold == expected["best_exact_thresh"]
    assert 100 * found.best_f1.value == pytest.approx(expected["best_f1"])
    assert found.best_f1.threshold == expected["best_f1_thresh"]


def test_version_1_1_as_in_its_script(oracle, questions) -> None:
    answered = [(said, gold) for said, gold, _ in zip(*questions, strict=True) if gold]
    said, gold = zip(*answered, strict=True)
    expected = oracle["squad"]["v1.1"]
    assert 100 * squad_exact(said, gold, version="1.1") == pytest.approx(expected["exact_match"])
    assert 100 * squad_f1(said, gold, version="1.1") == pytest.approx(expected["f1"])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The  quick, brown\tfox!", "quick brown fox"),
        ("an A-Team of the Anthem", "ateam of anthem"),
        ("Theа", "theа"),  # the last letter is Cyrillic: no article
        ("“Curly” — dash", "“curly” — dash"),  # only ASCII punctuation goes
        ("ÉTÉ\u00a0à\u3000Paris", "été à paris"),
        ("A. B.", "b"),
        ("", ""),
    ],
)
def test_normalisation(text: str, left: str) -> None:
    assert normalise(text) == left


def test_the_versions_differ_where_nothing_is_left() -> None:
    assert squad_f1(["the"], [["a"]]) == 1.0
    assert squad_f1(["the"], [["a"]], version="1.1") == 0.0
    assert squad_exact(["the"], [["a"]], version="1.1") == 1.0
    assert squad_exact([""], [["the", "Rollo"]]) == 0.0  # only Rollo is left
    assert squad_exact([""], [["the", "Rollo"]], version="1.1") == 1.0


def test_version_1_1_has_no_question_without_an_answer() -> None:
    with pytest.raises(ValueError, match="one has none here"):
        squad_exact(["a", ""], [["a"], []], version="1.1")


def test_a_part_without_questions_has_no_score() -> None:
    found = squad(["a"], [["a"]])
    assert (found.no_answer.num_questions, found.has_answer.num_questions) == (0, 1)
    assert math.isnan(found.no_answer.exact)
    assert found.best_exact is None


@pytest.mark.parametrize("numbers", [[0.5], [0.5, math.nan]])
def test_numbers_of_no_answer_must_fit(numbers: list[float]) -> None:
    with pytest.raises(ValueError, match="2 questions need as many numbers"):
        squad(["a", "b"], [["a"], []], no_answer=numbers)


@given(SHARES)
def test_the_best_threshold_beats_every_other(questions) -> None:
    scores, numbers, answerable, silent = map(list, zip(*questions, strict=True))
    scores = [s if a else float(q) for s, a, q in zip(scores, answerable, silent, strict=True)]

    def mean(threshold: float) -> float:
        pairs = zip(scores, numbers, answerable, strict=True)
        kept = [float(not able) if number > threshold else score for score, number, able in pairs]
        return sum(kept) / len(kept)

    found = best_threshold(scores, numbers, answerable, silent)
    every = [mean(threshold) for threshold in (-1.0, *numbers)]
    assert found.value == pytest.approx(max(every))


def test_refusing_all_may_be_best() -> None:
    assert best_threshold([0.0], [0.5], [False], [False]) == Best(1.0, 0.0)
