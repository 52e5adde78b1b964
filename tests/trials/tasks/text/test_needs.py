"""A library that is absent."""

import sys

import pytest

from trials.errors import UserError
from trials.tasks.text import bleu, meteor, nist
from trials.tasks.text.needs import needs


@pytest.mark.parametrize(
    ("metric", "library", "score"),
    [
        ("BLEU", "sacrebleu", bleu.bleu),
        ("TER", "sacrebleu", bleu.ter),
        ("NIST", "sacrebleu", nist.nist),
        ("METEOR", "snowballstemmer", meteor.meteor),
    ],
)
def test_a_metric_says_which_extra_it_needs(metric, library, score, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    expected = rf'{metric} needs the library {library}: pip install "ablate-peft\[nlg\]"'
    with pytest.raises(UserError, match=expected):
        score(["a"], [["a"]])


def test_a_broken_library_is_no_absent_one(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_lacks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_lacks"):
        needs("broken_library", metric="BLEU")
