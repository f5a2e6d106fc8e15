"""A measured joint law of size and prediction: output lengths of an LLM and a classifier's guesses of them.

85,482 requests of LMSYS-Chat-1M answered by Vicuna-13B; sizes are the lengths of the answers in tokens,
scaled. Two BERT classifiers guessed the class of each answer from its prompt. Answers of fewer than 2 or more
than 511 tokens were dropped by the source, so no size is 0 and the long tail is cut.

The package carries counts by bins of length; each bin stands for its mean length. Where the folder
OPENQUEUES_DATA has the full file, every length is its own bin. Both are read into the same form.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws.base import floats
from openqueues.models.laws.classes import Classes, Confused, announce, equal_shares, partition
from openqueues.models.laws.discrete import Counted, read_rows
from openqueues.models.laws.parameters import Parameters, spec, unless
from openqueues.models.laws.predictions import PredictionLaw

HISTOGRAM = Path(__file__).parent / "data" / "ssjf_histogram.csv"
FULL = "ssjf_vicuna13b_true_vs_predicted_class.csv"
CUTS = {3: (141, 503), 5: (42, 141, 294, 503)}
"""A true class is the number of cuts that its length in tokens reaches, as the classifiers were trained.

The source's preparation of single-round data labels with these cuts (`length < cut`). Its evaluation script
lists 58, 147, 280, 499 for the five classes, the cuts of the preparation of multi-round data. The lengths
decide: the quartiles of this single-round file are 41, 140 and 294, and the announced classes agree with the
true ones more often under the cuts used here (60.1% against 59.0%).
"""


@dataclass(frozen=True)
class Counts:
    """Rows by length: `first` and `last` length, `tokens` in all, jobs by announced class (of 3, of 5)."""

    first: np.ndarray
    last: np.ndarray
    tokens: np.ndarray
    announced: dict[int, np.ndarray]

    @cached_property
    def jobs(self) -> np.ndarray:
        return self.announced[3].sum(axis=1)

    @cached_property
    def length(self) -> np.ndarray:
        """Mean length by row, in tokens."""
        return self.tokens / self.jobs

    def confusion(self, classes: int) -> np.ndarray:
        """Jobs by (true class, announced class)."""
        true = np.searchsorted(CUTS[classes], self.first, side="right")
        return np.array([self.announced[classes][true == i].sum(axis=0) for i in range(classes)])


@lru_cache(maxsize=1)
def histogram() -> Counts:
    """The counts that the package carries."""
    table = np.array([cells for _, cells in read_rows(str(HISTOGRAM))[1:]], dtype=np.int64)
    return Counts(table[:, 0], table[:, 1], table[:, 2], {3: table[:, 3:6], 5: table[:, 6:11]})


@lru_cache(maxsize=2)
def full(path: str) -> Counts:
    """The counts of every length in the full file; InputError where it is not that file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file without rows is refused below
            columns = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2), dtype=np.int64, ndmin=2)
        length, where = np.unique(columns[:, 0], return_inverse=True)
        announced = {}
        for place, classes in ((1, 3), (2, 5)):
            if np.any(columns[:, place] < 0):
                raise ValueError
            announced[classes] = np.zeros((len(length), classes), dtype=np.int64)
            np.add.at(announced[classes], (where, columns[:, place]), 1)
    except OSError as error:
        raise InputError(f"cannot read the file '{path}': {error.strerror or error}.") from None
    except (ValueError, IndexError):
        right = "give the published table of lengths and classes"
        raise InputError(f"the file '{path}' is not what the law 'ssjf' needs: {right}.") from None
    if not len(length) or length[0] < 1:
        raise InputError(f"the file '{path}' of size law 'ssjf' must hold lengths above 0.")
    return Counts(length, length, length * announced[3].sum(axis=1), announced)


def full_path() -> str | None:
    """The full file in the folder that OPENQUEUES_DATA names, None where there is none."""
    folder = os.environ.get("OPENQUEUES_DATA")
    path = Path(folder, FULL) if folder else None
    return str(path) if path and path.is_file() else None


@dataclass(frozen=True, eq=False, repr=False)
class Ssjf(Counted):
    """The measured lengths, scaled to the mean.

    `data` is histogram or full; the specification may say auto (default), which is full where
    OPENQUEUES_DATA has the file. The canonical text always says which one was used.
    """

    data: str
    counts: Counts
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Ssjf:
        data = given.choice("data", ("auto", "histogram", "full"), "auto")
        mean, path = given.positive("mean", 1.0), full_path()
        if data == "full" and path is None:
            raise InputError(
                f"{given.where} has data=full, but OPENQUEUES_DATA names no folder that holds '{FULL}':"
                " set it, or use data=histogram."
            )
        if data == "histogram" or path is None:
            return cls("histogram", histogram(), mean)
        return cls("full", full(path), mean)

    @property
    def source(self):
        return FULL if self.data == "full" else HISTOGRAM.name

    @property
    def spec(self):
        return spec("ssjf", data=self.data, mean=unless(self.mean, 1.0))

    @property
    def scale(self) -> float:
        """Size of one token."""
        return self.mean * float(self.counts.jobs.sum() / self.counts.tokens.sum())

    @cached_property
    def _values(self):
        return self.counts.length * self.scale

    @property
    def _counts(self):
        return self.counts.jobs


@dataclass(frozen=True, eq=False)
class Measured(Classes):
    """Announced classes as often as they were seen with each length; other sizes take the nearest length."""

    law: Ssjf

    breakpoints = ()

    @cached_property
    def _table(self):
        announced = self.law.counts.announced[len(self.values)]
        return announced / announced.sum(axis=1, keepdims=True)

    def _row(self, x):
        values = self.law.atoms[0]
        return np.searchsorted((values[1:] + values[:-1]) / 2, floats(x))

    def probability(self, x):
        return self._table[self._row(np.atleast_1d(x))]

    def fill(self, rng, sizes, out):
        rng.random(out=out)
        announce(self.values, self._table[:, :-1].cumsum(axis=1), self._row(sizes), out)


@dataclass(frozen=True, eq=False, repr=False)
class SsjfPredictions(PredictionLaw):
    """The measured classifier's 3 or 5 classes; goes with the measured sizes only."""

    count: int = 3

    @classmethod
    def read(cls, given: Parameters) -> SsjfPredictions:
        right = "3 or 5"
        return cls(int(given.number("classes", 3, right=right, valid=lambda v: v in (3, 5))))

    @property
    def spec(self):
        return spec("ssjf", classes=self.count)

    def classes(self, sizes):
        if not isinstance(sizes, Ssjf):
            raise InputError(
                f"prediction law '{self.spec}' was measured with the sizes 'ssjf' and does not go with"
                f" '{sizes.spec}': use 'ssjf', or the prediction law 'classifier:table=ssjf{self.count}'."
            )
        # Half a token below the cut: lengths are whole, and a bin's mean never lies that near.
        edges, _, values = partition(sizes, (np.array(CUTS[self.count]) - 0.5) * sizes.scale)
        return Measured(values, edges, sizes)


@dataclass(frozen=True, eq=False, repr=False)
class Classifier(PredictionLaw):
    """A classifier with a given confusion table, for any sizes.

    The classes cut the sizes at the same probabilities as the true classes of the table. `table` is ssjf3 or
    ssjf5 (the measured classifiers) or the path of a CSV file: a row per true class from short to long, first
    its share of the jobs, then the probabilities to be announced as each class.
    """

    table: str

    @classmethod
    def read(cls, given: Parameters) -> Classifier:
        law = cls(given.text("table", right="ssjf3, ssjf5 or the path of a CSV file"))
        confusion_table(law.table)
        return law

    @property
    def spec(self):
        return spec("classifier", table=self.table)

    def classes(self, sizes):
        shares, table = confusion_table(self.table)
        edges, _, values = partition(sizes, equal_shares(sizes, np.cumsum(shares)[:-1]))
        if len(values) < len(table):
            raise InputError(
                f"the sizes '{sizes.spec}' have too few different values for the {len(table)} classes of"
                f" prediction law '{self.spec}': use sizes with a density or more values."
            )
        return Confused(values, edges, table)


@lru_cache(maxsize=16)
def confusion_table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(shares of the true classes, P(announced | true)) of a table by name or path."""
    if name in ("ssjf3", "ssjf5"):
        jobs = histogram().confusion(int(name[-1]))
        return jobs.sum(axis=1) / jobs.sum(), jobs / jobs.sum(axis=1, keepdims=True)
    if not name.endswith(".csv"):
        known = ("ssjf3", "ssjf5", "a path ending in .csv")
        raise unknown("table of prediction law 'classifier'", name, known)
    where = f"the file '{name}' of prediction law 'classifier'"
    lines = read_rows(name)
    try:
        rows = np.array([cells for _, cells in lines], dtype=float)
    except ValueError:
        raise InputError(f"{where} must have the same count of numbers in every row.") from None
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] != len(rows) + 1:
        raise InputError(f"{where} must have a row per class: its share, then a probability per class.")
    shares, table = rows[:, 0], rows[:, 1:]
    right = np.all(shares > 0) and abs(shares.sum() - 1) < 1e-9
    if not right or not np.all(table >= 0) or not np.allclose(table.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise InputError(f"{where} must have shares above 0 and rows of probabilities, each adding to 1.")
    return shares, table
