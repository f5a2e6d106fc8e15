"""The one table that all results share, and how it reaches the disk: whole or not at all, always the same."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openqueues.models.errors import InputError

if TYPE_CHECKING:
    import pandas

COLUMNS = {
    "problem": "string",
    "version": "int64",
    "experiment": "string",
    "policy": "string",
    "point": "int64",  # index in the experiment's whole grid
    "parameters": "string",  # JSON text, sorted keys
    "replication": "int64",  # -1: not simulated
    "seed": "int64",  # -1: not simulated
    "metric": "string",
    "value": "float64",
    "error": "float64",  # absolute error of an analysis, NaN for a simulation
    "n": "int64",  # jobs counted, 0 for what is not simulated
    "status": "string",  # ok, unstable, failed, timeout
    "source": "string",  # simulation, analysis, bound
}
ORDER = ("point", "source", "replication", "metric")


def write(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write one cell's rows as Parquet, sorted, atomically. Holds nothing that changes from run to run."""
    import pyarrow
    import pyarrow.parquet

    rows = sorted(rows, key=lambda row: tuple(row[key] for key in ORDER))
    table = pyarrow.table(
        {name: column([row[name] for row in rows], kind) for name, kind in COLUMNS.items()}
    )
    replace(
        path, lambda target: pyarrow.parquet.write_table(table, target, compression="zstd", version="2.6")
    )


def column(values: Iterable[Any], kind: str) -> Any:
    """Values as an Arrow array of strings, int64 or float64, made from buffers: pyarrow.array imports pandas, 0.5 s."""
    import numpy as np
    import pyarrow

    if kind == "string":
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))]
        return pyarrow.Array.from_buffers(pyarrow.string(), len(texts), buffers)
    arrow = {"int64": pyarrow.int64(), "float64": pyarrow.float64()}[kind]
    return pyarrow.Array.from_buffers(
        arrow, len(values), [None, pyarrow.py_buffer(np.array(values, dtype=kind))]
    )


def write_json(content: Any, path: Path) -> None:
    """Write JSON with sorted keys, atomically."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    replace(path, lambda target: Path(target).write_text(text, encoding="utf-8"))


def replace(path: Path, fill: Callable[[str], Any]) -> None:
    """Let `fill` write a temporary file beside `path`, then put it in its place; InputError if that fails."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        fill(temporary)
        # mkstemp makes files private; results are as readable as any other file the user makes.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}: name a folder you may write to."
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def writable(folder: str | Path) -> None:
    """Raise InputError when nothing could be written below a folder, which need not exist."""
    there = Path(folder).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written: name a folder you may write to.")


def load(folder: str | Path) -> pandas.DataFrame:
    """All results below a folder as one table with the columns of COLUMNS, in the order of their paths.

    Raises InputError when the folder holds none or a file is not a table of results.
    """
    import pyarrow
    import pyarrow.parquet

    files = sorted(Path(folder).glob("**/*.parquet"))
    if not files:
        raise InputError(f"{folder} holds no results: `openqueues run ENTRY` makes some.")
    tables = []
    for file in files:
        try:
            table = pyarrow.parquet.ParquetFile(file).read()
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(
                f"{file} is not readable as Parquet: remove it and run its entry again."
            ) from error
        if table.column_names != list(COLUMNS):
            raise InputError(f"{file} is not a table of results: remove it and run its entry again.")
        tables.append(table)
    return pyarrow.concat_tables(tables).to_pandas()
