"""How many trials a device's memory holds beside one backbone."""

from trials.training.member import Member
from trials.training.pack import Pack


def places(pack: Pack, member: Member) -> int:
    """Trials like this one that the device of a pack holds; 1 on a CPU."""
    return 1
