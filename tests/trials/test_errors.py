import pickle

import pytest

from trials.errors import Problem, UserError, nearest


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("wrong"), "wrong"),
        (Problem("wrong", key="arms[1].method"), "arms[1].method: wrong"),
        (Problem("wrong", file="a.yaml", key="k"), "a.yaml: k: wrong"),
        (Problem("wrong", file="a.yaml", line=7, key="k"), "a.yaml:7: k: wrong"),
        (Problem("wrong", file="a.yaml", line=7), "a.yaml:7: wrong"),
        (Problem("wrong", line=7), "wrong"),
    ],
)
def test_a_problem_says_where_it_is(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_error_holds_all_problems_one_a_line() -> None:
    error = UserError("first", Problem("second", key="k"))
    assert str(error) == "first\nk: second"
    assert error.problems == (Problem("first"), Problem("second", key="k"))


def test_an_error_without_problems_is_a_bug() -> None:
    with pytest.raises(ValueError, match="at least one problem"):
        UserError()


def test_an_error_crosses_process_borders_whole() -> None:
    error = UserError(Problem("wrong", file="a.yaml", line=7, key="k"), "more")
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("mtlroa", ["lora", "mtlora"], "; did you mean 'mtlora'?"),
        ("x", ["beta", "alpha"], "; expected one of alpha, beta"),
        ("x", [], ""),
        ("x", [f"option{i}" for i in range(17)], ""),
        (3, ["3"], "; did you mean '3'?"),
    ],
)
def test_the_nearest_name_is_suggested(name: object, options: list[str], hint: str) -> None:
    assert nearest(name, options) == hint
