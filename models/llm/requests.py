"""Requests to a language model as arrays, and reading them from a trace.

A trace is a CSV file with a header (or columns that the caller has read from elsewhere):

    arrival_s, input_tokens, output_tokens   required
    predicted_output_tokens                  a forecast of output_tokens, a number of at least 0
    prefix_blocks                            ids of the blocks of the prompt, separated by spaces, from its start
    class                                    interactive (default) or batch
    deadline_s                               latest finish, in the clock of arrival_s; empty: none
    price                                    what the request pays; empty: 0
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown

INTERACTIVE, BATCH = 0, 1
CLASSES = ("interactive", "batch")
REQUIRED = ("arrival_s", "input_tokens", "output_tokens")
OPTIONAL = ("predicted_output_tokens", "prefix_blocks", "class", "deadline_s", "price")
COLUMNS = (*REQUIRED, *OPTIONAL)
"""The columns of a trace; others are ignored."""
MOST_TOKENS = 10**9
"""Most tokens that one request may read or write: sums of squares over a batch stay exact in float64 far longer."""


@dataclass(frozen=True, eq=False)
class Requests:
    """n requests in order of arrival; arrays of length n unless said. Absent arrays get their defaults.

    Raises InputError, naming the field and the request (counted from 0), for values that make no sense.
    """

    arrival_s: np.ndarray
    """float64, at least 0, ascending."""
    input_tokens: np.ndarray
    """int64, tokens of the prompt, at least 1."""
    output_tokens: np.ndarray
    """int64, tokens of the answer, at least 1; hidden from policies."""
    predicted_output_tokens: np.ndarray | None = None
    """float64, at least 0, or None: no prediction is known, and a policy that needs one is refused."""
    predicted_low_tokens: np.ndarray | None = None
    """float64, lower end of a predicted interval, or None."""
    predicted_high_tokens: np.ndarray | None = None
    """float64, upper end of a predicted interval, or None."""
    rank_only: bool = False
    """Whether only the order of predicted_output_tokens means anything."""
    kind: np.ndarray | None = None
    """int8, INTERACTIVE or BATCH (default: all interactive)."""
    deadline_s: np.ndarray | None = None
    """float64, in the clock of arrival_s, infinity where there is none (default)."""
    price: np.ndarray | None = None
    """float64, at least 0 (default 0)."""
    prefix_start: np.ndarray | None = None
    """int64, length n + 1: the blocks of request i are prefix_blocks[prefix_start[i] : prefix_start[i + 1]]."""
    prefix_blocks: np.ndarray | None = None
    """int64 ids; two prompts share as many tokens as their lists have equal leading ids (default: no blocks)."""
    prefix_block_tokens: int = 512
    """Tokens of a prefix block; the last block of a prompt may be partly filled."""
    refresh_every: int = 0
    """A prediction is renewed after so many made tokens; 0: never."""
    refreshed_start: np.ndarray | None = None
    """int64, length n + 1: where the renewed predictions of each request stand in `refreshed`."""
    refreshed: np.ndarray | None = None
    """float64: entry j of a request is the prediction of its REMAINING tokens when (j + 1) refresh_every are made."""

    def __post_init__(self):
        n = len(self.arrival_s)
        if n == 0:
            raise InputError("there are no requests: give at least one.")
        put = lambda name, values: object.__setattr__(self, name, values)  # noqa: E731
        put("arrival_s", self._floats("arrival_s", n, 0.0, np.inf, "a finite number of at least 0"))
        if np.any(self.arrival_s[1:] < self.arrival_s[:-1]):
            late = int(np.argmax(self.arrival_s[1:] < self.arrival_s[:-1])) + 1
            raise InputError(f"arrival_s of request {late} is before that of the one before it: sort the requests.")
        for name in ("input_tokens", "output_tokens"):
            put(name, self._whole(name, n, 1, MOST_TOKENS))
        put("kind", np.zeros(n, np.int8) if self.kind is None else self._whole("kind", n, 0, 1).astype(np.int8))
        if self.deadline_s is None:
            put("deadline_s", np.full(n, np.inf))
        else:
            put("deadline_s", self._floats("deadline_s", n, 0.0, None, "a number of at least 0 or infinity"))
        if self.price is None:
            put("price", np.zeros(n))
        for name in ("price", "predicted_output_tokens", "predicted_low_tokens", "predicted_high_tokens"):
            if getattr(self, name) is not None:
                put(name, self._floats(name, n, 0.0, np.inf, "a finite number of at least 0"))
        self._interval()
        for start, values, kind in (
            ("prefix_start", "prefix_blocks", np.int64),
            ("refreshed_start", "refreshed", np.float64),
        ):
            if getattr(self, values) is None:
                put(start, np.zeros(n + 1, np.int64))
                put(values, np.empty(0, kind))
            else:
                put(start, np.array(getattr(self, start), np.int64))
                put(values, np.array(getattr(self, values), kind))
            ends, last = getattr(self, start), len(getattr(self, values))
            if len(ends) != n + 1 or ends[0] != 0 or ends[-1] != last or np.any(np.diff(ends) < 0):
                raise InputError(f"{start} must ascend from 0 to the length of {values} in {n + 1} entries.")
        if np.any(self.prefix_blocks < 0):
            raise InputError("prefix_blocks holds a negative id: ids of blocks are whole numbers of at least 0.")
        if not np.all(np.isfinite(self.refreshed)) or np.any(self.refreshed < 0):
            raise InputError("refreshed must hold finite numbers of at least 0: predictions of remaining tokens.")
        if self.prefix_block_tokens < 1 or self.refresh_every < 0 or (len(self.refreshed) and not self.refresh_every):
            raise InputError("prefix_block_tokens must be at least 1, and refresh_every of renewed predictions too.")
        for field in fields(self):
            if isinstance(getattr(self, field.name), np.ndarray):
                getattr(self, field.name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.arrival_s)

    def first(self, n: int) -> Requests:
        """The first n requests (at least 1) alone."""
        cut = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                cut[field.name] = value[: n + 1] if field.name.endswith("_start") else value[:n]
        for start, values in (("prefix_start", "prefix_blocks"), ("refreshed_start", "refreshed")):
            cut[values] = getattr(self, values)[: cut[start][-1]]
        return replace(self, **cut)

    def _floats(self, name, n, low, high, right):
        """The field as new float64 values from `low` to below `high` (None: infinity itself is allowed)."""
        values = self._column(name, n, np.float64)
        good = (values >= low) & ((values < high) if high is not None else True)
        if not np.all(good):
            i = int(np.argmin(good))
            raise InputError(f"{name} of request {i} is {values[i]:g}, but must be {right}.")
        return values

    def _whole(self, name, n, low, high):
        values = self._column(name, n, None)
        good = (values >= low) & (values <= high)
        if values.dtype.kind == "f":
            good &= values == np.floor(values)
        if not np.all(good):
            i = int(np.argmin(good))
            right = f"a whole number from {low} to {high}"
            raise InputError(f"{name} of request {i} is {values[i]:g}, but must be {right}.")
        return values.astype(np.int64)

    def _column(self, name, n, kind):
        try:
            values = np.array(getattr(self, name), dtype=kind, ndmin=1)
        except (TypeError, ValueError):
            raise InputError(f"{name} must be an array of numbers.") from None
        if values.dtype.kind not in "iuf":
            raise InputError(f"{name} must be an array of numbers.")
        if values.shape != (n,):
            raise InputError(f"{name} has the shape {values.shape}, but there are {n} requests: give one value each.")
        return values

    def _interval(self):
        low, high = self.predicted_low_tokens, self.predicted_high_tokens
        if (low is None) != (high is None):
            raise InputError("a predicted interval needs both predicted_low_tokens and predicted_high_tokens.")
        if low is not None and np.any(low > high):
            i = int(np.argmax(low > high))
            raise InputError(f"the predicted interval of request {i} is from {low[i]:g} to {high[i]:g}: swap its ends.")


def read_trace(path: str | Path) -> Requests:
    """The requests of a CSV file as the head of this module describes, sorted by arrival, ties as in the file.

    Lines that start with # and empty lines are skipped; other columns are ignored. Raises InputError, naming
    column and line.
    """
    where = f"the trace '{path}'"
    found = _numeric(Path(path))
    if found is not None:
        try:
            return from_columns(found, where)
        except InputError:
            # Read again, cell by cell, so that the error can name the line.
            pass
    header, lines, rows = _rows(Path(path))
    check_columns(header, where)
    columns = {name: [row[header.index(name)] for row in rows] for name in COLUMNS if name in header}
    return from_columns(columns, where, lambda i: f"line {lines[i]}")


def _numeric(path: Path) -> dict[str, np.ndarray] | None:
    """The columns of a plain table of numbers, five times as fast as cell by cell; None for any other file."""
    try:
        with open(path, encoding="utf-8-sig") as stream, warnings.catch_warnings():
            warnings.simplefilter("error")
            header = [name.strip() for name in stream.readline().split(",")]
            table = np.loadtxt(stream, delimiter=",", comments=None, ndmin=2)
    except (OSError, ValueError, UserWarning):
        return None
    if table.shape[1] != len(header) or len(set(header)) != len(header) or not set(REQUIRED) <= set(header):
        return None
    return {name: table[:, header.index(name)] for name in COLUMNS if name in header}


def check_columns(names: Sequence[str], where: str) -> None:
    """InputError for a required column that is not among `names`, or one that is there twice."""
    for name in REQUIRED:
        if name not in names:
            near = unknown("column", name, names) if names else None
            hint = f" It has {', '.join(names)}: rename one." if near else ""
            raise InputError(f"{where} has no column '{name}'.{hint}")
    for name in COLUMNS:
        if list(names).count(name) > 1:
            raise InputError(f"{where} has the column '{name}' twice: leave one out.")


def from_columns(columns: Mapping[str, Sequence], where: str, row=lambda i: f"row {i + 1}") -> Requests:
    """Requests from columns by name (texts or numbers), sorted by arrival, ties in the given order.

    `where` names their origin and `row(i)` the i-th row in errors. An empty text, None or NaN is a missing
    value, which only predicted_output_tokens (in all rows or none) and the columns after it in OPTIONAL may have.
    """
    if not len(columns["arrival_s"]):
        raise InputError(f"{where} has no requests: add a row per request.")

    def wrong(name, i, right):
        value = columns[name][i]
        shown = f"'{value}'" if isinstance(value, str) else f"{value}"
        raise InputError(f"{where} has {shown} in {row(i)}, column '{name}', but it must be {right}.")

    def numbers(name, right, low, high, missing=None, whole=False):
        values = _as_floats(columns[name], missing)
        with np.errstate(invalid="ignore"):
            good = (values >= low) & (values <= high)
            if whole:
                good &= values == np.floor(values)
        if not np.all(good):
            wrong(name, int(np.argmin(good)), right)
        return values

    tokens = f"a whole number from 1 to {MOST_TOKENS}"
    largest = np.finfo(np.float64).max
    arrival = numbers("arrival_s", "a finite number of at least 0", 0.0, largest)
    order = np.argsort(arrival, kind="stable")
    given = {"arrival_s": arrival[order]}
    for name in ("input_tokens", "output_tokens"):
        given[name] = numbers(name, tokens, 1, MOST_TOKENS, whole=True)[order].astype(np.int64)
    if "predicted_output_tokens" in columns and not _all_missing(columns["predicted_output_tokens"]):
        right = "a finite number of at least 0"
        given["predicted_output_tokens"] = numbers("predicted_output_tokens", right, 0.0, largest)[order]
    if "deadline_s" in columns:
        right = "a number of at least 0, or empty"
        given["deadline_s"] = numbers("deadline_s", right, 0.0, np.inf, missing=np.inf)[order]
    if "price" in columns:
        right = "a finite number of at least 0, or empty"
        given["price"] = numbers("price", right, 0.0, largest, missing=0.0)[order]
    if "class" in columns:
        codes = {"": INTERACTIVE, "interactive": INTERACTIVE, "batch": BATCH}
        kinds = [codes.get("" if _missing(cell) else str(cell).strip(), -1) for cell in columns["class"]]
        if -1 in kinds:
            wrong("class", kinds.index(-1), "interactive or batch")
        given["kind"] = np.array(kinds, np.int8)[order]
    if "prefix_blocks" in columns:
        lists = []
        for i in order.tolist():
            blocks = _blocks(columns["prefix_blocks"][i])
            if blocks is None:
                wrong("prefix_blocks", i, "whole numbers of at least 0 separated by spaces, or empty")
            lists.append(blocks)
        given["prefix_start"] = np.cumsum([0, *map(len, lists)])
        given["prefix_blocks"] = np.array([block for blocks in lists for block in blocks], np.int64)
    return Requests(**given)


def _rows(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """(header, line numbers, cells) of a CSV file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header, lines, rows = None, [], []
            for cells in reader:
                if not cells or cells[0].startswith("#") or not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = [cell.strip() for cell in cells]
                    continue
                if len(cells) != len(header):
                    raise InputError(
                        f"the trace '{path}' has {len(cells)} cells in line {reader.line_num}, but {len(header)}"
                        " columns: give each line a cell per column."
                    )
                lines.append(reader.line_num)
                rows.append(cells)
    except OSError as error:
        raise InputError(f"cannot read the trace '{path}': {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"the trace '{path}' is not a CSV text file: give a CSV or Parquet file.") from None
    if header is None:
        raise InputError(f"the trace '{path}' is empty: give a header and a line per request.")
    return header, lines, rows


def _missing(cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def _all_missing(cells) -> bool:
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iu":
        return False
    return all(map(_missing, cells))


def _as_floats(cells, missing: float | None) -> np.ndarray:
    """Cells as float64; what is no number becomes NaN, and what is missing `missing` where that is given."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
        values = cells.astype(np.float64)
        return values if missing is None else np.where(np.isnan(values), missing, values)
    if missing is None and not any(isinstance(cell, bool) for cell in cells):
        try:
            return np.array([float(cell) for cell in cells])
        except (TypeError, ValueError):
            pass
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if _missing(cell) and missing is not None:
            values[i] = missing
        elif not isinstance(cell, bool):
            try:
                values[i] = float(cell)
            except (TypeError, ValueError):
                continue
    return values


def _blocks(cell) -> list[int] | None:
    """Ids of blocks from a text or a sequence; None where it holds something else."""
    if isinstance(cell, list | tuple | np.ndarray):
        parts = [str(part) for part in cell]
    elif _missing(cell):
        return []
    else:
        parts = str(cell).split()
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        return None
    return [int(part) for part in parts]
