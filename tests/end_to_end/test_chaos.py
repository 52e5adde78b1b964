"""Nothing is lost and nothing is done twice, whatever is killed; and nodes change no number."""

import pytest
from chaos import folder, told, undisturbed
from nodes import can_be_apart
from servers import MISSING, are_here

from ablate.journal import State

SEEDS_OF_AN_ARM = 15

pytestmark = [
    pytest.mark.slow,  # Minutes of studies on several nodes.
    pytest.mark.skipif(not are_here(), reason=MISSING),
]


@pytest.fixture(scope="module")
def alone() -> State:
    with folder("alone-") as place:
        return undisturbed(place, SEEDS_OF_AN_ARM)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("num_kills", [0, 20])
def test_a_study_ends_as_if_it_had_been_left_alone(
    alone: State, num_kills: int, apart: bool
) -> None:
    """60 trials on three nodes; `chaos.py` has longer ones, with a seed of one's own."""
    if apart and not can_be_apart():
        pytest.skip("only root makes network namespaces")
    one = told(1, alone, SEEDS_OF_AN_ARM, num_kills, apart=apart)
    assert one["trials"] == 60
    assert sum(one["kills"].values()) == num_kills
    assert one["faults"] == []
