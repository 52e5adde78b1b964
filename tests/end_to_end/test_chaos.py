"""Nothing is lost and nothing is done twice, whatever is killed; and nodes change no number."""

import pytest
from chaos import folder, told, undisturbed
from servers import MISSING, are_here

SEEDS_OF_AN_ARM = 15

pytestmark = [
    pytest.mark.slow,  # Minutes of studies on several nodes.
    pytest.mark.skipif(not are_here(), reason=MISSING),
]


@pytest.mark.parametrize("num_kills", [0, 20])
def test_a_study_ends_as_if_it_had_been_left_alone(num_kills: int) -> None:
    """60 trials on three nodes; `chaos.py` has longer ones, with a seed of one's own."""
    with folder("alone-") as place:
        alone = undisturbed(place, SEEDS_OF_AN_ARM)
    one = told(1, alone, SEEDS_OF_AN_ARM, num_kills)
    assert one["trials"] == 60
    assert sum(one["kills"].values()) == num_kills
    assert one["faults"] == []
