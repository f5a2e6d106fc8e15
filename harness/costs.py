"""What a cell costs: seconds of one core and memory, from rates that were measured cell by cell.

`costs.csv` beside the entries holds the rates; `openqueues plan --measure` writes it. A cell that is not in it costs
what the dearest cell of its entry does, or a typical cell where its entry is not in it either. Nothing heavy is
imported here: the workflow asks for costs while it is read.
"""

from __future__ import annotations

import csv
import functools
import math
import statistics
from pathlib import Path

import msgspec
from openqueues import registry
from openqueues.entry import Entry, Experiment
from openqueues.models.errors import InputError

TABLE = "costs.csv"
KEYS = ("problem", "experiment", "policy")
CELL_SECONDS = 0.2  # to start a cell whose libraries are loaded already, and to write its results
BASE_MB = 1500  # Python, numba and the kernels: thrice what was seen, for few sites give a core less
# Of a job on a cluster, before its first cell starts. Measured in CPU time on Zen 4, and rounded up: Snakemake reads
# the workflow, 2.4 s, and libraries are loaded, 1.8 s.
JOB_SECONDS = 5.0
# Cells of one cluster job together take at most this; where a job is full, at least a quarter of it.
WORK_SECONDS = 400.0
MOST_CELLS = 1024


class Rates(msgspec.Struct, frozen=True):
    """Seconds and megabytes per million simulated jobs, the latter of one replication; seconds per point beside it."""

    seconds: float
    point_seconds: float
    megabytes: float


FIELDS = Rates.__struct_fields__
TYPICAL = Rates(1.0, 0.1, 100.0)  # where nothing was measured at all


class Cost(msgspec.Struct, frozen=True):
    """Seconds of one core, and memory in MB, that a cell is expected to take."""

    seconds: float
    memory_mb: int

    @property
    def minutes(self) -> int:
        """Time that a cluster is asked for: three times what is expected, and two minutes for what is not."""
        return 2 + math.ceil(3 * self.seconds / 60)

    @property
    def share(self) -> int:
        """How many such cells make a job of a cluster: a power of four, for few sizes leave few jobs half empty."""
        fitting = WORK_SECONDS / self.seconds
        return min(MOST_CELLS, 4 ** max(0, math.floor(math.log(fitting, 4))))


def of(entry: Entry, experiment: Experiment, policy: str, tier: str) -> Cost:
    """Cost of the cell of a policy, by its name in results, in an experiment at a tier."""
    rates = _rates(entry.slug, experiment.name, policy)
    size, points = experiment.tier(tier), len(experiment.points(tier))
    millions = size.jobs / 1e6
    seconds = points * (rates.point_seconds + rates.seconds * millions * size.replications)
    return Cost(CELL_SECONDS + seconds, math.ceil(BASE_MB + 1.5 * rates.megabytes * millions))


def write(rows: dict[tuple[str, str, str], Rates], file: Path) -> None:
    """Write rates by (problem, experiment, policy) as a table, three digits each."""
    lines = [",".join([*KEYS, *FIELDS])]
    for key, rates in sorted(rows.items()):
        lines.append(",".join([*map(_quoted, key), *(f"{getattr(rates, name):.3g}" for name in FIELDS)]))
    temporary = file.with_name(f".{file.name}")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(file)


def read(file: Path) -> dict[tuple[str, str, str], Rates]:
    """Rates by (problem, experiment, policy); empty without the file, InputError where a line cannot be read."""
    if not file.is_file():
        return {}
    rows = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                rows[tuple(row[key] for key in KEYS)] = Rates(*(float(row[name]) for name in FIELDS))
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{file}, line {number}: not a row of costs: make the file again.") from error
    return rows


def table() -> Path:
    """Where the rates of the entries that are found are kept."""
    return registry.problems_folder() / TABLE


def forget() -> None:
    """Read the table again: it has been written."""
    _rows.cache_clear()
    _of_entry.cache_clear()


def _quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text


@functools.cache
def _rows(file: Path) -> dict[tuple[str, str, str], Rates]:
    return read(file)


@functools.cache
def _of_entry(file: Path, problem: str) -> Rates:
    """Rates of an unknown cell of this entry: the worst of the entry's, else the median of all."""
    rows = _rows(file)
    known = [rates for key, rates in rows.items() if key[0] == problem]
    choose = max if known else statistics.median
    known = known or list(rows.values()) or [TYPICAL]
    return Rates(*(choose(getattr(rates, name) for rates in known) for name in FIELDS))


def _rates(problem: str, experiment: str, policy: str) -> Rates:
    file = table()
    return _rows(file).get((problem, experiment, policy)) or _of_entry(file, problem)
