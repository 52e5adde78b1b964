import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.expressions import Expression
from trials.errors import UserError

VALUES = {
    "method": "mtlora",
    "rank": 8,
    "a": 32,
    "alpha": 16.0,
    "freeze": ["a_aux", "b_aux"],
    "max_rank": None,
    "grown": True,
    "schedule.warmup": 0.06,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rank <= a", True),
        ("rank > a", False),
        ("method == 'mtlora' and rank == 8", True),
        ('method != "mtlora"', False),
        ("rank in [4, 8]", True),
        ("rank in (4, 16)", False),
        ("rank not in [4, 8]", False),
        ("4 < rank <= 8", True),
        ("8 < rank <= 8", False),
        ("not (rank == 4 or rank == 16)", True),
        ("alpha == 16", True),
        ("alpha > -1.5", True),
        ("schedule.warmup < 0.1", True),
        ("freeze == ['a_aux', 'b_aux']", True),
        ("'a_aux' in freeze", True),
        ("max_rank == null", True),
        ("max_rank == None", True),
        ("grown", True),
        ("grown == true", True),
        ("not grown", False),
        ("true", True),
        (" rank == 8 ", True),
    ],
)
def test_an_expression_of_known_names_is_true_or_false(text: str, holds: bool) -> None:
    assert Expression.parse(text).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("structure == 'shim'", None),
        ("structure != 'shim'", None),
        ("not structure == 'shim'", None),
        ("structure == 'shim' and rank == 4", False),
        ("structure == 'shim' and rank == 8", None),
        ("structure == 'shim' or rank == 8", True),
        ("structure == 'shim' or rank == 4", None),
        ("rank in [structure]", None),
        ("1 < structure < 0", None),
        ("4 < rank < structure", None),
        ("9 < rank < structure", False),
        ("structure", None),
    ],
)
def test_a_name_that_is_absent_decides_nothing(text: str, holds: bool | None) -> None:
    assert Expression.parse(text).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rank ==", "invalid syntax"),
        ("", "invalid syntax"),
        ("rank = 8", "invalid syntax"),
        ("__import__('os').system('x')", "is not allowed here"),
        ("rank + 1 == 9", "'rank \\+ 1' is not allowed here"),
        ("f(rank)", "is not allowed here"),
        ("freeze[0] == 'x'", "is not allowed here"),
        ("rank is 8", "is not allowed here"),
        ("[x for x in freeze]", "is not allowed here"),
        ("lambda: 1", "is not allowed here"),
        ("8", "'8' is not allowed here"),
        ("'text'", "is not allowed here"),
        ("-rank == 8", "'-rank' is not allowed here"),
        ("f'{rank}' == '8'", "is not allowed here"),
        ("(rank := 8) == 8", "is not allowed here"),
        ("b'x' == rank", "is not allowed here"),
        ("1j == rank", "is not allowed here"),
        ("a if rank else b", "is not allowed here"),
        ("{1: 2} == rank", "is not allowed here"),
        ("rank == 'a\0b'", "null bytes"),
    ],
)
def test_anything_else_is_refused(text: str, part: str) -> None:
    with pytest.raises(UserError, match=part):
        Expression.parse(text)


def test_a_deep_expression_is_refused_rather_than_followed() -> None:
    with pytest.raises(UserError):
        Expression.parse("(" * 5000 + "rank" + ")" * 5000)
    with pytest.raises(UserError):
        Expression.parse("not " * 5000 + "grown")
    for text in ("not " * 200 + "grown", "x" + ".y" * 200, "rank == " + "[" * 80 + "1" + "]" * 80):
        with pytest.raises(UserError, match="is nested too deeply"):
            Expression.parse(text)
    assert Expression.parse("not " * 40 + "grown").holds(VALUES) is True
    with pytest.raises(UserError, match="is longer than 10000 characters"):
        Expression.parse("rank == 8 or " * 1000 + "grown")


@pytest.mark.parametrize("text", ["rank < 'x'", "rank in 8", "rank", "method"])
def test_values_without_an_order_are_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match="rank|method"):
        Expression.parse(text).holds(VALUES)


def test_names_are_listed() -> None:
    text = "rank <= a and schedule.warmup < 1 and not method in ['x', b] and grown == true"
    assert Expression.parse(text).names == {
        "rank", "a", "schedule.warmup", "method", "b", "grown",
    }  # fmt: skip


def test_constants_that_a_name_must_equal_are_listed() -> None:
    text = "method == 'lora' or structure in ['shim', 'icfm'] or rank < 3"
    assert set(Expression.parse(text).compared) == {
        ("method", "lora"), ("structure", "shim"), ("structure", "icfm"),
    }  # fmt: skip


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_user_error(text: str) -> None:
    with contextlib.suppress(UserError):
        Expression.parse(text).holds(VALUES)


conditions = st.recursive(
    st.sampled_from(["rank == 8", "rank == 4", "structure == 'shim'", "grown"]),
    lambda inner: st.one_of(
        inner.map(lambda x: f"not ({x})"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}) and ({x[1]})"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}) or ({x[1]})"),
    ),
    max_leaves=8,
)


@given(conditions)
def test_what_is_decided_without_a_name_stays_decided_with_it(text: str) -> None:
    """An absent name may leave a condition open, but never turns it."""
    open_ = Expression.parse(text).holds(VALUES)
    if open_ is not None:
        for structure in ("shim", "icfm"):
            assert Expression.parse(text).holds({**VALUES, "structure": structure}) is open_


@given(conditions, conditions)
def test_de_morgan(left: str, right: str) -> None:
    both = Expression.parse(f"not (({left}) and ({right}))").holds(VALUES)
    assert both is Expression.parse(f"(not ({left})) or (not ({right}))").holds(VALUES)
