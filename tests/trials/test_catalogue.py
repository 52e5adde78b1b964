import subprocess
import sys
from pathlib import Path

import pytest

from trials import catalogue
from trials.catalogue import Field, LocalCode, complete, hyper, lookup, method_fields, recorded
from trials.errors import UserError

MINE = """
from dataclasses import dataclass
from trials.catalogue import hyper, register
from trials.methods.base import Method

@register("mine_of_test_catalogue")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    rank: int = hyper({rank}, low=1)
"""


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    # Modules register once, on import: what this test imports must outlast it.
    catalogue.methods()
    catalogue.tasks()
    table = {kind: dict(names) for kind, names in catalogue._registry.items()}
    monkeypatch.setattr(catalogue, "_registry", table)


def problems(error: pytest.ExceptionInfo[UserError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


def test_the_folder_is_the_list() -> None:
    folder = Path(catalogue.__file__).parent / "methods"
    modules = {cls.__module__ for cls in catalogue.methods().values()}
    own = {m for m in modules if m.startswith("trials.methods.")}
    for name in own:
        assert (folder / f"{name.rpartition('.')[2]}.py").is_file()
    papers = {"lora", "mtlora", "tlora", "lora_mini", "triadaptlora"}
    baselines = {"adalora", "increlora", "adapter", "bitfit"}
    assert papers | baselines <= set(catalogue.methods())


def test_methods_are_listed_without_torch() -> None:
    code = (
        "import sys; from trials import catalogue; "
        "[catalogue.method_fields(name) for name in catalogue.methods()]; "
        "print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no method called 'mtlroa'; did you mean 'mtlora'?"):
        lookup("method", "mtlroa")


def test_every_default_is_allowed() -> None:
    for name in catalogue.methods():
        for field in method_fields(name).values():
            if field.default is not None:
                assert field.check(field.default) is None
        complete(name, {})


def test_complete_fills_in_defaults_in_canonical_form() -> None:
    values = complete("lora_mini", {"freeze": ["b_aux", "a_aux"], "alpha": 8})
    assert values["freeze"] == ["a_aux", "b_aux"]
    assert values["alpha"] == 8.0
    assert isinstance(values["alpha"], float)
    assert set(values) == set(method_fields("lora_mini"))


def test_complete_reports_every_mistake_at_once() -> None:
    with pytest.raises(UserError) as error:
        complete("mtlora", {"rnak": 4, "rank": 0, "structure": "shmi", "alpha": "much"})
    assert problems(error) == [
        "rnak: method 'mtlora' has no field 'rnak'; did you mean 'rank'?",
        "rank: must be at least 1, but got 0",
        "structure: must be one of shim, icfm, ctcm, dtsm, but got 'shmi'; did you mean 'shim'?",
        "alpha: must be a number, but got 'much'",
    ]


def test_later_fields_enter_a_spec_where_they_are_used() -> None:
    known = method_fields("lora_mini")
    plain = complete("lora_mini", {})
    assert known["zero"].later
    assert plain["zero"] is None
    assert set(recorded(known, plain)) == set(known) - {"zero"}
    used = complete("lora_mini", {"zero": ["b_train"]})
    assert recorded(known, used) == used
    assert hyper(1, later=True).metadata["hyper"]["later"]
    assert not hyper(1).metadata["hyper"]["later"]


def test_values_that_are_each_allowed_may_not_fit_together() -> None:
    with pytest.raises(UserError) as error:
        complete("triadaptlora", {"rank": 4, "initial_rank": 8})
    assert problems(error) == ["initial_rank 8 must be at most rank 4, the budget of a site"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (Field("x", 8, low=1), 8, None),
        (Field("x", 8, low=1), True, "must be a number, but got True"),
        (Field("x", 8, low=1), 8.0, "must be a whole number, but got 8.0"),
        (Field("x", 8, low=1, high=9), 10, "must be at most 9, but got 10"),
        (Field("x", 0.5), 1, None),
        (Field("x", 0.5), float("nan"), "must be finite, but got nan"),
        (Field("x", 0.5), None, "must not be null"),
        (Field("x", None, low=1, optional=True), None, None),
        (Field("x", None, low=1, optional=True), 1.5, "must be a whole number, but got 1.5"),
        (Field("x", True), 1, "must be true or false, but got 1"),
        (Field("x", "a"), 1, "must be text, but got 1"),
        (Field("x", "a", choices=("a", "b")), "c", "must be one of a, b, but got 'c'"),
        (Field("x", "a", choices=("a", "b")), ["a"], "must be one of a, b, but got ['a']"),
        (Field("x", ("a",), subset_of=("a", "b")), [], None),
        (Field("x", ("a",), subset_of=("a", "b")), "a",
            "must be a list of names from a, b, but got 'a'"),
        (Field("x", ("a",), subset_of=("a", "b")), ["a", "a"], "names something twice: ['a', 'a']"),
        (Field("x", ("a",), subset_of=("a", "b")), ["a", "b"],
            "must leave at least one of a, b out"),
        (Field("x", ("a",), subset_of=("aux", "b")), ["axu"], "holds 'axu'; did you mean 'aux'?"),
    ],
)  # fmt: skip
def test_a_field_says_what_is_wrong(field: Field, value: object, message: str | None) -> None:
    assert field.check(value) == message


def test_a_hyperparameter_may_be_null_when_its_default_is() -> None:
    assert hyper(None, low=1).metadata["hyper"]["optional"]
    assert not hyper(1, low=1).metadata["hyper"]["optional"]


def test_local_code_registers_and_travels_by_content(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(rank=4))
    code = LocalCode.read(file)
    assert code.load() == code.load() == ("mine_of_test_catalogue",)
    assert complete("mine_of_test_catalogue", {}) == {"rank": 4}
    file.write_text(MINE.format(rank=16))
    mended = LocalCode.read(file)
    assert mended.digest != code.digest
    mended.load()
    assert complete("mine_of_test_catalogue", {}) == {"rank": 16}


def test_local_code_may_not_take_the_name_of_a_method(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(rank=4).replace("mine_of_test_catalogue", "lora"))
    catalogue.methods()
    with pytest.raises(UserError, match="method 'lora' of ablate_local_.* exists in trials"):
        LocalCode.read(file).load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"1/0", "mine.py: ZeroDivisionError: division by zero"),
        (b"\xff", "is not UTF-8 text"),
        (None, "No such file"),
    ],
)
def test_local_code_that_fails_is_the_users_mistake(
    source: bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_bytes(source)
    with pytest.raises(UserError, match=message):
        LocalCode.read(file).load()


def test_a_function_of_local_code_is_found_by_file_and_name() -> None:
    LocalCode("own_of_test_catalogue.py", "def one():\n    return 1\n").load()
    assert catalogue.local_function("own_of_test_catalogue.py", "one")() == 1
    with pytest.raises(UserError, match=r"has no function 'on'; did you mean 'one'\?"):
        catalogue.local_function("own_of_test_catalogue.py", "on")
    with pytest.raises(UserError, match=r"no file other\.py is loaded; a study names it in `use`"):
        catalogue.local_function("other.py", "one")
