"""Records of an entry: which policy was the best of those that see as much, since when, and by what evidence.

They stand in the entry's records.toml, which is only ever appended to. A record holds for the version of the entry
that it was made with.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec
from openqueues import results
from openqueues.entry import Entry
from openqueues.models.errors import InputError

Kind = TypeVar("Kind", bound=msgspec.Struct)


class Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A policy that was better than all that see no more, on runs that its author could not tune to."""

    policy: str
    digest: str
    """BLAKE2b of the policy's file, which the seeds and the further points are derived from."""
    information: str
    date: datetime.date
    version: int
    """Of the entry."""
    metric: str
    mean: float
    halfwidth: float
    """Of the mean's 95% interval."""
    beats: str
    """The best policy before."""
    improvement: float
    """Share of that policy's mean."""
    at_least: float
    """One-sided 99% limit of the improvement, by paired replications, over every policy that sees no more."""
    jobs: int
    replications: int
    points: list[str]
    """Further points of the grid that it was run at, as JSON texts."""
    libraries: dict[str, str]


def read(entry: Entry) -> list[Record]:
    """The records of an entry, the oldest first; InputError for a file that is not what we wrote."""
    return read_tables(_file(entry), "records", Record)


def read_tables(file: Path, key: str, kind: type[Kind]) -> list[Kind]:
    """The tables [[key]] of an entry's file, none where there is no file; InputError for one that we did not write."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(raw.get(key, []), list[kind])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, msgspec.ValidationError) as error:
        where = f"{file.parent.name}/{file.name}"
        raise InputError(f"{where} cannot be read: {error}: undo the change to it.") from error


def append(entry: Entry, record: Record, known: list[Record]) -> Path:
    """Write a record after those that are `known`, which keep their bytes; returns the file.

    Raises InputError if others have been written since they were read: the record may not hold against those.
    """
    file = _file(entry)
    fields = msgspec.to_builtins(record, builtin_types=(datetime.date,))
    lines = "".join(f"{key} = {toml_value(value)}\n" for key, value in fields.items())

    def fill(target: str) -> None:  # nobody else writes the file until this has returned
        if read(entry) != known:
            raise InputError(f"{entry.slug} has got another record meanwhile: run the same command again.")
        before = file.read_bytes() if file.is_file() else b""
        Path(target).write_bytes(before + (("\n" if before else "") + f"[[records]]\n{lines}").encode())

    results.replace(file, fill)
    return file


def _file(entry: Entry) -> Path:
    return entry.folder / "records.toml"


def toml_value(value) -> str:
    """A text, number, date, list, or table of them with bare keys, as TOML in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)  # texts, numbers and lists of them are the same in TOML
