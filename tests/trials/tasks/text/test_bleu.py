"""BLEU and TER: what of sacrebleu is used, and how."""

import math

import pytest
import sacrebleu

from trials.errors import UserError
from trials.tasks.text.bleu import bleu, bleu_by_text, ter, ter_by_text


def test_bleu_by_hand() -> None:
    """Precisions 4/5, 3/4, 2/3 and 1/2, no penalty."""
    found = bleu(["a b c d x"], [["a b c d e"]])
    assert found.value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))


def test_the_penalty_goes_by_the_closest_reference() -> None:
    said, gold = ["a b c d"], [["a b c d e", "a b c d e f g h"]]
    assert bleu(said, gold).value == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_the_signature_says_how_it_was_made() -> None:
    found = bleu(["A b", "c d"], [["a b", "x"], ["c d"]], lowercase=True)
    version = sacrebleu.__version__
    assert found.signature == f"nrefs:var|case:lc|eff:no|tok:13a|smooth:exp|version:{version}"
    assert "nrefs:1|case:mixed" in bleu(["a"], [["a"]]).signature
    assert "tok:tercom|norm:yes" in ter(["a"], [["a"]], normalized=True).signature


def test_case_counts_unless_it_is_ignored() -> None:
    said, gold = ["A B C D E"], [["a b c d e"]]
    assert bleu(said, gold).value == 0.0
    assert bleu(said, gold, lowercase=True).value == pytest.approx(100)


def test_a_text_shorter_than_four_words_can_be_perfect_by_itself() -> None:
    assert bleu_by_text(["Aarhus"], [["Aarhus"]]) == pytest.approx([100])
    assert bleu(["Aarhus"], [["Aarhus"]]).value == pytest.approx(0)  # it has no n-grams of 2 to 4


def test_chinese_needs_its_tokeniser() -> None:
    said, gold = ["我喜欢吃苹果"], [["我喜欢吃香蕉"]]
    assert bleu(said, gold).value == 0.0
    assert bleu(said, gold, tokenize="zh").value > 50


def test_no_such_tokeniser() -> None:
    with pytest.raises(UserError, match="sacrebleu has no tokeniser '13b'; did you mean '13a'"):
        bleu(["a"], [["a"]], tokenize="13b")


def test_ter_by_hand() -> None:
    """One word replaced; one moved; two inserted: over the words of the reference."""
    assert ter(["a b x d"], [["a b c d"]]).value == pytest.approx(100 / 4)
    assert ter(["b c d a"], [["a b c d"]]).value == pytest.approx(100 / 4)
    assert ter(["a b c d e f"], [["a b c d"]]).value == pytest.approx(100 * 2 / 4)


def test_ter_goes_by_the_nearest_reference_and_their_mean_length() -> None:
    """One edit from the first; (4 + 2) / 2 words. The second text: one edit of one word."""
    said, gold = ["a b c x", "y"], [["a b c d", "q r"], ["z"]]
    assert ter_by_text(said, gold) == pytest.approx([100 / 3, 100])
    assert ter(said, gold).value == pytest.approx(100 * 2 / 4)


def test_tokenised_texts_are_no_cause_for_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    bleu(["a text ."] * 101, [["a text ."]] * 101)
    assert not caplog.records
