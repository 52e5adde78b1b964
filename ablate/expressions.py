"""The small language of `exclude` and `constraints`, such as `rank <= a and method != 'lora'`.

Names, numbers, texts, lists, comparisons (`== != < <= > >= in`, `not in`), `and`, `or`, `not` and
parentheses. The text is parsed, checked node by node and interpreted here; nothing is executed.

A name that a cell does not have (`structure` of LoRA) makes a comparison neither true nor false,
and `and`, `or` and `not` carry that on as in Kleene's three-valued logic.
"""

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from trials.errors import UserError

_GRAMMAR = "use names, numbers, texts, lists, == != < <= > >= in, and, or, not and parentheses"

_MOST_CHARACTERS = 10_000
_MOST_LEVELS = 50
"""A person writes a handful; what follows a tree down has room for many more."""

_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}


class _Literals(ast.NodeTransformer):
    """Reads `true`, `false` and `null` as the study's own YAML does."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in _LITERALS:
            return node
        return ast.copy_location(ast.Constant(_LITERALS[node.id]), node)


class _Absent:
    """The value of a name that a cell does not have."""


_ABSENT = _Absent()


_UNREADABLE = (SyntaxError, ValueError, MemoryError, RecursionError, SystemError)
"""What Python's parser raises; the last where it has lost count of its own depth."""


@dataclass(frozen=True)
class Expression:
    """A condition over the factors and nuisances of a cell, parsed and checked.

    Attributes:
        text: as the user wrote it.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """Read an expression.

        Raises:
            UserError: the text is outside the grammar; the message says which part.
        """
        expression = cls(text)
        _check(expression._tree, text)
        return expression

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > _MOST_CHARACTERS:
            raise UserError(f"{_short(self.text)} is longer than {_MOST_CHARACTERS} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SyntaxWarning)
                tree = ast.parse(self.text.strip(), mode="eval").body
        except _UNREADABLE as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is no expression"
            raise UserError(f"cannot read {_short(self.text)}: {reason}; {_GRAMMAR}") from None
        if _levels(tree) > _MOST_LEVELS:
            raise UserError(f"{_short(self.text)} is nested too deeply")
        return cast("ast.expr", _Literals().visit(tree))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names it reads, such as `rank` or `schedule.warmup`."""
        return frozenset(_names(self._tree))

    @cached_property
    def compared(self) -> tuple[tuple[str, Any], ...]:
        """Names and the constants that they are held equal to, as in `method == 'lora'`."""
        found: list[tuple[str, Any]] = []
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                found += _held_equal(node.left, node.ops[0], node.comparators[0])
        return tuple(found)

    def holds(self, values: Mapping[str, Any]) -> bool | None:
        """Whether the condition is true of these values.

        Args:
            values: factor and nuisance values, by name.

        Returns:
            None where a name that decides is absent.

        Raises:
            UserError: values of kinds that have no order are compared by size.
        """
        return self._truth(self._tree, values)

    def _truth(self, node: ast.expr, values: Mapping[str, Any]) -> bool | None:
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(part, values) for part in node.values]
            decisive = isinstance(node.op, ast.Or)
            if decisive in parts:
                return decisive
            return None if None in parts else not decisive
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand, values)
            return None if inner is None else not inner
        if isinstance(node, ast.Compare):
            return self._compared(node, values)
        found = _value(node, values)
        if isinstance(found, _Absent):
            return None
        if not isinstance(found, bool):
            raise UserError(f"{self.text!r}: {ast.unparse(node)} is neither true nor false")
        return found

    def _compared(self, node: ast.Compare, values: Mapping[str, Any]) -> bool | None:
        """`a < b < c` is `a < b and b < c`."""
        operands = [_value(part, values) for part in (node.left, *node.comparators)]
        results: list[bool | None] = []
        for i, compare in enumerate(node.ops):
            left, right = operands[i], operands[i + 1]
            if isinstance(left, _Absent) or isinstance(right, _Absent):
                results.append(None)
                continue
            try:
                results.append(bool(_COMPARE[type(compare)](left, right)))
            except TypeError:
                message = f"{self.text!r}: {left!r} and {right!r} cannot be compared so"
                raise UserError(message) from None
        if False in results:
            return False
        return None if None in results else True


def _short(text: str) -> str:
    """A text as messages show it."""
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def _levels(tree: ast.AST) -> int:
    """How deeply a tree is nested, without following it down by calls."""
    levels, row = 0, [tree]
    while row:
        levels += 1
        row = [child for node in row for child in ast.iter_child_nodes(node)]
    return levels


def _check(node: ast.expr, text: str) -> None:
    """Refuse anything outside the grammar."""
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            _check(part, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, text)
    elif isinstance(node, ast.Compare):
        for part in (node.left, *node.comparators):
            _check_value(part, text)
        for compare in node.ops:
            if type(compare) not in _COMPARE:
                raise _refusal(node, text)
    elif _dotted_name(node) is None and not _is_constant(node, bool):
        raise _refusal(node, text)


def _check_value(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.List | ast.Tuple):
        for item in node.elts:
            _check_value(item, text)
    elif not (
        _dotted_name(node) is not None
        or _is_constant(node, bool | int | float | str | None)
        or _is_negative_number(node)
    ):
        raise _refusal(node, text)


def _is_constant(node: ast.expr, kinds: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, kinds)


def _is_negative_number(node: ast.expr) -> bool:
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    return negated and _is_constant(cast("ast.UnaryOp", node).operand, int | float)


def _refusal(node: ast.expr, text: str) -> UserError:
    # Not by `ast.unparse`, which cannot write down every tree that can be read.
    part = ast.get_source_segment(text.strip(), node)
    return UserError(f"{_short(part or text)} is not allowed here; {_GRAMMAR}")


def _dotted_name(node: ast.expr) -> str | None:
    """`schedule.warmup` of a name or a chain of attributes; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted_name(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    return None


def _held_equal(left: ast.expr, compare: ast.cmpop, right: ast.expr) -> list[tuple[str, Any]]:
    name = _dotted_name(left)
    constants = right.elts if isinstance(right, ast.List | ast.Tuple) else [right]
    whole = isinstance(compare, ast.In | ast.NotIn) == isinstance(right, ast.List | ast.Tuple)
    if name is None or not whole or isinstance(compare, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        return []
    return [(name, node.value) for node in constants if isinstance(node, ast.Constant)]


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, values)
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item, values) for item in node.elts]
        return _ABSENT if any(isinstance(item, _Absent) for item in items) else items
    return values.get(_dotted_name(node) or "", _ABSENT)


def _names(node: ast.expr) -> set[str]:
    name = _dotted_name(node)
    if name is not None:
        return {name}
    children = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return {name for child in children for name in _names(child)}
