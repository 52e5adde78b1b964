"""YAML as data with line numbers: safe, without surprises, every mistake with its line.

Plain values follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2, section 10.3), as
JSON users expect: `1e-4` is a number, `no` and `2024-01-01` are text, `010` is ten. Anchors and
aliases work; tags beyond the core schema, keys given twice, control characters and half characters
are refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trials.errors import Problem, UserError

_MOST_LEVELS = 50
_MOST_VALUES = 100_000
"""Far more than a person writes; a few lines of aliases can stand for billions."""

_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")

Key = str | int | float | bool | None
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or the core schema of 1.2 would take for something else."""


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def dump(value: Any) -> str:
    """Plain values as YAML that `parse` reads back, keys in their order."""
    made: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return made


@dataclass(frozen=True)
class Document:
    """A YAML file as plain Python values that remember their lines.

    Attributes:
        file: the path as the user wrote it.
        value: dicts, lists, text, numbers, booleans and None; not to be changed, since
            aliases share values.
    """

    file: str
    value: Any
    _root: yaml.Node | None = field(repr=False, compare=False)

    def line(self, path: Sequence[Key] = ()) -> int:
        """1-based line of a key path such as `("arms", 1, "method")`.

        A path that does not exist has the line of its longest part that does.
        """
        node, line = self._root, 1
        if node is not None:
            line = node.start_mark.line + 1
        for step in path:
            found = None if node is None else _child(node, step)
            if found is None:
                break
            place, node = found
            line = place.start_mark.line + 1
        return line

    def problem(self, path: Sequence[Key], message: str) -> Problem:
        """A mistake at a key path, with file, line and dotted key."""
        return Problem(message, file=self.file, line=self.line(path), key=dotted(path) or None)


def dotted(path: Sequence[Key]) -> str:
    """A key path as people write it: `arms[1].method`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".")


def load(path: Path | str, *, shown: str | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: the file.
        shown: how messages name it; the path itself when None.

    Raises:
        UserError: the file cannot be read, or `parse` refuses its text.
    """
    shown = str(path) if shown is None else shown
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", file=shown)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(Problem("is not UTF-8 text", file=shown, line=line)) from None
    return parse(text, file=shown)


def parse(text: str, *, file: str) -> Document:
    """Read YAML text.

    Args:
        text: one YAML document.
        file: how messages name it.

    Raises:
        UserError: a syntax error, or all keys given twice, tags that are not supported and
            aliases that contain themselves, each with its line.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        reader = _Reader(file)
        value = None if root is None else reader.value(root, ())
    except yaml.YAMLError as error:
        raise UserError(_syntax_problem(error, text, file)) from None
    except RecursionError:
        raise UserError(Problem("is nested too deeply", file=file)) from None
    if reader.problems:
        raise UserError(*reader.problems)
    return Document(file=file, value=value, _root=root)


class _Reader:
    """Turns nodes into values and gathers what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._done: dict[int, Any] = {}
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: tuple[Key, ...]) -> Any:
        """The plain value of a node; an aliased node is read once, and counts each time."""
        if id(node) in self._open:
            self._refuse(node, path, "an alias contains itself")
            return None
        if id(node) not in self._done:
            self._open.add(id(node))
            self._done[id(node)] = self._read(node, path)
            self._open.remove(id(node))
            size = 1 + sum(self._sizes.get(id(child), 1) for child in _children(node))
            if size > _MOST_VALUES:
                self._refuse(node, path, f"stands for more than {_MOST_VALUES:,} values")
            self._sizes[id(node)] = size if size <= _MOST_VALUES else 1
        return self._done[id(node)]

    def _read(self, node: yaml.Node, path: tuple[Key, ...]) -> Any:
        tag = node.tag.removeprefix(_TAG)
        if len(path) > _MOST_LEVELS:
            return self._refuse(node, path[:3], "is nested too deeply")
        if isinstance(node, yaml.ScalarNode) and (found := _UNPRINTABLE.search(node.value)):
            return self._refuse(node, path, f"holds the character {ascii(found[0])}")
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in ("str", "null", "bool", "int", "float"):
            try:
                return _scalar(tag, node.value)
            except ValueError:
                return self._refuse(node, path, f"{node.value!r} is no {tag}")
        return self._refuse(node, path, f"the tag {node.tag} is not supported")

    def _mapping(self, node: yaml.MappingNode, path: tuple[Key, ...]) -> dict[Key, Any]:
        result: dict[Key, Any] = {}
        first: dict[Key, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key must be plain text")
                continue
            key = self.value(key_node, path)
            value = self.value(value_node, (*path, key))
            if key in first:
                self._refuse(key_node, (*path, key), f"given twice; first on line {first[key]}")
                continue
            first[key] = key_node.start_mark.line + 1
            result[key] = value
        return result

    def _refuse(self, node: yaml.Node, path: tuple[Key, ...], message: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(message, file=self.file, line=line, key=dotted(path) or None))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _scalar(tag: str, text: str) -> Key:
    if tag == "null":
        return None
    if tag == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if tag == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if tag == "float":
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    return text


def _child(node: yaml.Node, step: Key) -> tuple[yaml.Node, yaml.Node] | None:
    """The node whose line stands for a step, and the node to go on from."""
    if isinstance(node, yaml.SequenceNode):
        inside = isinstance(step, int) and 0 <= step < len(node.value)
        return (node.value[step], node.value[step]) if inside else None
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    for key_node, value_node in pairs:
        if _scalar(key_node.tag.removeprefix(_TAG), key_node.value) == step:
            return key_node, value_node
    return None


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        return Problem(f"not YAML: {what}", file=file, line=mark.line + 1 if mark else None)
    position = getattr(error, "position", 0)
    line = text.count("\n", 0, position) + 1
    return Problem("not YAML: a control character is not allowed", file=file, line=line)
