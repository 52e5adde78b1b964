import contextlib
import copy
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablate.study import Study, json_schema
from trials import catalogue, yaml
from trials.errors import UserError

SHARED = Path(
    os.environ.get("ABLATE_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)

STUDY = """\
study: mine
question: Which?
tasks: [mrpc, cola]
backbones: [roberta-base@main]
targets: [query, value]
arms:
  - {method: lora, rank: {each: [4, 8]}}
  - {method: mtlora, structure: {each: [shim, icfm]}, rank: {each: [4, 8]}}
  - {method: lora_mini, rank: 8}
baselines: [{method: lora}]
match: [rank]
exclude: ["method == 'mtlora' and structure == 'icfm' and rank == 4"]
train: {epochs: 3, learning_rate: 1e-3, schedule: {warmup: 0.06}}
overrides: [{when: {task: cola}, train: {epochs: 5}}]
tune:
  budget: {trials: 12}
  space: {learning_rate: {low: 1e-4, high: 1e-2, log: true}}
  constraints: ["rank <= a"]
  sampler: {name: tpe}
  pruner: {name: median}
confirm: {seeds: 10}
split: auto
level: 0.95
margin: 0.5
claims:
  - {id: first, kind: better, treatment: {structure: shim}, control: {method: lora}, over: tasks}
keep: best
"""


def write(folder: Path, text: str, name: str = "study.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def changed(old: str, new: str) -> str:
    assert STUDY.count(old) == 1, old
    return STUDY.replace(old, new)


def mistakes(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> list[str]:
    file = write(folder, text)
    with pytest.raises(UserError) as error:
        Study.read(file, overrides)
    return [str(p).replace(f"{folder}/", "") for p in error.value.problems]


def value(**changes: Any) -> dict[str, Any]:
    keys: dict[str, Any] = yaml.parse(STUDY, file="").value
    return {key: item for key, item in {**keys, **changes}.items() if item is not ...}


def test_a_study_without_mistakes(tmp_path: Path) -> None:
    study = Study.read(write(tmp_path, STUDY))
    assert study.name == "mine"
    assert [arm.id for arm in study.arms] == [
        "lora rank=4",
        "lora rank=8",
        "mtlora structure=shim rank=4",
        "mtlora structure=shim rank=8",
        "mtlora structure=icfm rank=4",
        "mtlora structure=icfm rank=8",
        "lora_mini rank=8",
    ]
    assert study.confirm_seeds == tuple(range(10))
    assert study.search_seeds == (1_000_000,)
    assert study.splits is None
    assert study.tune is not None
    assert study.tune.parallel == 4
    assert study.tune.space["learning_rate"].low == 1e-4


ONE_MISTAKE = [
    ("study: mine", "study: a/b",
     "1: study: must be a name of letters, digits, - and _, but 'a/b' is a path; the store keeps "
     "a study in a folder of that name"),
    ("study: mine", "study: a b",
     "1: study: must consist of letters, digits, - and _, but got 'a b'"),
    ("study: mine\n", "", "1: study: is missing"),
    ("question: Which?", "qeustion: Which?", "2: qeustion: unknown key 'qeustion'; did you mean "
     "'question'?"),
    ("[mrpc, cola]", "[mrpc, coal]", "3: tasks[1]: no task called 'coal'; did you mean 'cola'? "
     "(a folder is written ./coal)"),
    ("[mrpc, cola]", "[mrpc, cola, ./mine]", "3: tasks[2]: there is no folder mine"),
    ("[mrpc, cola]", "[mrpc, cola, mrpc]", "3: tasks[2]: 'mrpc' is named twice"),
    ("[mrpc, cola]", "mrpc", "3: tasks: must be a list, but got 'mrpc'"),
    ("[roberta-base@main]", "[]", "4: backbones: needs at least one entry"),
    ("[roberta-base@main]", "[./models/x]", "4: backbones[0]: there is no folder models/x"),
    ("[roberta-base@main]", "[x@]", "4: backbones[0]: must be a hub id such as name or "
     "name@revision, but got 'x@'"),
    ("[query, value]", "[qeury, value]", "5: targets[0]: no target called 'qeury'; did you mean "
     "'query'?"),
    ("[query, value]", "{modules: ['(']}", "5: targets.modules[0]: '(' is not a regular "
     "expression: missing ), unterminated subpattern at position 0"),
    ("  - {method: lora_mini, rank: 8}", "  - {method: lora_mini, rnak: 8}",
     "9: arms[2].rnak: method 'lora_mini' has no field 'rnak'; did you mean 'rank'?"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: many",
     "9: arms[2].rank: must be a number, but got 'many'"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: 0",
     "9: arms[2].rank: must be at least 1, but got 0"),
    ("method: lora_mini, rank: 8", "method: lora_mini, freeze: [a_axu]",
     "9: arms[2].freeze: holds 'a_axu'; did you mean 'a_aux'?"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: {each: all}",
     "9: arms[2].rank: each: all is for fields that hold a set of names; list the values"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: {each: []}",
     "9: arms[2].rank: each needs a list of values, but got []"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: {each: [4, 0]}",
     "9: arms[2].rank.each[1]: must be at least 1, but got 0"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: {each: [4, 4]}",
     "9: arms[2].rank.each[1]: 4 is named twice"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: {each: [4], some: 1}",
     "9: arms[2].rank.some: unknown key 'some' beside each"),
    ("method: lora_mini, rank: 8", "method: lora_mini, rank: [4, 8]",
     "9: arms[2].rank: must be a number, but got [4, 8]"),
    ("method: lora_mini, rank: 8", "method: lora_mini, learning_rate: 0",
     "9: arms[2].learning_rate: must be above 0, but got 0"),
    ("method: lora_mini, rank: 8", "method: lora_mini, targets: [vlaue]",
     "9: arms[2].targets[0]: no target called 'vlaue'; did you mean 'value'?"),
    ("method: lora_mini, rank: 8", "method: bitfit, targets: [value]",
     "9: arms[2].targets: method 'bitfit' chooses itself what it adapts: leave targets out"),
    ("method: lora_mini, rank: 8", "method: lora_mini, label: 3",
     "9: arms[2].label: must be text, but got 3"),
    ("method: lora_mini, rank: 8", "method: lora, rank: 8",
     "9: arms[2]: is the same as arms[0]: lora rank=8"),
    ("method: lora_mini, rank: 8", "method: lora",
     "9: arms[2]: is the same as arms[0]: lora is lora rank=8"),
    ("method: lora_mini, rank: 8", "method: lora_mini, label: X}\n  - {method: tlora, label: X",
     "10: arms[3].label: 'X' is the label of arms[2] too"),
    ("method: lora_mini, rank: 8", "method: lora, rank: 8, learning_rate: 1e-4",
     "9: arms[2]: lora rank=8 learning_rate=0.0001 runs the same trials as lora rank=8 of "
     "arms[0]: learning_rate is tuned"),
    ("method: lora_mini, rank: 8", "method: lora, rank: 8, label_smoothing: 0.0",
     "9: arms[2]: lora rank=8 label_smoothing=0.0 runs the same trials as lora rank=8 of arms[0]"),
    ("method: lora_mini, rank: 8", "method: triadaptlora, rank: 4, initial_rank: 8",
     "9: arms[2]: initial_rank 8 must be at most rank 4, the budget of a site"),
    ("{method: lora_mini, rank: 8}", "lora_mini",
     "9: arms[2]: must be a mapping, but got 'lora_mini'"),
    ("method: lora_mini, rank: 8", "method: peft.IA3Confg",
     "9: arms[2].method: peft has no IA3Confg; did you mean 'IA3Config'?"),
    ("method: lora_mini, rank: 8", "method: peft.IA3Config, rank: 8",
     "9: arms[2].rank: method 'peft.IA3Config' has no field 'rank'; expected one of "
     "exclude_modules, fan_in_fan_out, feedforward_modules, init_ia3_weights, label, "
     "target_modules"),
    ("method: lora_mini, rank: 8", "method: [lora]",
     "9: arms[2].method: must be the name of a method, but got ['lora']"),
    ("baselines: [{method: lora}]", "baselines: [{method: tlora}]",
     "10: baselines[0]: matches no arm; the arms are lora r=4, lora r=8, mtlora shim r=4, "
     "mtlora shim r=8, mtlora icfm r=4, mtlora icfm r=8, lora_mini r=8"),
    ("baselines: [{method: lora}]", "baselines: [{method: lora, rank: 16}]",
     "10: baselines[0]: matches no arm; the arms are lora r=4, lora r=8, mtlora shim r=4, "
     "mtlora shim r=8, mtlora icfm r=4, mtlora icfm r=8, lora_mini r=8"),
    ("baselines: [{method: lora}]", "baselines: [{method: lroa}]",
     "10: baselines[0].method: no method called 'lroa'; did you mean 'lora'?"),
    ("baselines: [{method: lora}]", "baselines: [{}]",
     "10: baselines[0]: names no field, so it would match every arm"),
    ("match: [rank]", "match: [rnak]",
     "11: match[0]: no arm has a field 'rnak'; did you mean 'rank'?"),
    ("structure == 'icfm'", "structure == 'icmf'",
     "12: exclude[0]: structure: must be one of shim, icfm, ctcm, dtsm, but got 'icmf'; did you "
     "mean 'icfm'?"),
    ("method == 'mtlora' and", "method == 'mtlroa' and",
     "12: exclude[0]: method: no method called 'mtlroa'; did you mean 'mtlora'?"),
    ("and rank == 4", "and rnak == 4",
     "12: exclude[0]: no arm has a field 'rnak'; did you mean 'rank'? (texts need quotes)"),
    ("and rank == 4", "and rank + 1 == 4",
     "12: exclude[0]: 'rank + 1' is not allowed here; use names, numbers, texts, lists, "
     "== != < <= > >= in, and, or, not and parentheses"),
    ("and rank == 4", "and learning_rate < 1",
     "12: exclude[0]: 'learning_rate' is tuned, so it belongs in tune.constraints"),
    ("epochs: 3", "epochs: 3, steps: 600", "13: train: give epochs or steps, not both"),
    ("epochs: 3, ", "", "13: train: needs epochs or steps"),
    ("epochs: 3, ", "epochs: 0, ", "13: train.epochs: must be above 0, but got 0"),
    ("epochs: 3, ", "steps: 1.5, ", "13: train.steps: must be a whole number, but got 1.5"),
    ("learning_rate: 1e-3", "learning_rate: fast",
     "13: train.learning_rate: must be a number, but got 'fast'"),
    ("learning_rate: 1e-3", "batch_size: true",
     "13: train.batch_size: must be a whole number, but got True"),
    ("learning_rate: 1e-3", "precision: fp8",
     "13: train.precision: must be one of fp32, bf16, fp16, but got 'fp8'"),
    ("learning_rate: 1e-3", "base_precision: nf8",
     "13: train.base_precision: must be one of same, int8, nf4, but got 'nf8'; "
     "did you mean 'nf4'?"),
    ("learning_rate: 1e-3", "start_from: mnli",
     "13: train.start_from: must be a mapping, but got 'mnli'"),
    ("learning_rate: 1e-3", "start_from: {task: mnil}",
     "13: train.start_from.task: no task of this study called 'mnil'; expected one of cola, mrpc"),
    ("learning_rate: 1e-3", "start_from: {task: cola}",
     "13: train.start_from.task: cola would start from its own adapter; give start_from to the "
     "other tasks alone, in overrides"),
    ("train: {epochs: 5}", "train: {start_from: {task: cola}}",
     "14: overrides[0].train.start_from.task: cola would start from its own adapter; give "
     "start_from to the other tasks alone, in overrides"),
    ("{when: {task: cola}, train: {epochs: 5}}",
     "{when: {task: cola}, train: {start_from: {task: mrpc}}}, "
     "{when: {task: mrpc, method: mtlora}, train: {start_from: {task: cola}}}",
     "14: overrides[1].train.start_from.task: mrpc starts from cola, which starts from mrpc: none "
     "of them could be the first"),
    ("learning_rate: 1e-3", "optimizer: {name: sgd}",
     "13: train.optimizer.name: must be adamw, but got 'sgd'"),
    ("learning_rate: 1e-3", "evaluate: {every: often}",
     "13: train.evaluate.every: must be epoch or a number of steps, but got 'often'"),
    ("learning_rate: 1e-3", "evaluate: {select: first}",
     "13: train.evaluate.select: must be one of best, last, but got 'first'"),
    ("warmup: 0.06", "warmup: 1.5",
     "13: train.schedule.warmup: must be a share below 1 or a whole number of steps, but got 1.5"),
    ("warmup: 0.06", "name: cosin", "13: train.schedule.name: must be one of linear, cosine, "
     "constant, but got 'cosin'; did you mean 'cosine'?"),
    ("{task: cola}", "{task: coal}",
     "14: overrides[0].when.task: no task of this study called 'coal'; did you mean 'cola'?"),
    ("train: {epochs: 5}", "train: {epochs: null}",
     "14: overrides[0].train: needs epochs or steps where it names them"),
    ("method: lora_mini, rank: 8", "method: lora_mini, epochs: null",
     "9: arms[2].epochs: must not be null"),
    ("{task: cola}", "{rnak: 4}",
     "14: overrides[0].when.rnak: no arm has a field 'rnak'; did you mean 'rank'?"),
    ("{trials: 12}", "{gpu_seconds: 0}",
     "16: tune.budget.gpu_seconds: must be above 0, but got 0"),
    ("{trials: 12}", "{trials: 12, gpu_seconds: 60}",
     "16: tune.budget: needs either trials or gpu_seconds"),
    ("{trials: 12}", "{}", "16: tune.budget: needs either trials or gpu_seconds"),
    ("{trials: 12}", "{trials: 0}", "16: tune.budget.trials: must be at least 1, but got 0"),
    ("low: 1e-4, high: 1e-2", "low: 1e-2, high: 1e-4",
     "17: tune.space.learning_rate: low 1e-2 must be below high 1e-4"),
    ("low: 1e-4, high: 1e-2", "low: 0, high: 1e-2",
     "17: tune.space.learning_rate: log needs low above 0, but got 0"),
    ("low: 1e-4, high: 1e-2, log: true", "low: 1e-4",
     "17: tune.space.learning_rate: has low but not the other bound"),
    ("low: 1e-4, high: 1e-2, log: true", "choices: []",
     "17: tune.space.learning_rate: choices is empty"),
    ("low: 1e-4, high: 1e-2, log: true", "choices: [1e-3, 1e-3]",
     "17: tune.space.learning_rate: choices holds 0.001 twice"),
    ("low: 1e-4, high: 1e-2, log: true", "choices: [1e-3], log: true",
     "17: tune.space.learning_rate: log and step belong to low and high, not to choices"),
    ("low: 1e-4, high: 1e-2, log: true", "choices: [1e-3, 0]",
     "17: tune.space.learning_rate: choices must be above 0, but got 0"),
    ("low: 1e-4, high: 1e-2, log: true", "low: 1e-4, high: 1e-2, choices: [1]",
     "17: tune.space.learning_rate: needs either low and high, or choices"),
    ("low: 1e-4, high: 1e-2, log: true", "low: 1e-4, high: .inf",
     "17: tune.space.learning_rate.high: must be finite, but got inf"),
    ("low: 1e-4, high: 1e-2, log: true", "low: 1e-4, high: 1e-2, step: 1",
     "17: tune.space.learning_rate: step 1 must be above 0 and fit between low and high"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "learnign_rate: {choices: [1]}",
     "17: tune.space.learnign_rate: no arm has a field 'learnign_rate'; did you mean "
     "'learning_rate'?"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "b: {low: 1.5, high: 8}",
     "17: tune.space.b: low must be a whole number, but got 1.5"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "batch_size: {low: 8, high: 16.5}",
     "17: tune.space.batch_size: high must be a whole number, but got 16.5"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "alpha: {low: -1, high: 16}",
     "17: tune.space.alpha: low must be at least 0.0, but got -1"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "initial: {low: 1, high: 2}",
     "17: tune.space.initial: 'initial' of method 'lora_mini' is no number; give choices"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "initial: {choices: [kaiming, safe]}",
     "17: tune.space.initial: choices must be one of safe, paper, but got 'kaiming'"),
    ("learning_rate: {low: 1e-4, high: 1e-2, log: true}", "steps: {low: 10, high: 20}",
     "17: tune.space.steps: tunes steps, but train gives epochs"),
    ("log: true}", "log: true, when: {method: mtlroa}}",
     "17: tune.space.learning_rate.when.method: no method called 'mtlroa'; did you mean "
     "'mtlora'?"),
    ("log: true}", "log: true, when: {structure: shmi}}",
     "17: tune.space.learning_rate.when.structure: must be one of shim, icfm, ctcm, dtsm, but "
     "got 'shmi'; did you mean 'shim'?"),
    ('"rank <= a"', '"rank <= b0"', "18: tune.constraints[0]: no arm has a field 'b0'; did you "
     "mean 'b'? (texts need quotes)"),
    ('"rank <= a"', "\"rank <= 'a'\"", "18: tune.constraints[0]: \"rank <= 'a'\": 4 and 'a' cannot "
     "be compared so"),
    ("{name: tpe}", "{name: tpo}", "19: tune.sampler.name: must be one of tpe, random, grid, qmc, "
     "cmaes, gp, brute_force, nsgaii, nsgaiii, but got 'tpo'; did you mean 'tpe'?"),
    ("{name: tpe}", "{name: grid}", "17: tune.space.learning_rate: the grid sampler needs choices "
     "or a step"),
    ("{name: tpe}", "{name: tpe, x: .nan}", "19: tune.sampler: an option must be plain and finite"),
    ("{name: median}", "{name: medain}", "20: tune.pruner.name: must be one of none, median, "
     "percentile, successive_halving, hyperband, threshold, patient, wilcoxon, but got 'medain'; "
     "did you mean 'median'?"),
    ("  pruner: {name: median}", "  objectives: []",
     "20: tune.objectives: needs at least one objective"),
    ("  pruner: {name: median}", "  objectives: [primary, seconds, primary]",
     "20: tune.objectives: names 'primary' twice"),
    ("log: true}", "log: true, when: {learning_rate: 1e-3}}",
     "17: tune.space.learning_rate.when.learning_rate: 'learning_rate' is tuned; a condition "
     "names what distinguishes cells"),
    ("seeds: 10", "seeds: 0", "21: confirm.seeds: needs at least one seed, but got 0"),
    ("seeds: 10", "seeds: []", "21: confirm.seeds: needs at least one seed"),
    ("seeds: 10", "seeds: [1, 2, 1]", "21: confirm.seeds: names seed 1 twice"),
    ("seeds: 10", "seeds: [1, -2]", "21: confirm.seeds: a seed must be between 0 and 999999, since "
     "the search has the others, but got -2"),
    ("seeds: 10", "seeds: [1000000]", "21: confirm.seeds: a seed must be between 0 and 999999, "
     "since the search has the others, but got 1000000"),
    ("seeds: 10", "seeds: [a]", "21: confirm.seeds: a seed must be a whole number, but got 'a'"),
    ("seeds: 10", "seeds: ten", "21: confirm.seeds: must be a number of seeds or a list of them, "
     "but got 'ten'"),
    ("seeds: 10", "seeds: 10, top: 13", "21: confirm.top: must be at most tune.budget.trials, "
     "which is 12, but got 13"),
    ("split: auto", "split: manual", "22: split: must be a mapping, but got 'manual'"),
    ("split: auto", "split: {search: train}", "22: split.search: must be one of held_out, "
     "validation, test, but got 'train'"),
    ("level: 0.95", "level: 1", "23: level: must be below 1, but got 1"),
    ("level: 0.95", "level: 0.95\nrace: {looks: [5]}",
     "24: race: stands in the place of confirm; leave one of them out"),
    ("confirm: {seeds: 10}", "race: {looks: [5, 8, 8]}",
     "21: race.looks: must ascend, but 8 follows 8"),
    ("confirm: {seeds: 10}", "race: {looks: [1, 8]}",
     "21: race.looks[0]: must be at least 2, but got 1"),
    ("confirm: {seeds: 10}", "race: {looks: []}", "21: race.looks: needs at least one look"),
    ("confirm: {seeds: 10}", "race: {loks: [5]}",
     "21: race.loks: unknown key 'loks'; did you mean 'looks'?"),
    ("margin: 0.5", "margin: 0", "24: margin: must be above 0, but got 0"),
    ("kind: better", "kind: bettr", "26: claims[0].kind: must be one of better, worse, equivalent, "
     "different, less_variable, more_variable, but got 'bettr'; did you mean 'better'?"),
    ("control: {method: lora}", "control: {method: tlora}",
     "26: claims[0].control: matches no arm; the arms are lora r=4, lora r=8, mtlora shim r=4, "
     "mtlora shim r=8, mtlora icfm r=4, mtlora icfm r=8, lora_mini r=8"),
    ("over: tasks", "over: tasks, task: cola",
     "26: claims[0]: names a task and says over: tasks; one of them is meant"),
    (", over: tasks", "", "26: claims[0]: needs over: tasks, or the name of one task"),
    ("over: tasks", "task: coal",
     "26: claims[0].task: no task of this study called 'coal'; did you mean 'cola'?"),
    ("kind: better", "by: 1, kind: different",
     "26: claims[0].by: belongs to better and worse, not to different"),
    ("keep: best", "keep: some", "27: keep: must be one of best, all, none, but got 'some'"),
    ("keep: best", "use: [mine.py]", "27: use[0]: cannot read mine.py: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), ONE_MISTAKE)
def test_each_mistake_gives_one_message(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, changed(old, new)) == [f"study.yaml:{message}"]


def test_the_messages_of_the_house(tmp_path: Path) -> None:
    text = changed("- {method: mtlora,", "- {method: mtlroa,")
    assert mistakes(tmp_path, text)[0] == (
        "study.yaml:8: arms[1].method: no method called 'mtlroa'; did you mean 'mtlora'?"
    )


def test_seeds_by_name_are_written_as_a_list(tmp_path: Path) -> None:
    """Without a word from the library that writes them: warnings are errors here."""
    keys = {**SMALL, "confirm": {"seeds": [3, 0, 7]}}
    study = Study.from_dict(keys)
    assert study.to_json()["confirm"] == {"seeds": [3, 0, 7], "top": 1}
    assert study.confirm_seeds == (3, 0, 7)


SMALL: dict[str, Any] = {
    "study": "small",
    "tasks": ["tiny_acceptability"],
    "backbones": ["tiny"],
    "targets": ["query", "value"],
    "arms": [{"method": "lora"}],
    "train": {"steps": 8},
}


def test_digits_are_recorded_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """Studies that were recorded before there was such a key are equal to themselves."""
    plain = Study.read(write(tmp_path, STUDY))
    assert "digits" not in plain.to_json()
    text = changed("margin: 0.5\n", "margin: 0.5\ndigits: 2\n")
    asked = Study.read(write(tmp_path, text, "asked.yaml"))
    assert (asked.digits, asked.to_json()["digits"]) == (2, 2)
    assert asked.digest != plain.digest


def test_equivalence_needs_a_margin(tmp_path: Path) -> None:
    text = changed("kind: better", "kind: equivalent").replace("margin: 0.5\n", "")
    expected = "study.yaml:25: claims[0]: equivalence needs a margin, here or for the whole study"
    assert mistakes(tmp_path, text) == [expected]


def test_two_claims_need_two_ids(tmp_path: Path) -> None:
    claim = STUDY[STUDY.index("  - {id: first") : STUDY.index("keep:")]
    assert mistakes(tmp_path, STUDY.replace(claim, claim * 2)) == [
        "study.yaml:27: claims[1].id: 'first' is the id of claims[0] too"
    ]


def test_every_mistake_of_a_file_comes_at_once(tmp_path: Path) -> None:
    """Mistakes of form and of meaning together, in the order of lines."""
    changes = {
        "question:": "qeustion:",
        "[mrpc, cola]": "[mrpc, coal]",
        "[query, value]": "[qeury]",
        "method: lora_mini, rank: 8": "method: lora_mini, rnak: 8",
        "method: mtlora, structure": "method: mtlroa, structure",
        "baselines: [{method: lora}]": "baselines: [{method: tlora}]",
        "epochs: 3": "epochs: three",
        "{trials: 12}": "{gpu_seconds: -9}",
        "low: 1e-4, high: 1e-2": "low: 1e-2, high: 1e-4",
        "{name: tpe}": "{name: tpo}",
        "seeds: 10": "seeds: 0",
        "kind: better": "kind: bettr",
        "keep: best": "race: {looks: [5]}",
    }
    text = STUDY
    for old, new in changes.items():
        text = text.replace(old, new)
    found = mistakes(tmp_path, text)
    assert len(found) == len(changes), "\n".join(found)
    lines = [int(message.split(":")[1]) for message in found]
    assert lines == sorted(lines)
    assert [message.split(": ")[1] for message in found] == [
        "qeustion", "tasks[1]", "targets[0]", "arms[1].method", "arms[2].rnak", "baselines[0]",
        "train.epochs", "tune.budget.gpu_seconds", "tune.space.learning_rate", "tune.sampler.name",
        "confirm.seeds", "claims[0].kind", "race",
    ]  # fmt: skip


def test_entries_after_a_wrong_one_keep_their_numbers(tmp_path: Path) -> None:
    text = changed("  - {method: lora, rank: {each: [4, 8]}}", "  - lora")
    text = text.replace("method: lora_mini, rank: 8", "method: lora_mini, rnak: 8")
    text = text.replace("baselines: [{method: lora}]", "baselines: [3, {method: mtlora, x: 1}]")
    found = [message.split(": ")[1] for message in mistakes(tmp_path, text)]
    assert found == [
        "arms[0]",
        "arms[2].rnak",
        "baselines[0]",
        "baselines[1].x",
        "claims[0].control",
    ]


def test_a_pattern_for_an_arm_with_a_mistake_is_no_second_mistake(tmp_path: Path) -> None:
    text = changed("{method: mtlora, structure", "{method: mtlroa, structure")
    found = mistakes(
        tmp_path, text.replace("baselines: [{method: lora}]", "baselines: [{method: mtlora}]")
    )
    assert [message.split(": ")[1] for message in found] == ["arms[1].method"]


@pytest.mark.parametrize("text", ["", "3", "[]", "null", "study"])
def test_a_file_that_is_no_study(text: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, text) == ["study.yaml:1: must hold keys and values"]


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.yaml: cannot be read"):
        Study.read(tmp_path / "absent.yaml")


def test_a_study_from_python_names_keys_only() -> None:
    with pytest.raises(UserError) as error:
        Study.from_dict(value(level=2))
    assert [str(p) for p in error.value.problems] == ["level: must be below 1, but got 2"]


# --set


def test_settings_are_merged_before_the_check(tmp_path: Path) -> None:
    study = Study.read(
        write(tmp_path, STUDY),
        ["train.learning_rate=1e-4", "train.steps=50", "arms[2].rank=16", "confirm.seeds=[3, 5]",
         "tune.space.schedule.warmup={low: 0, high: 0.1}", "tune.space.schedule.warmup.high=0.2",
         "tune.space.learning_rate.low=1e-5", "question=no", "overrides=[]"],
    )  # fmt: skip
    assert study.train.learning_rate == 1e-4
    assert (study.train.epochs, study.train.steps) == (None, 50)
    assert study.arms[-1].id == "lora_mini rank=16"
    assert study.confirm_seeds == (3, 5)
    assert study.tune is not None
    assert study.tune.space["schedule.warmup"].high == 0.2
    assert study.tune.space["learning_rate"].low == 1e-5
    assert study.question == "no"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level=2", "--set level=2: level: must be below 1, but got 2"),
        ("levle=1", "--set levle=1: levle: unknown key 'levle'; did you mean 'level'?"),
        ("level", "--set level: expected key=value"),
        ("=3", "--set =3: expected key=value"),
        ("arms[9].rank=3", "--set arms[9].rank=3: the list has entries 0 to 2, not 9"),
        ("level.x=3", "--set level.x=3: there is a plain value, so it has no key 'x'"),
        ("arms[0].rnak=3", "--set arms[0].rnak=3: arms[0].rnak: method 'lora' has no field 'rnak'; "
            "did you mean 'rank'?"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(text: str, message: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, STUDY, (text,)) == [message]


def test_a_setting_that_is_no_yaml(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, STUDY, ("level=[1",))
    assert found.startswith("--set level=[1:1: not YAML")


# extends


def test_a_study_extends_another(tmp_path: Path) -> None:
    write(tmp_path / "base", STUDY)
    text = (
        "study: child\nextends: base/study.yaml\ntasks: [mrpc]\noverrides: []\n"
        "train: {steps: 100, schedule: {name: cosine}}\ntune: {budget: {trials: 3}, "
        "space: {learning_rate: {choices: [1e-3, 1e-4]}}, sampler: {name: random}}\n"
    )
    study = Study.read(write(tmp_path, text, "child.yaml"))
    assert study.name == "child"
    assert [task.name for task in study.tasks] == ["mrpc"]
    assert (study.train.epochs, study.train.steps) == (None, 100)
    assert (study.train.schedule.name, study.train.schedule.warmup) == ("cosine", 0.06)
    assert study.tune is not None
    assert study.tune.space["learning_rate"].choices == (1e-3, 1e-4)
    assert study.tune.pruner.name == "median"
    assert len(study.arms) == 7


def test_a_mistake_is_placed_in_the_file_that_holds_it(tmp_path: Path) -> None:
    write(tmp_path, changed("keep: best", "keep: some"), "base.yaml")
    found = mistakes(tmp_path, "study: a/b\nextends: base.yaml\n")
    assert [message.split(": ")[:2] for message in found] == [
        ["base.yaml:27", "keep"],
        ["study.yaml:1", "study"],
    ]


def test_studies_may_not_extend_each_other_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "extends: study.yaml\n", "base.yaml")
    assert mistakes(tmp_path, "study: x\nextends: base.yaml\n") == [
        "base.yaml:1: extends: study.yaml extends this file in turn"
    ]
    assert mistakes(tmp_path, "study: x\nextends: study.yaml\n") == [
        "study.yaml:2: extends: study.yaml extends this file in turn"
    ]


def test_what_is_extended_must_be_there(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "extends: absent.yaml\n") == [
        "study.yaml:1: extends: there is no file absent.yaml"
    ]
    assert mistakes(tmp_path, "extends: 3\n") == [
        "study.yaml:1: extends: must be the path of a study file, but got 3"
    ]


def test_paths_of_an_extended_study_are_taken_from_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path / "base" / "task", "task: mine\n", "task.yaml")
    write(tmp_path / "base", changed("[mrpc, cola]", "[./task, cola]"))
    study = Study.read(write(tmp_path, "study: child\nextends: base/study.yaml\n", "child.yaml"))
    assert [task.name for task in study.tasks] == ["mine", "cola"]


def test_a_study_from_python_may_extend_a_file(tmp_path: Path) -> None:
    write(tmp_path, STUDY)
    study = Study.from_dict({"extends": "study.yaml", "study": "child"}, folder=tmp_path)
    assert (study.name, len(study.arms)) == ("child", 7)


# tasks, backbones and local code


def test_a_folder_is_a_task(tmp_path: Path) -> None:
    write(tmp_path / "mine", "task: my_task\nmetrics: [m.py:score]\n", "task.yaml")
    study = Study.read(
        write(
            tmp_path,
            changed("[mrpc, cola]", "[./mine, cola]").replace("task: cola", "task: ./mine"),
        )
    )
    assert study.tasks[0].text == "./mine"
    assert study.tasks[0].name == "my_task"
    assert study.tasks[0].local_code == ("m.py",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the folder mine has no task.yaml"),
        ("kind: classification\n", "mine/task.yaml does not say `task: <name>`"),
        ("task: [\n", "mine/task.yaml:2: not YAML"),
    ],
)
def test_a_folder_that_is_no_task(text: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    if text is not None:
        write(tmp_path / "mine", text, "task.yaml")
    found = mistakes(tmp_path, changed("[mrpc, cola]", "[./mine, cola]"))
    assert found[0].startswith(f"study.yaml:3: tasks[0]: {message}")
    assert len(found) == 1


def test_a_folder_is_a_backbone(tmp_path: Path) -> None:
    (tmp_path / "models" / "small").mkdir(parents=True)
    study = Study.read(write(tmp_path, changed("roberta-base@main", "./models/small")))
    assert study.backbones[0].name == "small"
    assert study.backbones[0].folder == tmp_path / "models" / "small"


MINE = """
from dataclasses import dataclass
from trials.catalogue import hyper, register
from trials.methods.base import Method

@register("mine_of_test_study")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    width: int = hyper(3, low=1)
"""


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.methods()
    catalogue.tasks()
    table = {kind: dict(names) for kind, names in catalogue._registry.items()}
    monkeypatch.setattr(catalogue, "_registry", table)


@pytest.mark.usefixtures("_own_registry")
def test_a_method_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, MINE, "mine.py")
    text = changed("method: lora_mini, rank: 8", "method: mine_of_test_study, width: 4")
    study = Study.read(write(tmp_path, text + "use: [mine.py]\n"))
    assert study.arms[-1].fields == {"width": 4}
    assert study.registers == {"mine.py": ("mine_of_test_study",)}
    # What one study loads is not there for another that does not name it.
    (found,) = mistakes(tmp_path, text)
    assert "no method called 'mine_of_test_study'" in found


@pytest.mark.usefixtures("_own_registry")
def test_local_code_that_fails_is_one_mistake_among_others(tmp_path: Path) -> None:
    write(tmp_path, "1/0\n", "mine.py")
    found = mistakes(tmp_path, changed("keep: best", "keep: some") + "use: [mine.py]\n")
    assert found == [
        "study.yaml:27: keep: must be one of best, all, none, but got 'some'",
        "study.yaml:28: use[0]: mine.py: ZeroDivisionError: division by zero",
    ]


# arms


def arms(*entries: dict[str, Any]) -> Study:
    return Study.from_dict(
        {"study": "s", "tasks": ["mrpc"], "backbones": ["b"], "targets": "lora",
         "arms": list(entries), "train": {"epochs": 1}}
    )  # fmt: skip


def test_every_subset_of_the_four_matrices_but_all_four() -> None:
    study = arms({"method": "lora_mini", "freeze": {"each": "all"}})
    frozen = [tuple(arm.fields["freeze"]) for arm in study.arms]
    assert len(set(frozen)) == 15
    assert () in frozen
    assert all(len(names) < 4 for names in frozen)
    assert study.arms[0].id == "lora_mini freeze=none"


def test_only_each_multiplies() -> None:
    (arm,) = arms({"method": "lora_mini", "freeze": ["b_aux", "a_train"]}).arms
    assert arm.fields["freeze"] == ["a_train", "b_aux"]


def test_labels_are_short_and_say_what_differs() -> None:
    study = arms(
        {"method": "lora", "rank": 8},
        {"method": "mtlora", "structure": {"each": ["shim", "icfm"]}, "rank": 8},
        {"method": "lora_mini", "freeze": {"each": [[], ["a_aux"]]}, "rank": 8},
    )
    assert [arm.label for arm in study.arms] == [
        "lora", "mtlora shim", "mtlora icfm", "lora_mini freeze none", "lora_mini freeze a_aux",
    ]  # fmt: skip


def test_a_label_of_ones_own_takes_the_multiplied_fields() -> None:
    study = arms({"method": "lora", "rank": {"each": [4, 8]}, "label": "LoRA"},
                 {"method": "tlora", "label": "T"})  # fmt: skip
    assert [arm.label for arm in study.arms] == ["LoRA r=4", "LoRA r=8", "T"]


def test_the_order_of_typed_fields_means_nothing_to_an_id() -> None:
    (one,) = arms({"method": "mtlora", "rank": 4, "structure": "icfm"}).arms
    (two,) = arms({"structure": "icfm", "rank": 4, "method": "mtlora"}).arms
    assert one == two
    assert one.id == "mtlora structure=icfm rank=4"


def test_numbers_are_canonical() -> None:
    (one,) = arms({"method": "lora", "alpha": 8}).arms
    (two,) = arms({"method": "lora", "alpha": 8.0}).arms
    assert one == two


def test_an_arm_may_fix_recipe_and_targets() -> None:
    (arm,) = arms(
        {
            "method": "lora",
            "learning_rate": 1,
            "schedule.warmup": 0.1,
            "targets": ["value", "query"],
        }
    ).arms
    assert arm.recipe == {"learning_rate": 1.0, "schedule.warmup": 0.1}
    assert arm.targets == ("query", "value")
    assert arm.id == "lora learning_rate=1.0 schedule.warmup=0.1 targets=query+value"


# round trips and digests


def test_equal_studies_have_equal_digests(tmp_path: Path) -> None:
    study = Study.read(write(tmp_path, STUDY))
    again = Study.from_dict(study.to_json())
    assert study.to_json()["overrides"] == [{"when": {"task": "cola"}, "train": {"epochs": 5.0}}]
    assert again.to_json() == study.to_json()
    assert again.digest == study.digest
    assert json.loads(json.dumps(study.to_json(), allow_nan=False)) == study.to_json()
    defaults = "  parallel: 4\n  sampler: {name: tpe}"
    spelled = Study.read(write(tmp_path, changed("  sampler: {name: tpe}", defaults)))
    assert spelled.digest == study.digest
    other = Study.read(write(tmp_path, changed("seeds: 10", "seeds: 11")))
    assert other.digest != study.digest


@pytest.mark.usefixtures("_own_registry")
def test_mended_local_code_changes_the_digest(tmp_path: Path) -> None:
    file = write(tmp_path, STUDY + "use: [mine.py]\n")
    write(tmp_path, MINE, "mine.py")
    before = Study.read(file).digest
    write(tmp_path, MINE.replace("hyper(3", "hyper(4"), "mine.py")
    assert Study.read(file).digest != before


# the schema and the examples


def test_the_json_schema_accepts_what_the_study_accepts() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(value())
    validator.validate(value(targets="lora", split={"search": "test"}, confirm={"seeds": [1]}))
    for wrong in (value(keep="some"), value(arms=[{"method": "lora", "rnak": 3}]), value(x=1)):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("name", ["study.yaml", "quick.yaml"])
def test_the_examples_parse(name: str, tmp_path: Path) -> None:
    file = SHARED / "examples" / name
    if not file.is_file():
        pytest.skip("the examples are not here")
    keys = yaml.load(file).value
    if name == "quick.yaml":
        write(tmp_path / "my_task", "task: my_task\n", "task.yaml")
    else:
        keys["use"] = []
        known = catalogue.methods()
        keys["overrides"] = [
            item for item in keys["overrides"] if item["when"].get("method", "lora") in known
        ]
    study = Study.from_dict(keys, folder=tmp_path)
    assert len(study.arms) == (5 if name == "quick.yaml" else 30)


def test_a_race_stands_in_the_place_of_confirm() -> None:
    raced = {**SMALL, "race": {"looks": [5, 9]}, "baselines": [{"method": "lora"}]}
    study = Study.from_dict(raced)
    assert study.confirm_seeds == tuple(range(9))
    assert study.to_json()["confirm"] is None
    assert Study.from_dict(study.to_json()).digest == study.digest
    # A study that it extends may have a confirm stage, which null takes away.
    assert Study.from_dict({**raced, "confirm": None}).digest == study.digest
    default = Study.from_dict({**raced, "race": {}}).race
    assert default is not None
    assert default.looks == (5, 8, 12, 18, 30)


def test_a_race_needs_something_to_decide() -> None:
    with pytest.raises(UserError, match="needs claims or baselines"):
        Study.from_dict({**SMALL, "race": {"looks": [5]}})


# nothing but a user error


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


BASE = value()
junk = st.sampled_from(
    [None, True, 0, -1, 1.5, float("nan"), float("inf"), "", "x", "lora", [], [[]], {}, {"each": 1},
     {"each": [{}]}, {"method": []}, {"x": {"y": [None]}}, [None], ["lora", {}], {1: 2}, "a == b",
     10**400, "\0"]
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_paths(BASE)[1:]), junk), min_size=1, max_size=4))
@example([(("tune", "space", "learning_rate", "low"), 10**400)])
@example([(("train", "learning_rate"), 10**400)])
@example([(("arms", 0, "rank"), 10**400)])
def test_whatever_is_wrong_is_the_users_mistake(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    keys = copy.deepcopy(BASE)
    for path, new in changes:
        place = keys
        try:
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = copy.deepcopy(new)  # Or one value in two places could hold itself.
        except (KeyError, IndexError, TypeError):
            continue
    with contextlib.suppress(UserError):
        assert len(Study.from_dict(keys).digest) == 64
