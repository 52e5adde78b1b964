"""How outputs are scored: one table of metrics, each with its kind of task and its direction.

A metric takes predictions and labels of equal length and gives a number in its own unit. Where it
is undefined it gives NaN, and the score is then missing, never filled in. Those of texts lie in
`trials.tasks.text`; their labels are lists of references. Answers in a text have a table of their
own, for what is called F1 there is another thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from trials.catalogue import local_function
from trials.errors import UserError, nearest
from trials.tasks.text import answers, bleu, cider, meteor, nist, rouge
from trials.tasks.text.needs import needs
from trials.tasks.text.pairs import References, Texts
from trials.tasks.text.squad import Version, exact_by_question, f1_by_question

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Kind = Literal["classification", "regression", "span", "text_to_text"]
Direction = Literal["higher", "lower"]
KINDS: tuple[Kind, ...] = ("classification", "regression", "span", "text_to_text")
DIRECTIONS: tuple[Direction, ...] = ("higher", "lower")


@dataclass(frozen=True)
class Metric:
    """One way to score.

    Attributes:
        function: (predictions, labels) -> value; label ids for classification, real numbers for
            regression, texts and lists of gold answers or references for span and text to text.
        kind: the kind of task it can score; None for any.
        direction: whether higher or lower is better; None where its function does not say.
        binary: whether it needs exactly two labels, of which id 1 is the positive one.
        by_text: the same of each text by itself; None where there is no such thing.
        signature: how a library made it, from the same arguments; None where the code here says it.
        needs: libraries of the extra `nlg` that it takes.
    """

    function: Callable[[Any, Any], float]
    kind: Kind | None
    direction: Direction | None = "higher"
    binary: bool = False
    by_text: Callable[[Texts, References], list[float]] | None = None
    signature: Callable[[Texts, References], str] | None = None
    needs: tuple[str, ...] = ()


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of exact matches, in [0, 1]."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def f1(predictions: Array, labels: Array) -> float:
    """Harmonic mean of precision and recall of label 1; 0 where nothing is hit."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="binary", zero_division=0.0))


def f1_macro(predictions: Array, labels: Array) -> float:
    """Plain mean of every label's F1, over labels that occur in predictions or labels."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def mcc(predictions: Array, labels: Array) -> float:
    """Matthews correlation, in [-1, 1]; 0 where either side is constant, as in scikit-learn.

    Source: Matthews 1975; Gorodkin 2004 for more than two labels.
    """
    from sklearn.metrics import matthews_corrcoef

    if _constant(predictions) or _constant(labels):
        return 0.0
    return float(matthews_corrcoef(labels, predictions))


def pearson(predictions: Array, labels: Array) -> float:
    """Linear correlation, in [-1, 1]; NaN where either side is constant."""
    from scipy.stats import pearsonr

    if _constant(predictions) or _constant(labels):
        return float("nan")
    return float(pearsonr(predictions, labels).statistic)


def spearman(predictions: Array, labels: Array) -> float:
    """Correlation of ranks, in [-1, 1]; NaN where either side is constant."""
    from scipy.stats import spearmanr

    if _constant(predictions) or _constant(labels):
        return float("nan")
    return float(spearmanr(predictions, labels).statistic)


def mse(predictions: Array, labels: Array) -> float:
    """Mean squared error, in squared label units."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(labels, predictions))


def mae(predictions: Array, labels: Array) -> float:
    """Mean absolute error, in label units."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(labels, predictions))


_text = partial(Metric, kind="text_to_text")


def _bleu(**options: Any) -> Metric:
    return _text(
        lambda said, references: bleu.bleu(said, references, **options).value,
        by_text=partial(bleu.bleu_by_text, **options),
        signature=lambda said, references: bleu.bleu(said, references, **options).signature,
        needs=("sacrebleu",),
    )


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(accuracy, "classification"),
    "f1": Metric(f1, "classification", binary=True),
    "f1_macro": Metric(f1_macro, "classification"),
    "mcc": Metric(mcc, "classification"),
    "pearson": Metric(pearson, "regression"),
    "spearman": Metric(spearman, "regression"),
    "mse": Metric(mse, "regression", "lower"),
    "mae": Metric(mae, "regression", "lower"),
    "exact_match": _text(answers.exact_match, by_text=answers.exact_match_by_text),
    "token_f1": _text(answers.token_f1, by_text=answers.token_f1_by_text),
    "bleu": _bleu(),
    "bleu_lowercase": _bleu(lowercase=True),
    "ter": _text(
        lambda said, references: bleu.ter(said, references).value,
        direction="lower",
        by_text=bleu.ter_by_text,
        signature=lambda said, references: bleu.ter(said, references).signature,
        needs=("sacrebleu",),
    ),
    "nist": _text(nist.nist, by_text=nist.nist_by_text, needs=("sacrebleu",)),
    "meteor": _text(meteor.meteor, by_text=meteor.meteor_by_text, needs=("snowballstemmer",)),
    "rouge_l": _text(rouge.rouge_l, by_text=rouge.rouge_l_by_text),
    "rouge_l_coco": _text(rouge.rouge_l_coco, by_text=rouge.rouge_l_coco_by_text),
    "cider_d": _text(cider.cider_d, by_text=cider.cider_d_by_text),
}


def of_answers(version: Version) -> Mapping[str, Metric]:
    """The metrics of answers: of all questions, of those with an answer, of those without.

    A question without an answer is answered right by saying so, which counts 1 in either metric.

    Args:
        version: of SQuAD, whose official script they follow.
    """
    exact, f1 = (partial(f, version=version) for f in (exact_by_question, f1_by_question))
    functions = {
        "exact_match": partial(_mean, exact, None),
        "f1": partial(_mean, f1, None),
        "has_answer_exact_match": partial(_mean, exact, True),
        "has_answer_f1": partial(_mean, f1, True),
        "no_answer_exact_match": partial(_mean, exact, False),
    }
    return {name: Metric(function, "span") for name, function in functions.items()}


def _mean(
    score: Callable[[Any, Any], list[float]],
    answerable: bool | None,
    predictions: Sequence[str],
    labels: Sequence[Sequence[str]],
) -> float:
    """Mean score of the questions that are answerable, or are not, or (None) all; NaN of none."""
    pairs = zip(predictions, labels, strict=True)
    taken = [(said, gold) for said, gold in pairs if answerable in (None, bool(gold))]
    return fmean(score(*zip(*taken, strict=True))) if taken else float("nan")


ANSWERS = of_answers("2.0")


def table(kind: Kind | None) -> Mapping[str, Metric]:
    """The metrics for a kind of task."""
    if kind == "span":
        return ANSWERS
    return {name: m for name, m in METRICS.items() if kind in (None, m.kind)}


def find(name: str, kind: Kind | None = None) -> Metric:
    """A metric of the tables, or a function of a local file by `file.py:function`.

    Such a function takes (predictions, labels) as those of the table do, and gives a number, or
    NaN where it is undefined. Its attribute `direction` may say `lower`.

    Args:
        name: of the metric.
        kind: of the task, where one name means different things.

    Raises:
        UserError: there is no such metric, or the file is not one that the study uses.
    """
    for known in (table(kind), METRICS, ANSWERS):
        if name in known:
            return known[name]
    file, _, attribute = name.partition(":")
    if not file.endswith(".py") or not attribute:
        raise UserError(f"no metric called '{name}'{nearest(name, table(kind))}")
    function = local_function(file, attribute)
    direction = getattr(function, "direction", None)
    if direction not in (None, *DIRECTIONS):
        raise UserError(f"the direction of '{name}' must be higher or lower, not {direction!r}")
    return Metric(_checked(name, function), None, direction)


def _checked(name: str, function: Callable[[Array, Array], Any]) -> Callable[[Array, Array], float]:
    """A function of a user's that gives a finite number, or NaN."""

    def score(predictions: Array, labels: Array) -> float:
        value = function(predictions, labels)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UserError(f"metric '{name}' must give a number, but gave {value!r}") from None
        return number if math.isfinite(number) else float("nan")

    return score


def require(names: Sequence[str]) -> None:
    """Make sure before anything is trained that metrics can be computed here.

    Raises:
        UserError: a library of theirs is not installed; each is named.
    """
    problems: dict[str, None] = {}
    for name in names:
        for library in METRICS[name].needs if name in METRICS else ():
            try:
                needs(library, metric=f"metric '{name}'")
            except UserError as error:
                problems |= dict.fromkeys(map(str, error.problems))
    if problems:
        raise UserError(*problems)


def grid_step(metric: str, num_examples: int) -> float | None:
    """The smallest difference that a metric can show on so many examples; None for no grid."""
    is_share = metric in ("accuracy", "exact_match")
    return 1 / num_examples if is_share and num_examples > 0 else None


def _constant(values: Array) -> bool:
    """Whether all values are equal but for rounding, by the bound that scipy warns at."""
    return bool(abs(values - values.mean()).max() <= 1e-13 * abs(values).max())
