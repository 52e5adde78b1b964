"""Journals and tables that are almost right: read as they were written, or refused in words."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import FUZZED, TOKENS, edited, edits, in_time

from ablate import exchange, frame, journal, quarantine
from trials.errors import UserError
from trials.spec import TrialResult

RESULT = TrialResult(status="finished", scores={"validation": {"accuracy": 0.5}}, seconds=3.0)
STORY = (
    journal.asked("c", 0, {"learning_rate": 1e-3}, ("a" * 64,)),
    journal.planned("a" * 64, {"seed": 1, "stage": "search"}, cell="c", revision=1, ask=0),
    journal.started("a" * 64, 1),
    journal.finished("a" * 64, RESULT),
    journal.chosen("c", 1, 0, {"learning_rate": 1e-3}),
    journal.looked("t", 1, [{"id": "x"}], at=1.0),
    journal.extended({"c": 8}),
    journal.ended("done"),
)


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "s" / "journal"
    with journal.Journal.open(folder) as record:
        record.extend(STORY)
    return folder / "000001.jsonl"


@pytest.fixture(scope="module")
def lines(segment: Path) -> list[str]:
    return segment.read_text(encoding="utf-8").splitlines()


@given(number=st.integers(0, len(STORY) - 1), changes=edits(2), is_sealed=st.booleans())
@FUZZED
def test_a_line_of_a_journal(
    segment: Path, lines: list[str], number: int, changes: list[Any], is_sealed: bool
) -> None:
    """A wrong check is always seen; where even the check is right, nothing is worse than words."""
    line = lines[number]
    if is_sealed:
        body = edited(line[: -journal._TAIL] + "}", changes).encode(errors="surrogatepass")
        changed = journal._sealed(body)
    else:
        changed = edited(line, changes).encode(errors="surrogatepass")
    whole = [text.encode() for text in lines]
    segment.write_bytes(b"\n".join([*whole[:number], changed, *whole[number + 1 :], b""]))
    if is_sealed or changed == whole[number]:
        with in_time(), suppress(journal.Damaged):
            journal.load(segment.parent)
        return
    with in_time(), pytest.raises(journal.Damaged, match=rf"000001\.jsonl:{number + 1}: damaged"):
        journal.load(segment.parent)


@given(number=st.integers(0, len(STORY) - 1), changes=edits(2))
@FUZZED
def test_a_damaged_journal_can_be_mended(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], number: int, changes: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "s" / "journal"
    folder.mkdir(parents=True)
    text = "\n".join([*lines[:number], edited(lines[number], changes), *lines[number + 1 :], ""])
    (folder / "000001.jsonl").write_bytes(text.encode(errors="surrogatepass"))
    mended = quarantine.set_aside(folder)
    state = journal.load(folder)
    assert bool(state.mended) == (mended is not None)
    if mended is not None:
        assert mended.line == number + 1
        quarantine.salvaged(folder)


GOOD = pd.DataFrame(
    {
        "study": "s", "task": "cola", "method": [m for m in ("lora", "shim") for _ in range(3)],
        "rank": 4, "seed": [0, 1, 2] * 2, "score": [0.1, 0.2, 0.3] * 2, "status": "finished",
        "split": "validation", "metric": "mcc", "direction": "higher", "primary": True,
        "tune.learning_rate": 1e-3,
    }
)  # fmt: skip
CSV = GOOD.to_csv(index=False)


@given(changes=edits(), suffix=st.sampled_from([".csv", ".CSV"]))
@FUZZED
def test_a_table_as_text(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Any], suffix: str
) -> None:
    file = TABLES(tmp_path_factory) / f"table{suffix}"
    file.write_text(edited(CSV, changes), encoding="utf-8", errors="surrogatepass")
    _read(file)


@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
@FUZZED
def test_a_table_as_parquet(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, int]]
) -> None:
    file = TABLES(tmp_path_factory) / "table.parquet"
    GOOD.to_parquet(file, index=False)
    data = bytearray(file.read_bytes())
    for where, byte in edits:
        data[min(int(where * len(data)), len(data) - 1)] = byte
    file.write_bytes(data)
    _read(file)


VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(TOKENS),
    st.lists(st.integers(), max_size=2), st.dates(), st.binary(max_size=2),
)  # fmt: skip


@given(
    cells=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.sampled_from(list(GOOD.columns)), VALUE),
        max_size=4,
    ),
    gone=st.sets(st.sampled_from(list(GOOD.columns)), max_size=2),
    name=st.one_of(
        # pandas itself takes no half character in a name.
        st.sampled_from([token for token in TOKENS if token != "\ud800"]),
        st.integers(),
        st.none(),
    ),
)
@FUZZED
def test_a_table_in_memory(cells: list[tuple[int, str, Any]], gone: set[str], name: Any) -> None:
    data = GOOD.astype(object)
    for row, column, value in cells:
        data.at[row, column] = value
    data = data.drop(columns=sorted(gone)).rename(columns={"rank": name})
    with in_time(), suppress(UserError):
        frame.check(data)


class _Tables:
    """One folder for all examples."""

    folder: Path | None = None

    def __call__(self, factory: pytest.TempPathFactory) -> Path:
        if self.folder is None:
            self.folder = factory.mktemp("tables")
        return self.folder


TABLES: Callable[[pytest.TempPathFactory], Path] = _Tables()


def _read(file: Path) -> None:
    with in_time():
        try:
            table = exchange.read(file).frame
        except UserError:
            return
    assert set(frame.FIXED_COLUMNS) <= set(table.columns)
