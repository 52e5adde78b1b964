"""Seeds and looks of a study file, as values; their messages are in `test_study.py`."""

import pytest
from pydantic import TypeAdapter, ValidationError

from ablate.seeds import FIRST_SEARCH_SEED, Looks, Seeds


def test_looks_are_an_ascending_list() -> None:
    looks = TypeAdapter(Looks)
    assert looks.validate_python([5, 8, 12]) == (5, 8, 12)
    for wrong in ([], [8, 5], [5, 5], [1, 5], [5, 6.5], [FIRST_SEARCH_SEED + 1], "5"):
        with pytest.raises(ValidationError):
            looks.validate_python(wrong)


def test_seeds_are_a_number_or_a_list() -> None:
    seeds = TypeAdapter(Seeds)
    assert seeds.validate_python(3) == 3
    assert seeds.validate_python([3, 0]) == (3, 0)
    assert seeds.dump_python((3, 0), mode="json") == [3, 0]
    for wrong in (0, True, [], [1, 1], [FIRST_SEARCH_SEED], "3"):
        with pytest.raises(ValidationError):
            seeds.validate_python(wrong)
