"""The one table that all results share, and how it reaches the disk: whole or not at all, always the same."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
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
    table = pyarrow.table({name: column([row[name] for row in rows], kind) for name, kind in COLUMNS.items()})
    replace(path, lambda target: pyarrow.parquet.write_table(table, target, compression="zstd", version="2.6"))


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
    return pyarrow.Array.from_buffers(arrow, len(values), [None, pyarrow.py_buffer(np.array(values, dtype=kind))])


def write_json(content: Any, path: Path) -> None:
    """Write JSON with sorted keys, atomically."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    replace(path, lambda target: Path(target).write_text(text, encoding="utf-8"))


def replace(path: Path, fill: Callable[[str], Any]) -> None:
    """Let `fill` write a temporary file beside `path`, then put it in its place; InputError if that fails.

    The temporary file has one name for each path: what a kill leaves is used up when the file is made again. Who
    writes the same path at the same time waits.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(temporary) as handle:
            try:
                fill(str(temporary))
                os.fsync(handle)
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {why(error)}.") from error


FULL = (errno.ENOSPC, errno.EDQUOT)


def why(error: OSError) -> str:
    """Why a file cannot be written, and what to do, for the end of a sentence."""
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in FULL:
        return f"{what}: make room and run the same command again, what is finished is kept"
    return f"{what}: name a folder you may write to"


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """An open file that no other process holds, and that still is the one at `path`."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
            try:
                current = os.path.samestat(os.fstat(handle), os.stat(path))
            except FileNotFoundError:  # who held it has put it in its place
                current = False
            if current:
                yield handle
                return
        finally:
            os.close(handle)


def _lock(handle: int, wait: bool = True) -> None:
    """Lock an open file until it is closed or its process ends; BlockingIOError if it is held and we do not wait.

    Does nothing where the system or the file system knows no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        pass


def hold(folder: Path) -> int:
    """Keep other workflows out of a folder of results until this process ends; InputError if one is there."""
    writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle, wait=False)
    except BlockingIOError:
        os.close(handle)
        raise InputError(
            f"another workflow is making {folder}: wait until it ends, or give another folder, --config results=DIR."
        ) from None
    return handle


def writable(folder: str | Path) -> None:
    """Raise InputError when nothing could be written below a folder, which need not exist."""
    there = Path(folder).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written: name a folder you may write to.")


def digest(table: bytes) -> str:
    """What the provenance of a table says of its bytes."""
    return blake2b(table, digest_size=16).hexdigest()


def _undamaged(path: Path, table: bytes) -> bool:
    """Whether the bytes of the table at `path` are those that its provenance tells of; true for one without."""
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return "digest" not in said or said["digest"] == digest(table)
    except FileNotFoundError:
        return True
    except (ValueError, TypeError):
        return False


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
            data = file.read_bytes()
            if not _undamaged(file, data):
                raise InputError(
                    f"{file} is damaged, it is not what the provenance beside it says: remove it and run its entry "
                    "again."
                )
            table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).read()
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"{file} is not readable as Parquet: remove it and run its entry again.") from error
        if table.column_names != list(COLUMNS):
            raise InputError(f"{file} is not a table of results: remove it and run its entry again.")
        tables.append(table)
    return pyarrow.concat_tables(tables).to_pandas()
