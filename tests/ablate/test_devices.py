import socket

import pytest
import torch

from ablate import devices
from ablate.profile import Profile
from trials.errors import UserError


def test_what_is_there_passes() -> None:
    devices.require(Profile())
    devices.require(Profile(device="cpu"))
    devices.require(Profile(address="auto", device="cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UserError, match="torch sees no GPU on this machine; expected auto or cpu"):
        devices.require(Profile(device="cuda"))


def test_a_cluster_that_answers_and_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        devices.require(Profile(address=f"127.0.0.1:{port}"))
        devices.require(Profile(address=f"ray://127.0.0.1:{port}"))
    with pytest.raises(UserError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        devices.require(Profile(address=f"127.0.0.1:{port}"))


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match="'somewhere' is neither auto nor HOST:PORT"):
        devices.require(Profile(address="somewhere"))
