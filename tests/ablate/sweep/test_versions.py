"""What is said where nodes differ; real nodes are asked in `end_to_end/test_detached.py`."""

import pickle
import sys
import warnings

with warnings.catch_warnings():
    # Ray's own, at its import.
    warnings.simplefilter("ignore")
    from ray import cloudpickle

    from ablate.sweep.versions import differences, reader

HERE = {"python": "3.11", "ray": "2.60.0", "torch": "2.13.0", "ablate": "source 0123"}


def test_nodes_that_are_the_same_are_no_problem() -> None:
    assert differences(HERE, {"a": dict(HERE), "b": dict(HERE)}) == []


def test_each_node_that_differs_is_one_message() -> None:
    found = differences(
        HERE,
        {
            "a": {**HERE, "torch": "2.12.0", "ablate": None},
            "b": dict(HERE),
            "c": "it has died",
        },
    )
    assert found == [
        "node a: torch 2.12.0 (here 2.13.0), ablate is missing (here source 0123)",
        "node c does not answer: it has died",
    ]


def test_the_reader_travels_by_content() -> None:
    """A node without this package must be able to say so."""
    sent = cloudpickle.dumps(reader())
    read = pickle.loads(sent)
    assert read() == reader()()
    assert read()["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert str(read()["ablate"]).startswith("source ")
