"""Whether what a profile asks to run on is there, found out before anything starts."""

import socket

from ablate.profile import Profile
from trials.errors import UserError

ANSWER_SECONDS = 5.0


def require(profile: Profile) -> None:
    """Check the device of this machine, or that a cluster answers.

    Raises:
        UserError: there is no such device, or nothing listens at the address.
    """
    if profile.address is None:
        _require_device(profile.device)
    elif profile.address != "auto":
        _require_answer(profile.address)


def _require_device(device: str) -> None:
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise UserError("device 'cuda': torch sees no GPU on this machine; expected auto or cpu")


def _require_answer(address: str) -> None:
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if not separator or not port.isdigit():
        raise UserError(f"address '{address}' is neither auto nor HOST:PORT")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from None
