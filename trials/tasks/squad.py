"""SQuAD: answers that stand in paragraphs of Wikipedia, with and without unanswerable questions.

v1.1: Rajpurkar et al. 2016, arXiv:1606.05250. v2.0: Rajpurkar et al. 2018, arXiv:1806.03822. The
official tests are not public, so validation is reported. Questions on one article stay on one side
of a hold-out. "No answer" is said where it scores higher than the best answer, a threshold of 0 as
in the papers on low-rank adaptation; a folder of one's own may choose it on the search split.

Source: https://huggingface.co/datasets/rajpurkar/squad and .../squad_v2, at the commits below
"""

from functools import partial

from trials.tasks.base import Definition, Hub, Span, benchmark

_squad = partial(
    Definition,
    kind="span",
    text=("question", "context"),
    label="answers",
    primary="f1",
    group=("title",),
)

SQUAD = _squad(
    name="squad",
    metrics=("exact_match", "f1"),
    span=Span(),
    source="rajpurkar/squad on the hub, CC BY-SA 4.0",
    hub=Hub(path="rajpurkar/squad", revision="7b6d24c440a36b6815f21b70d25016731768db1f"),
)
SQUAD_V2 = _squad(
    name="squad_v2",
    metrics=(
        "exact_match",
        "f1",
        "has_answer_exact_match",
        "has_answer_f1",
        "no_answer_exact_match",
    ),
    span=Span(no_answer=0.0),
    source="rajpurkar/squad_v2 on the hub, CC BY-SA 4.0",
    hub=Hub(path="rajpurkar/squad_v2", revision="3ffb306f725f7d2ce8394bc1873b24868140c412"),
)

for _definition in (SQUAD, SQUAD_V2):
    benchmark(_definition, module=__name__)
