"""What the schema cannot know: names of the catalogue, and keys that must fit each other."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ablate import precedence, recipe, space, starts
from ablate.arm import Arm
from ablate.arms import Methods, target_mistakes
from ablate.expressions import Expression
from ablate.patterns import matches
from ablate.references import Reference
from ablate.schema import Confirm, StudyKeys
from ablate.tune_keys import Distribution
from ablate.validation import Mistake, Path
from trials.errors import UserError, nearest
from trials.spec import canonical_json

BASIC_NAMES = ("method", "label", "task", "backbone")
_MOST_ARMS = 20


@dataclass(frozen=True)
class Context:
    """What the checks read.

    Attributes:
        keys: the study's keys.
        arms: its arms, expanded.
        broken: entries of `arms` that are wrong, as written; a pattern may be meant for them.
        methods: the registered methods.
        tasks: the study's tasks, as far as they could be read.
        backbones: its backbones, as far as they could be read.
        whole: whether all of them could be read.
    """

    keys: StudyKeys
    arms: Sequence[Arm]
    broken: Sequence[Mapping[str, Any]]
    methods: Methods
    tasks: Sequence[Reference]
    backbones: Sequence[Reference]
    whole: bool = True

    @property
    def used(self) -> set[str]:
        """The methods that the study uses, in arms that are right or wrong."""
        used = {arm.method for arm in self.arms}
        return used | {m for entry in self.broken if (m := meant(entry, self.methods)) is not None}

    @property
    def fields(self) -> set[str]:
        """The fields of every method that the study uses."""
        return {name for method in self.used for name in self.methods.fields(method)}

    def hidden(self, name: str) -> bool:
        """Whether a field may belong to an arm that could not be read."""
        return any(name in entry for entry in self.broken)

    def exists(self, name: str) -> bool:
        """Whether any registered method has a field of that name, used in the study or not."""
        return any(name in self.methods.fields(method) for method in self.methods.classes)

    def options(self, name: str) -> tuple[str, ...] | None:
        """The values that `method`, `task` and `backbone` may have; None for any other name."""
        if name == "method":
            return tuple(self.methods.classes)
        references = {"task": self.tasks, "backbone": self.backbones}.get(name)
        if references is None or not self.whole:
            return None
        return tuple(dict.fromkeys(text for r in references for text in (r.name, r.text)))

    def wrong_value(self, name: str, value: Any) -> str | None:
        """What is wrong with a value that a pattern or an expression gives to a name."""
        options = self.options(name)
        if options is not None:
            of_study = "" if name == "method" else " of this study"
            wrong = f"no {name}{of_study} called '{value}'{nearest(value, options)}"
            return None if value in options else wrong
        owners = [f[name] for m in self.used if name in (f := self.methods.fields(m))]
        wrongs = [item.check(value) for item in owners if item.subset_of is None]
        return wrongs[0] if wrongs and None not in wrongs else None

    def listed_arms(self) -> str:
        """The arms there are, for a message."""
        names = [arm.label for arm in self.arms]
        rest = len(names) - _MOST_ARMS
        return ", ".join(names[:_MOST_ARMS]) + (f" and {rest} more" if rest > 0 else "")


def mistakes(context: Context) -> list[Mistake]:
    """Everything that is wrong with keys that are each well formed."""
    checks = (
        _present, _targets, _length, _overrides, _fields, _starts, _unread, _baselines, _match,
        _exclude, _space, _constraints, _claims, _top, _race, _variance,
    )  # fmt: skip
    found = [mistake for check in checks for mistake in check(context)]
    if not any(mistake.path[:2] == ("tune", "space") for mistake in found):
        found += _same_trials(context)
    return found


def _present(context: Context) -> Iterator[Mistake]:
    keys = context.keys
    if not keys.arms and not context.broken:
        yield Mistake(("arms",), "needs at least one arm")


def _targets(context: Context) -> Iterator[Mistake]:
    yield from target_mistakes(("targets",), context.keys.targets)


def _length(context: Context) -> Iterator[Mistake]:
    train = context.keys.train
    if train.epochs is None and train.steps is None:
        yield Mistake(("train",), "needs epochs or steps")


def _overrides(context: Context) -> Iterator[Mistake]:
    for index, override in enumerate(context.keys.overrides):
        yield from _when(context, ("overrides", index, "when"), override.when)
        given = recipe.flat(override.train)
        if {"epochs", "steps"} & set(given) and not (given.get("epochs") or given.get("steps")):
            yield Mistake(
                ("overrides", index, "train"), "needs epochs or steps where it names them"
            )


def _fields(context: Context) -> Iterator[Mistake]:
    if context.whole and not context.broken:
        places = list(product(context.tasks, context.backbones))
        yield from precedence.field_mistakes(context.keys, context.arms, context.methods, places)


def _when(context: Context, path: Path, pattern: Mapping[str, Any]) -> Iterator[Mistake]:
    """Names of a condition; one that no arm meets is allowed, so that a template may hold it."""
    known = {*context.fields, *recipe.RECIPE_NAMES, *BASIC_NAMES, "targets"}
    for name, wanted in pattern.items():
        if name not in known and not context.hidden(name) and not context.exists(name):
            yield Mistake((*path, name), f"no arm has a field '{name}'{nearest(name, known)}")
        for value in wanted if isinstance(wanted, list | tuple) else (wanted,):
            wrong = context.wrong_value(name, value)
            if wrong is not None:
                yield Mistake((*path, name), wrong)


def arm_pattern(context: Context, path: Path, pattern: Mapping[str, Any]) -> Iterator[Mistake]:
    """A pattern that must match an arm: its names, its methods, and that it does."""
    known = {*context.fields, *recipe.RECIPE_NAMES, "method", "label", "targets"}
    wrong = list(_pattern_names(context, path, pattern, known))
    yield from wrong
    if wrong or any(matches(pattern, arm.values()) for arm in context.arms):
        return
    if not any(_may_match(pattern, entry, context.methods) for entry in context.broken):
        yield Mistake(path, f"matches no arm; the arms are {context.listed_arms()}")


def _pattern_names(
    context: Context, path: Path, pattern: Mapping[str, Any], known: set[str]
) -> Iterator[Mistake]:
    if not pattern:
        yield Mistake(path, "names no field, so it would match every arm")
    for name, wanted in pattern.items():
        if name not in known and not context.hidden(name):
            yield Mistake((*path, name), f"no arm has a field '{name}'{nearest(name, known)}")
        if name == "method":
            for value in wanted if isinstance(wanted, list | tuple) else (wanted,):
                wrong = context.wrong_value(name, value)
                if wrong is not None:
                    yield Mistake((*path, name), wrong)


def _may_match(pattern: Mapping[str, Any], entry: Mapping[str, Any], methods: Methods) -> bool:
    """Whether a pattern could be meant for an entry of `arms` that could not be read."""
    wanted = pattern.get("method")
    return not isinstance(wanted, str) or wanted in (entry.get("method"), meant(entry, methods))


def meant(entry: Mapping[str, Any], methods: Methods) -> str | None:
    """The registered method that an entry of `arms` names, or that is closest to it."""
    typed = str(entry.get("method"))
    close = difflib.get_close_matches(typed, methods.classes, n=1, cutoff=0.6)
    return close[0] if close else None


def _starts(context: Context) -> Iterator[Mistake]:
    if context.whole:
        keys = context.keys
        yield from starts.mistakes(keys, context.arms, context.tasks, context.backbones)


def _unread(context: Context) -> Iterator[Mistake]:
    """What a recipe asks of a method that would pass it over; each method's once."""
    keys = context.keys
    found: dict[tuple[str, str], Mistake] = {}
    for arm, task, backbone in product(context.arms, context.tasks, context.backbones):
        values = precedence.recipe_values(keys, arm, task, backbone)
        for name, why in context.methods.unread(arm.method, values).items():
            path = precedence.origin(keys, arm, task, backbone, name)
            usual = recipe.DEFAULTS[name]
            message = f"{why}; an override with when: {{method: {arm.method}}} can say {usual}"
            found.setdefault((arm.method, name), Mistake(path, message))
        tuned = {} if keys.tune is None else keys.tune.space
        entry = tuned.get("dropout.adapter")
        if entry is not None and not context.methods.drops_input(arm.method):
            in_cell = space.space_of(tuned, arm, task, backbone, context.methods)
            if "dropout.adapter" in in_cell:
                message = f"method '{arm.method}' does not read it; say `when` it is tuned"
                path = ("tune", "space", "dropout.adapter")
                found.setdefault((arm.method, "tune"), Mistake(path, message))
    yield from found.values()


def _baselines(context: Context) -> Iterator[Mistake]:
    for index, pattern in enumerate(context.keys.baselines):
        yield from arm_pattern(context, ("baselines", index), pattern)


def _match(context: Context) -> Iterator[Mistake]:
    known = {*context.fields, *recipe.RECIPE_NAMES, "targets"}
    for index, name in enumerate(context.keys.match or ()):
        if name not in known and not context.hidden(name):
            yield Mistake(("match", index), f"no arm has a field '{name}'{nearest(name, known)}")


def _exclude(context: Context) -> Iterator[Mistake]:
    tune = context.keys.tune
    tuned = set() if tune is None else set(tune.space)
    for index, text in enumerate(context.keys.exclude):
        path: Path = ("exclude", index)
        yield from _expression(context, path, text)
        for name in sorted(_names_of(text) & tuned):
            yield Mistake(path, f"'{name}' is tuned, so it belongs in tune.constraints")


def _constraints(context: Context) -> Iterator[Mistake]:
    tune = context.keys.tune
    for index, text in enumerate(() if tune is None else tune.constraints):
        yield from _expression(context, ("tune", "constraints", index), text)


def _names_of(text: str) -> frozenset[str]:
    try:
        return Expression.parse(text).names
    except UserError:
        return frozenset()


def _expression(context: Context, path: Path, text: str) -> Iterator[Mistake]:
    """The first thing that is wrong with an expression."""
    try:
        expression = Expression.parse(text)
    except UserError as error:
        yield Mistake(path, str(error))
        return
    known = {*context.fields, *recipe.RECIPE_NAMES, *BASIC_NAMES, "targets"}
    for name in sorted(expression.names - known):
        if not context.hidden(name) and not context.exists(name):
            hint = nearest(name, known)
            yield Mistake(path, f"no arm has a field '{name}'{hint} (texts need quotes)")
            return
    for name, value in expression.compared:
        wrong = context.wrong_value(name, value)
        if wrong is not None:
            yield Mistake(path, f"{name}: {wrong}")
            return
    try:
        for arm in context.arms:
            expression.holds(arm.values())
    except UserError as error:
        yield Mistake(path, str(error))


def _space(context: Context) -> Iterator[Mistake]:
    tune = context.keys.tune
    if tune is None:
        return
    for name, entry in tune.space.items():
        path: Path = ("tune", "space", name)
        yield from _when(context, (*path, "when"), entry.when)
        for other in entry.when:
            if other in tune.space:
                message = f"'{other}' is tuned; a condition names what distinguishes cells"
                yield Mistake((*path, "when", other), message)
        yield from _space_entry(context, path, name, entry)
        if tune.sampler.name == "grid" and entry.choices is None and entry.step is None:
            whole = all(isinstance(bound, int) for bound in (entry.low, entry.high))
            if not whole:
                yield Mistake(path, "the grid sampler needs choices or a step")


def _space_entry(context: Context, path: Path, name: str, entry: Distribution) -> Iterator[Mistake]:
    methods = [arm.method for arm in context.arms if _may_apply(entry, arm)]
    owners = sorted({m for m in methods if space.has(name, m, context.methods)})
    if not owners:
        known = {*context.fields, *recipe.RECIPE_NAMES}
        if name not in known and not context.hidden(name):
            yield Mistake(path, f"no arm has a field '{name}'{nearest(name, known)}")
        elif name in recipe.RECIPE_NAMES:
            yield from _recipe_entry(context, path, name, entry)
        return
    other = {"epochs": "steps", "steps": "epochs"}.get(name)
    if other is not None and getattr(context.keys.train, other) is not None:
        yield Mistake(path, f"tunes {name}, but train gives {other}")
    for method in owners:
        wrong = space.wrong_for(name, entry, method, context.methods)
        if wrong is not None:
            yield Mistake(path, wrong)
            return


def _recipe_entry(
    context: Context, path: Path, name: str, entry: Distribution
) -> Iterator[Mistake]:
    for method in list(context.methods.classes)[:1]:
        wrong = space.wrong_for(name, entry, method, context.methods)
        if wrong is not None:
            yield Mistake(path, wrong)


def _may_apply(entry: Distribution, arm: Arm) -> bool:
    """Whether an entry's condition can hold for an arm on some task and backbone."""
    pattern = {k: v for k, v in entry.when.items() if k not in ("task", "backbone")}
    return matches(pattern, arm.values())


def _claims(context: Context) -> Iterator[Mistake]:
    keys = context.keys
    first: dict[str, int] = {}
    for index, claim in enumerate(keys.claims):
        path: Path = ("claims", index)
        if claim.id in first:
            yield Mistake((*path, "id"), f"'{claim.id}' is the id of claims[{first[claim.id]}] too")
        first.setdefault(claim.id, index)
        for side in ("treatment", "control"):
            yield from arm_pattern(context, (*path, side), getattr(claim, side))
        if claim.over is not None and claim.task is not None:
            yield Mistake(path, "names a task and says over: tasks; one of them is meant")
        if claim.over is None and claim.task is None and len(keys.tasks) > 1:
            yield Mistake(path, "needs over: tasks, or the name of one task")
        for name in ("task", "backbone"):
            value = getattr(claim, name)
            wrong = None if value is None else context.wrong_value(name, value)
            if wrong is not None:
                yield Mistake((*path, name), wrong)
        if claim.kind == "equivalent" and claim.margin is None and keys.margin is None:
            yield Mistake(path, "equivalence needs a margin, here or for the whole study")
        if claim.by and claim.kind not in ("better", "worse"):
            yield Mistake((*path, "by"), f"belongs to better and worse, not to {claim.kind}")


def _top(context: Context) -> Iterator[Mistake]:
    tune, top = context.keys.tune, (context.keys.confirm or Confirm()).top
    if tune is not None and tune.budget.trials is not None and top > tune.budget.trials:
        message = (
            f"must be at most tune.budget.trials, which is {tune.budget.trials}, but got {top}"
        )
        yield Mistake(("confirm", "top"), message)


def _race(context: Context) -> Iterator[Mistake]:
    keys = context.keys
    if keys.race is None:
        return
    if "confirm" in keys.model_fields_set and keys.confirm is not None:
        yield Mistake(("race",), "stands in the place of confirm; leave one of them out")
    if not keys.claims and not keys.baselines:
        yield Mistake(("race",), "needs claims or baselines: their tests decide how far it goes")


def _variance(context: Context) -> Iterator[Mistake]:
    stage = context.keys.variance
    if stage is not None:
        yield from _when(context, ("variance", "when"), stage.when)


def _same_trials(context: Context) -> Iterator[Mistake]:
    """Arms whose trials are the same everywhere, though they are typed differently."""
    keys = context.keys
    entries = {} if keys.tune is None else keys.tune.space
    first: dict[str, Arm] = {}
    for arm in context.arms:
        places = list(product(context.tasks, context.backbones))
        contents = []
        tuned: set[str] = set()
        for task, backbone in places:
            found = set(space.space_of(entries, arm, task, backbone, context.methods))
            whole = recipe.build(precedence.recipe_values(keys, arm, task, backbone))
            own = precedence.field_values(keys, arm, task, backbone, context.methods)
            values = {**recipe.flat_recipe(whole), **own}
            contents.append({k: "tuned" if k in found else v for k, v in values.items()})
            tuned |= found & set(arm.typed)
        other = first.setdefault(canonical_json([arm.method, arm.targets, contents]), arm)
        if places and other is not arm:
            message = f"{arm.id} runs the same trials as {other.id} of arms[{other.index}]"
            if tuned:
                message += f": {', '.join(sorted(tuned))} is tuned"
            yield Mistake(("arms", arm.index), message)
