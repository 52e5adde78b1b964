"""The profile: file, then environment, then flags; none of it in any id."""

from pathlib import Path
from typing import Any

import pytest

from ablate.profile import Profile, deadline
from trials.errors import UserError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "profiles.toml"
    path.write_text(
        '[default]\ndevice = "cpu"\ncpus = 2\nstore = "/from/file"\n[big]\ndevice = "cuda"\n'
    )
    return path


def read(file: Path, flags: Any = (), name: str | None = None, **environment: str) -> Profile:
    return Profile.read(dict(flags), name=name, environment=environment, file=file)


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    found = read(tmp_path / "none.toml")
    assert found == Profile(store=str(Path("ablate-store").resolve()))
    assert found.threads == 1


def test_values_rise_from_file_to_environment_to_flags(file: Path) -> None:
    assert read(file).cpus == 2
    assert read(file, ABLATE_CPUS="3").cpus == 3
    assert read(file, {"cpus": 4.0}, ABLATE_CPUS="3").cpus == 4
    assert read(file, {"cpus": None}, ABLATE_CPUS="3").cpus == 3
    assert read(file).store == "/from/file"
    assert read(file, ABLATE_STORE="/from/environment").store == "/from/environment"
    assert read(file, {"store": "/flag"}, ABLATE_STORE="/from/environment").store == "/flag"
    assert read(file, ABLATE_DEVICE="auto").device == "auto"


def test_a_table_by_name(file: Path) -> None:
    assert read(file, name="big").device == "cuda"
    assert read(file, name="big").cpus is None
    assert read(file, ABLATE_PROFILE="big").device == "cuda"
    assert read(file, name="default", ABLATE_PROFILE="big").device == "cpu"


def test_mlflows_own_variable_counts_least(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.toml"
    assert read(nowhere, MLFLOW_TRACKING_URI="http://a").tracking_uri == "http://a"
    both = {"MLFLOW_TRACKING_URI": "http://a", "ABLATE_TRACKING_URI": "http://b"}
    assert read(nowhere, **both).tracking_uri == "http://b"


def test_lists_are_folders_that_exist(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    roots = (str(tmp_path / "a"), str(tmp_path / "b"))
    nowhere = tmp_path / "none.toml"
    assert read(nowhere, ABLATE_DATA=":".join(roots)).data == roots
    assert read(nowhere, {"models": roots}).models == roots
    with pytest.raises(UserError) as caught:
        read(nowhere, {"data": (str(tmp_path / "c"), str(tmp_path / "d"))})
    assert len(caught.value.problems) == 2


def test_threads_are_whole(tmp_path: Path) -> None:
    assert Profile(cpus_per_trial=2.0).threads == 2
    assert Profile(cpus_per_trial=0.5).threads == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[default]\nstor = 'x'\n", r"stor.*store"),
        ("[default\n", "profiles.toml"),
        ("[default]\ndevice = 'cdua'\n", "cuda"),
        # Each of these is a mistake of the file, and no traceback later.
        ("[default]\ncpus = 'two'\n", "cpus"),
        ("[default]\nstore = 5\n", "store"),
        ("[default]\ncpus_per_trial = true\n", "cpus_per_trial"),
        ("[default]\ndata = '/a/folder'\n", "data"),
        ("[default]\npack = true\n", "pack"),
        ("[default]\npack = 0\n", "pack"),
        ("[default]\npack = 1.5\n", "pack"),
        ("[default]\nmax_gpus = 'two'\n", "max_gpus"),
        ("default = 5\n", "default"),
    ],
)
def test_mistakes_of_the_file(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=match) as caught:
        read(path)
    assert "/f" not in str(caught.value).split(), "a path is not a list of its letters"


def test_all_unknown_keys_at_once(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text("[default]\nstor = 'x'\ndevise = 'cpu'\n")
    with pytest.raises(UserError) as caught:
        read(path)
    assert [p.key for p in caught.value.problems] == ["stor", "devise"]


def test_a_profile_that_is_not_there(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bgi.*big"):
        read(file, name="bgi")
    with pytest.raises(UserError, match="there is no"):
        read(tmp_path / "none.toml", name="big")


def test_numbers_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ABLATE_CPUS must be a number"):
        read(tmp_path / "none.toml", ABLATE_CPUS="two")
    with pytest.raises(UserError, match="ABLATE_CPUS"):
        read(tmp_path / "none.toml", ABLATE_CPUS="nan")


def test_how_many_train_together(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.toml"
    assert read(nowhere).places is None
    assert read(nowhere, ABLATE_PACK="auto").places is None
    assert read(nowhere, ABLATE_PACK="4").places == 4
    assert read(nowhere, {"pack": "8"}, ABLATE_PACK="4").places == 8
    file = tmp_path / "profiles.toml"
    file.write_text("[default]\npack = 16\nmax_gpus = 2\n[big]\npack = 'auto'\n")
    assert read(file).places == 16
    assert read(file).max_gpus == 2
    assert read(file, name="big").places is None
    assert read(file, name="big").max_gpus is None


@pytest.mark.parametrize("pack", ["0", "-1", "1.5", "many", "²"])
def test_a_pack_is_auto_or_a_number_from_one(tmp_path: Path, pack: str) -> None:
    with pytest.raises(UserError, match="pack must be auto or a number from 1"):
        read(tmp_path / "none.toml", {"pack": pack})


@pytest.mark.parametrize("device", ["tpu", "cuda:0", ""])
def test_a_device_that_is_not_known(tmp_path: Path, device: str) -> None:
    with pytest.raises(UserError, match="not known"):
        read(tmp_path / "none.toml", {"device": device})


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800), ("90m", 5400), ("2d", 172800), ("1.5h", 5400), ("9s", 9)]
)
def test_a_deadline_may_be_a_duration(text: str, seconds: float) -> None:
    assert deadline(text, 100.0) == 100.0 + seconds


def test_a_deadline_may_be_a_time() -> None:
    assert deadline("1970-01-01T00:01:40+00:00", 7.0) == 100.0
    assert deadline("2026-03-01 18:00", 7.0) == deadline("2026-03-01T18:00:00", 9.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"deadline": "tomorrow"}, "deadline must be a time such as '2026-03-01 18:00' or 8h"),
        ({"max_cost": 5.0}, "max_cost: needs price_per_gpu_hour"),
        ({"max_cost": -1.0, "price_per_gpu_hour": 2.0}, "max_cost: must be above 0, but got -1"),
        ({"price_per_gpu_hour": 0.0}, "price_per_gpu_hour: must be above 0, but got 0"),
    ],
)
def test_limits_that_make_no_sense(tmp_path: Path, flags: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Profile.read(flags, environment={}, file=tmp_path / "none")


def test_limits_come_from_everywhere(tmp_path: Path) -> None:
    environment = {"ABLATE_PRICE_PER_GPU_HOUR": "2.5", "ABLATE_DEADLINE": "8h"}
    found = Profile.read({"max_cost": 10.0}, environment=environment, file=tmp_path / "none")
    assert (found.price_per_gpu_hour, found.max_cost, found.deadline) == (2.5, 10.0, "8h")


def test_what_is_for_another_machine_is_taken_as_written(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.toml"
    given = {"store": "/mnt/there", "data": ("/mnt/a", "/mnt/b"), "max_gpus": 2.5, "pack": "8"}
    found = Profile.read(given, environment={}, file=nowhere, elsewhere=True)
    assert found.store == "/mnt/there"
    assert found.to_flags() == [
        "--store", "/mnt/there", "--data", "/mnt/a", "--data", "/mnt/b",
        "--pack", "8", "--max-gpus", "2.5",
    ]  # fmt: skip
    assert Profile().to_flags() == []
    with pytest.raises(UserError, match="pack must be"):
        Profile.read({"pack": "many"}, environment={}, file=nowhere, elsewhere=True)


def test_the_command_line_takes_the_flags_that_a_profile_says(tmp_path: Path) -> None:
    from ablate import cli
    from ablate.commands.common import flags

    given = {"store": "/s", "data": ("/a",), "models": ("/m",), "device": "cuda", "cpus": 3.0,
             "max_gpus": 2.0, "deadline": "8h", "price_per_gpu_hour": 1.5, "max_cost": 9.0,
             "tracking_uri": "http://t", "address": "auto"}  # fmt: skip
    wanted = Profile.read(given, environment={}, file=tmp_path / "none", elsewhere=True)
    parsed = flags(cli.parser().parse_args(["run", "mine", *wanted.to_flags()]))
    assert parsed == {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
