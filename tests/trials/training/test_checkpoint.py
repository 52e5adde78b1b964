import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trials.training import checkpoint

TENSORS = {"values": torch.arange(6.0).double(), "cohorts": torch.tensor([0, 1, 2])}
NUMBERS = {"step": 3, "best": [0.1 + 0.2, 7], "history": [{"loss": None}], "trial": "ab"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.safetensors"
    checkpoint.write(path, TENSORS, NUMBERS)
    found = checkpoint.read(path)
    assert found is not None
    tensors, numbers = found
    assert numbers == NUMBERS
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.safetensors"]


def test_views_of_one_vector_and_leaves_can_be_written(tmp_path: Path) -> None:
    vector = torch.arange(8.0)
    parts = {"a": vector[:4].view(2, 2).requires_grad_(), "b": vector[4:]}
    checkpoint.write(tmp_path / "c", parts, {})
    found = checkpoint.read(tmp_path / "c")
    assert found is not None
    assert found[0]["a"].tolist() == [[0, 1], [2, 3]]
    assert not found[0]["a"].requires_grad


def test_a_score_that_is_not_a_number_survives(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", TENSORS, {"best": [math.nan, 5]})
    found = checkpoint.read(tmp_path / "c")
    assert found is not None
    assert math.isnan(found[1]["best"][0])


@pytest.mark.parametrize("where", ["save", "sync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "c"
    checkpoint.write(path, TENSORS, {"step": 1})

    def fails(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    target = {"save": "trials.training.checkpoint.save_file", "sync": "os.fsync"}
    if where == "replace":
        monkeypatch.setattr(Path, "replace", fails)
    else:
        monkeypatch.setattr(target[where], fails)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.write(path, TENSORS, {"step": 2})
    monkeypatch.undo()
    found = checkpoint.read(path)
    assert found is not None
    assert found[1] == {"step": 1}


def test_the_file_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    checkpoint.write(tmp_path / "c", TENSORS, {})
    assert order == ["sync", "replace"]


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "none") is None
    assert checkpoint.read(tmp_path) is None


@pytest.mark.parametrize("size", [0, 4, 40, 200, -1])
def test_a_part_of_a_file_is_no_checkpoint(tmp_path: Path, size: int) -> None:
    path = tmp_path / "c"
    checkpoint.write(path, TENSORS, NUMBERS)
    path.write_bytes(path.read_bytes()[:size])
    assert checkpoint.read(path) is None


def test_files_of_another_kind_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"\x00\xff not a tensor file" * 9)
    assert checkpoint.read(path) is None
    save_file(TENSORS, path)
    assert checkpoint.read(path) is None
    save_file(TENSORS, path, metadata={"format": "pt"})
    assert checkpoint.read(path) is None
    save_file(TENSORS, path, metadata={"numbers": "{"})
    assert checkpoint.read(path) is None


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return os.open, (str(self.mark), os.O_CREAT)  # type: ignore[return-value]


@pytest.mark.parametrize("how", ["pickle", "torch", "torch's old format", "in the header"])
def test_a_pickle_in_its_place_is_not_loaded(tmp_path: Path, how: str) -> None:
    path, mark = tmp_path / "checkpoint.safetensors", tmp_path / "it ran"
    payload = Payload(mark)
    if how == "pickle":
        path.write_bytes(pickle.dumps(payload))
    elif how == "in the header":
        text = pickle.dumps(payload, protocol=0).decode()
        save_file({}, path, metadata={"numbers": text})
    else:
        torch.save({"values": payload}, path, _use_new_zipfile_serialization=how == "torch")
    assert checkpoint.read(path) is None
    assert not mark.exists()
    if how == "pickle":
        os.close(pickle.loads(path.read_bytes()))
        assert mark.exists(), "the payload works where it is loaded"
