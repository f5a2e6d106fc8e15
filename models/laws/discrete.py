"""Laws of sizes with finitely many values: one value, a few with weights, or the values counted in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws.base import SizeLaw, floats, probabilities
from openqueues.models.laws.parameters import Parameters, spec, unless


class Counted(SizeLaw):
    """A law given by values (`_values`, ascending, all above 0) and how often each was seen (`_counts`)."""

    @property
    def _values(self) -> np.ndarray:
        raise NotImplementedError

    @property
    def _counts(self) -> np.ndarray:
        raise NotImplementedError

    @cached_property
    def atoms(self):
        return self._values, self._counts / self._counts.sum()

    @property
    def support(self):
        return float(self._values[0]), float(self._values[-1])

    @cached_property
    def _upto(self):
        """Sums of weight * value^k over the first i values, k = 0..3, for i = 0..n."""
        values, weights = self.atoms
        sums = np.cumsum([weights * values**k for k in range(4)], axis=1)
        sums[0] = np.cumsum(self._counts) / self._counts.sum()
        return np.hstack((np.zeros((4, 1)), sums))

    @cached_property
    def _beyond(self):
        values, weights = self.atoms
        sums = np.cumsum([(weights * values**k)[::-1] for k in range(4)], axis=1)[:, ::-1]
        return np.hstack((sums, np.zeros((4, 1))))

    def _place(self, x):
        return np.searchsorted(self._values, floats(x), side="right")

    def moment(self, k):
        values, weights = self.atoms
        return float(np.sum(weights * values**k))

    def cdf(self, x):
        return self._upto[0][self._place(x)]

    def sf(self, x):
        return self._beyond[0][self._place(x)]

    def partial_moment(self, k, x):
        return self._upto[k][self._place(x)]

    def tail_moment(self, k, x):
        return self._beyond[k][self._place(x)]

    def ppf(self, u):
        u = probabilities(u)
        place = np.searchsorted(self._upto[0][1:], u, side="left")
        return np.where(np.isnan(u), np.nan, self._values[np.minimum(place, len(self._values) - 1)])

    @cached_property
    def _drawn_from(self):
        return np.repeat(self._values, self._counts)

    def fill(self, rng, out):
        rng.random(out=out)
        out *= len(self._drawn_from)
        np.take(self._drawn_from, out.astype(np.int64), out=out, mode="clip")


@dataclass(frozen=True, eq=False, repr=False)
class Deterministic(Counted):
    """All sizes are equal to the mean; takes nothing from the random stream."""

    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Deterministic:
        return cls(given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("deterministic", mean=unless(self.mean, 1.0))

    @property
    def _values(self):
        return np.array([self.mean])

    @property
    def _counts(self):
        return np.array([1])

    def fill(self, rng, out):
        out[...] = self.mean


@dataclass(frozen=True, eq=False, repr=False)
class Points(Counted):
    """A few values with weights, as in `points:values=1|30,weights=0.9|0.1`, scaled to the mean."""

    values: tuple[float, ...]
    weights: tuple[float, ...]
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Points:
        values, weights = (given.positives(name) for name in ("values", "weights"))
        if len(values) != len(weights) or any(a >= b for a, b in zip(values, values[1:], strict=False)):
            raise InputError(
                f"{given.where} has {len(values)} values and {len(weights)} weights: give ascending values, "
                "and a weight for each."
            )
        return cls(values, weights, given.positive("mean", 1.0))

    @property
    def spec(self):
        listed = {name: "|".join(map(repr, getattr(self, name))) for name in ("values", "weights")}
        return spec("points", **listed, mean=unless(self.mean, 1.0))

    @property
    def _values(self):
        values, weights = np.array(self.values), np.array(self.weights)
        return values * (self.mean * weights.sum() / (values @ weights))

    @property
    def _counts(self):
        return np.array(self.weights)

    def fill(self, rng, out):
        rng.random(out=out)
        np.take(self.atoms[0], np.searchsorted(self._upto[0][1:-1], out, side="right"), out=out)


@dataclass(frozen=True, eq=False, repr=False)
class Empirical(Counted):
    """The sizes in one column of a CSV file, each as likely as the others, scaled to the mean.

    A first row that holds no number in the column is a header; lines that start with # are skipped.
    Without `column` (a name in the header, or a number from 1) the file must have one column.
    """

    file: str
    column: str | None = None
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Empirical:
        file = given.text("file", right="PATH of a CSV file")
        column = given.text("column") if given.has("column") else None
        law = cls(file, column, given.positive("mean", 1.0))
        read_column(file, column)
        return law

    @property
    def spec(self):
        return spec("empirical", file=self.file, column=self.column, mean=unless(self.mean, 1.0))

    @property
    def source(self):
        return self.file

    @property
    def _counts(self):
        return read_column(self.file, self.column)[1]

    @cached_property
    def _values(self):
        values, counts = read_column(self.file, self.column)
        return values * (self.mean * counts.sum() / np.sum(values * counts))


@lru_cache(maxsize=16)
def read_column(file: str, column: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(values ascending, how often each occurs) of a column of positive numbers; InputError otherwise."""
    rows = read_rows(file)
    if not rows:
        raise InputError(f"the file '{file}' of the empirical size law is empty: give one size per line.")
    header = rows[0][1] if not any(_is_number(cell) for cell in rows[0][1]) else None
    index = _column_index(file, column, header, len(rows[0][1]))
    sizes = []
    for line, cells in rows[1:] if header else rows:
        text = cells[index] if index < len(cells) else ""
        if not _is_number(text) or not 0 < float(text) < np.inf:
            raise InputError(
                f"the file '{file}' of the empirical size law has '{text}' in line {line}, column"
                f" {index + 1}: sizes must be finite numbers above 0."
            )
        sizes.append(float(text))
    if not sizes:
        raise InputError(f"the file '{file}' of the empirical size law has a header but no sizes: add some.")
    values, counts = np.unique(np.array(sizes), return_counts=True)
    values.setflags(write=False)
    return values, counts


def read_rows(file: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line of a CSV file that is neither empty nor a comment."""
    try:
        with open(Path(file), newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            return [
                (rows.line_num, [cell.strip() for cell in cells])
                for cells in rows
                if any(cell.strip() for cell in cells) and not cells[0].startswith("#")
            ]
    except OSError as error:
        why = error.strerror
        raise InputError(f"cannot read the file '{file}': {why}; give the path of a CSV file.") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"the file '{file}' is not a CSV text file: give one that is.") from None


def _column_index(file, column, header, width):
    if column is None:
        if width > 1:
            raise InputError(
                f"the file '{file}' has {width} columns: say which one holds the sizes with column="
                + (f"{'|'.join(header)}." if header else f"1..{width}.")
            )
        return 0
    if header and column in header:
        return header.index(column)
    if column.isdecimal() and 1 <= int(column) <= width:
        return int(column) - 1
    raise unknown(f"column of '{file}'", column, header or [str(i + 1) for i in range(width)])


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
