"""GLUE: nine tasks of understanding English (Wang et al. 2019, arXiv:1804.07461).

The hub's test labels are not public (all -1), so its test splits are left out. MNLI has two
validation splits: `validation` is the matched one, which is reported and which claims rest on, as
in the papers' tables; the mismatched one is scored and shown beside it. Columns that repeat a
sentence are named in `group`: rows that share a question or a premise stay on one side of a
hold-out.

Source: https://huggingface.co/datasets/nyu-mll/glue, at `REVISION`
"""

from functools import partial

from trials.tasks.base import Definition, Hub, benchmark

PATH = "nyu-mll/glue"
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
MISMATCHED = "validation_mismatched"
PAIR = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")

_hub = partial(Hub, path=PATH, revision=REVISION)
_glue = partial(Definition, kind="classification", label="label", source=f"{PATH} on the hub")

GLUE = (
    _glue(
        name="cola",
        text=("sentence",),
        labels=("unacceptable", "acceptable"),
        metrics=("mcc", "accuracy"),
        primary="mcc",
        hub=_hub(config="cola"),
    ),
    _glue(
        name="sst2",
        text=("sentence",),
        labels=("negative", "positive"),
        metrics=("accuracy",),
        primary="accuracy",
        hub=_hub(config="sst2"),
    ),
    _glue(
        name="mrpc",
        text=PAIR,
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        primary="accuracy",
        group=(PAIR,),
        hub=_hub(config="mrpc"),
    ),
    _glue(
        name="stsb",
        kind="regression",
        text=PAIR,
        metrics=("pearson", "spearman"),
        primary="pearson",
        group=(PAIR,),
        hub=_hub(config="stsb"),
    ),
    _glue(
        name="qqp",
        text=("question1", "question2"),
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        primary="accuracy",
        group=(("question1", "question2"),),
        hub=_hub(config="qqp"),
    ),
    _glue(
        name="mnli",
        text=("premise", "hypothesis"),
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        primary="accuracy",
        group=("premise",),
        beside=(MISMATCHED,),
        hub=_hub(
            config="mnli",
            splits=(
                ("train", "train"),
                ("validation", "validation_matched"),
                (MISMATCHED, MISMATCHED),
            ),
        ),
    ),
    _glue(
        name="qnli",
        text=("question", "sentence"),
        labels=ENTAILMENT,
        metrics=("accuracy",),
        primary="accuracy",
        group=("question",),
        hub=_hub(config="qnli"),
    ),
    _glue(
        name="rte",
        text=PAIR,
        labels=ENTAILMENT,
        metrics=("accuracy",),
        primary="accuracy",
        group=("sentence1",),
        hub=_hub(config="rte"),
    ),
    _glue(
        name="wnli",
        text=PAIR,
        labels=("not_entailment", "entailment"),
        metrics=("accuracy",),
        primary="accuracy",
        group=("sentence1",),
        hub=_hub(config="wnli"),
    ),
)

for _definition in GLUE:
    benchmark(_definition, module=__name__)
