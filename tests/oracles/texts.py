"""What the published scorers give for the texts of tests/trials/tasks/text.

    pip install future nltk==3.10.4 pycocoevalcap==1.2 rouge-score==0.1.2 snowballstemmer==3.1.1
    PYTHONPATH=. python tests/oracles/texts.py SCORERS > tests/trials/tasks/text/oracle.json

SCORERS is a folder with `evaluate-v1.1.py` and `evaluate-v2.0.py` of
https://rajpurkar.github.io/SQuAD-explorer and `metrics/pymteval.py` of
https://github.com/tuetschek/e2e-metrics. METEOR's own program, which comes with pycocoevalcap,
needs Java. Scorers that take tokens get those of `trials.tasks.text.words`.
"""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pycocoevalcap
from nltk.translate.nist_score import corpus_nist
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer

from trials.tasks.text.words import words

TEXTS: list[tuple[str, list[str]]] = [
    (
        "The Green Man is a family-friendly pub near the river, and it's cheap.",
        [
            "The Green Man is a cheap, family-friendly pub by the river.",
            "Near the river there's a cheap pub for families: The Green Man.",
        ],
    ),
    (
        "Blue Spice serves English food for £20-25, it has a rating of 5 out of 5.",
        ["Blue Spice, rated 5 out of 5, serves English food at £20-25."],
    ),
    (
        "the cats sat on the mats on the mat",
        ["the cat sat on the mat", "the mats the cats sat on", "on the mat sat the cat on the mat"],
    ),
    (
        "The mission was launched in 1997 from Cape Canaveral and is operated by the agency.",
        [
            "Operated by the agency, the mission was launched from Cape Canaveral in 1997.",
            "In 1997 the agency, which operates the mission, launched it from Cape Canaveral.",
            "The launch of the mission took place at Cape Canaveral in 1997.",
            "The mission of the agency began in 1997.",
        ],
    ),
    ("Nothing of this fits.", ["A station serves Paris."]),
    ("", ["An empty prediction has no words."]),
    ("Aarhus", ["Aarhus", "The airport serves the city of Aarhus."]),
    ("Don't they play there?", ["They don't play there.", "They cannot play there!"]),
]
QUESTIONS: list[tuple[str, list[str], float]] = [
    ("The Normans", ["Normans", "the Norman people"], 0.1),
    ("in the 10th  century!", ["10th and 11th centuries", "in the 10th century"], 0.4),
    ("", [], 0.9),
    ("Rollo", [], 0.3),
    ("", ["Rollo"], 0.8),
    ("the", ["a"], 0.2),
    ("Édouard's café", ["édouard’s café", "Edouards cafe"], 0.35),
    ("北京 大学", ["北京大学", "北京 大学"], 0.35),
    ("U.S. army", ["US Army officers"], 0.6),
    ("wrong words here", [], 0.7),
    ("fought for France", ["France"], 0.05),
]


def load(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem.replace("-", "_").replace(".", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coco(scorer: Any) -> dict[str, Any]:
    said = {i: [" ".join(words(text))] for i, (text, _) in enumerate(TEXTS)}
    gold = {i: [" ".join(words(text)) for text in texts] for i, (_, texts) in enumerate(TEXTS)}
    corpus, each = scorer.compute_score(gold, said)
    return {"corpus": float(corpus), "texts": [float(x) for x in each]}


def meteor() -> dict[str, Any]:
    jar = Path(next(iter(pycocoevalcap.__path__))) / "meteor" / "meteor-1.5.jar"
    options = ["-m", "exact stem", "-w", "1.0 0.6", "-p", "0.85 0.2 0.6 0.5", "-lower"]
    program = subprocess.Popen(
        ["java", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert program.stdin is not None
    assert program.stdout is not None
    statistics = []
    for said, texts in TEXTS:
        parts = [" ".join(words(text)) for text in (*texts, said)]
        program.stdin.write(" ||| ".join(["SCORE", *parts]) + "\n")
        program.stdin.flush()
        statistics.append(program.stdout.readline().strip())
    program.stdin.write(" ||| ".join(["EVAL", *statistics]) + "\n")
    program.stdin.close()
    *each, corpus = [float(line) for line in program.stdout]
    return {"corpus": corpus, "texts": each}


def rouge() -> dict[str, Any]:
    scorer = RougeScorer(["rougeL"])
    each = [scorer.score_multi(texts, said)["rougeL"].fmeasure for said, texts in TEXTS]
    return {"corpus": sum(each) / len(each), "texts": each}


def nist(scorers: Path) -> dict[str, float]:
    score = load(scorers / "pymteval.py").NISTScore()
    for said, texts in TEXTS:
        # It takes an empty text for one empty token, and counts -1 bigrams of a text without words.
        score.append(said or [], texts)
    score.cand_lens = [[max(length, 0) for length in lengths] for lengths in score.cand_lens]
    # nltk's is right where each text has one reference; of several it takes one alone.
    said = [score.tokenize(text.lower()) if text else [] for text, _ in TEXTS]
    first = [[score.tokenize(texts[0].lower())] for _, texts in TEXTS]
    return {"many": float(score.score()), "one": float(corpus_nist(first, said))}


def squad(scorers: Path) -> dict[str, Any]:
    new, old = load(scorers / "evaluate-v2.0.py"), load(scorers / "evaluate-v1.1.py")
    said = {str(i): text for i, (text, _, _) in enumerate(QUESTIONS)}
    silent = {str(i): number for i, (_, _, number) in enumerate(QUESTIONS)}
    asked = [
        {"id": str(i), "answers": [{"text": text} for text in gold]}
        for i, (_, gold, _) in enumerate(QUESTIONS)
    ]
    data = [{"paragraphs": [{"qas": asked}]}]
    answerable = new.make_qid_to_has_ans(data)
    exact, f1 = new.get_raw_scores(data, said)
    found: dict[str, Any] = {"exact": list(exact.values()), "f1": list(f1.values())}
    for threshold in (1.0, 0.5):
        cut = [new.apply_no_ans_threshold(s, silent, answerable, threshold) for s in (exact, f1)]
        groups = (
            None,
            *([k for k, v in answerable.items() if v == kind] for kind in (True, False)),
        )
        found[str(threshold)] = [list(new.make_eval_dict(*cut, group).values()) for group in groups]
    new.find_all_best_thresh(found, said, exact, f1, silent, answerable)
    some = [{"paragraphs": [{"qas": [question for question in asked if question["answers"]]}]}]
    return {"v2.0": found, "v1.1": old.evaluate(some, said)}


if __name__ == "__main__":
    scorers = Path(sys.argv[1])
    values = {
        "texts": TEXTS,
        "questions": QUESTIONS,
        "cider": coco(Cider()),
        "rouge_coco": coco(Rouge()),
        "rouge": rouge(),
        "meteor": meteor(),
        "nist": nist(scorers),
        "squad": squad(scorers),
    }
    sys.stdout.write(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
