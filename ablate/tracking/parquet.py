"""Tables as Parquet files that are replaced whole, with a few words about each."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from trials.spec import Json

_ABOUT = b"ablate"
_AS_JSON = "as_json"


def save(path: Path, frame: pd.DataFrame, about: dict[str, Json]) -> None:
    """Write a table; a reader sees the old file or the new one, never a part.

    Args:
        path: its folder exists.
        frame: columns whose values Parquet cannot hold together are written as JSON.
        about: kept with it, in JSON's own types.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns, as_json = [], []
    for name in frame.columns:
        try:
            columns.append(pa.Array.from_pandas(frame[name]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            texts = [json.dumps(_json(value)) for value in frame[name]]
            columns.append(pa.array(texts, type=pa.string()))
            as_json.append(str(name))
    table = pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])
    words = json.dumps({**about, _AS_JSON: as_json})
    table = table.replace_schema_metadata({_ABOUT: words.encode()})
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        parquet.write_table(table, part, compression="zstd")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> tuple[pd.DataFrame, dict[str, Json]] | None:
    """A table of `save` and what is said about it; None where there is none that can be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[_ABOUT])
        as_json = about.pop(_AS_JSON)
        frame = table.replace_schema_metadata(None).to_pandas()
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    texts = {name: pd.Series(list(map(json.loads, frame[name])), dtype=object) for name in as_json}
    return frame.assign(**texts), about


def about(path: Path) -> dict[str, Json] | None:
    """What is said about a table, without reading it."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = json.loads(parquet.read_schema(path).metadata[_ABOUT])
        del found[_AS_JSON]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return dict(found)


def _json(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value
