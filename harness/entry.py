"""The schema of `problem.toml`: what an entry says about itself, as msgspec structs.

This module imports nothing of the package but the error type, so knowing an entry costs no numerical library.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import re
from pathlib import Path
from typing import Literal

import msgspec
from openqueues.models.errors import InputError, unknown
from openqueues.printed import ALL

Value = bool | int | float | str
Grid = dict[str, list[Value]]
TIERS = ("smoke", "standard", "paper")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
QUESTION = re.compile(r"\d(\.\d)?-[a-z]")


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    """A table of problem.toml."""


class Status(_Part, kw_only=True):
    """State of the theory, kept by hand: nothing that is computed may be written here."""

    state: Literal["open", "partly", "settled"]
    date: datetime.date
    note: str = ""


class Reference(_Part, kw_only=True):
    key: str
    text: str
    reason: str
    url: str = ""


ABBREVIATIONS = {"api", "gpu", "kv", "llm", "slo", "tpot", "ttft", "usd"}


class Metric(_Part, kw_only=True):
    """A metric that `simulate` returns, or only `exact` where it is by analysis; one of an entry is the main one."""

    name: str
    unit: str
    direction: Literal["min", "max"] = "min"
    main: bool = False
    by: Literal["simulation", "analysis"] = "simulation"

    @property
    def title(self) -> str:
        """The name in words: `mean_ttft_s`, whose unit stands beside it, is mean TTFT."""
        words = self.name.split("_")
        if len(words) > 1 and words[-1] in ("s", "ms") and self.unit.split()[:1] == words[-1:]:
            words.pop()
        return " ".join(word.upper() if word in ABBREVIATIONS else word for word in words)

    @property
    def share(self) -> bool:
        """Whether it is a part of a whole: called so, or counted in shares or per cent."""
        return self.name.endswith("share") or self.unit.startswith(("share ", "%"))


Class = Literal["blind", "one bit", "predictions", "distributions", "oracle"]


class Policies(_Part, kw_only=True):
    """Floor: what blind service gives. Ceiling: what clairvoyance gives (none: the entry's bound).

    deciding: the least class of information of a policy that decides, where decisions buy predictions or use them.
    columns: the class that a column makes of who looks at it, where no other policy of the entry shows it.
    """

    floor: str | None = None
    ceiling: str | None = None
    references: list[str] = []
    deciding: Class | None = None
    columns: dict[str, Class] = {}


class Headline(_Part, kw_only=True):
    """The point at which policies are scored; `point` fixes every key of the experiment's grid."""

    experiment: str
    point: dict[str, Value] = {}


class Tier(_Part, kw_only=True):
    """Jobs counted per replication and number of replications; `grid` keeps part of the experiment's grid.

    With 0 replications nothing is simulated: the experiment shows what `exact` gives.
    """

    jobs: int
    replications: int
    grid: Grid = {}


class Tiers(_Part, kw_only=True):
    smoke: Tier = msgspec.field(default_factory=lambda: Tier(jobs=20_000, replications=5))
    standard: Tier = msgspec.field(default_factory=lambda: Tier(jobs=200_000, replications=10))
    paper: Tier = msgspec.field(default_factory=lambda: Tier(jobs=2_000_000, replications=30))


class Point(msgspec.Struct, frozen=True):
    """A point of a grid: its index in the whole grid (the same in every tier) and its parameters."""

    index: int
    parameters: dict[str, Value]

    @property
    def text(self) -> str:
        """Canonical JSON, which seeds and result rows carry."""
        return canonical(self.parameters)


class Experiment(_Part, kw_only=True):
    """A grid of points on which policies are run. `x` is the figure's axis (default: first key of grid)."""

    name: str
    title: str
    grid: Grid
    x: str = ""
    fixed: dict[str, Value] = {}
    policies: list[str] = []
    tiers: Tiers = msgspec.field(default_factory=Tiers)

    def tier(self, name: str) -> Tier:
        """The tier called `name`; InputError when there is none."""
        if name not in TIERS:
            raise unknown("tier", name, TIERS)
        return getattr(self.tiers, name)

    def points(self, tier: str | None = None) -> list[Point]:
        """The points of the grid, last key fastest; with a tier, those that the tier keeps."""
        keep = self.tier(tier).grid if tier else {}
        points = []
        for index, values in enumerate(itertools.product(*self.grid.values())):
            chosen = dict(zip(self.grid, values, strict=True))
            if all(chosen[key] in kept for key, kept in keep.items()):
                points.append(Point(index, self.fixed | chosen))
        return points


class Expected(_Part, kw_only=True):
    """Printed numbers: `values` holds a line per row, the row's value and then the printed digits per column.

    A cell may be a range: 1.66..2.01. In the row * a cell ..5.1 says that the largest value of the column, over all
    points of the experiment that `at` leaves, is 5.1 ("up to 5.1"). A hyphen stands for a number that is not printed.
    `noise` is the relative error allowed for a print that was simulated or measured: one number, or one per row.
    `at` fixes the grid's other keys. `assumed` says what is not known of the source's setting, and taken here.
    """

    experiment: str
    metric: str
    source: str
    made_by: Literal["formula", "simulation", "measurement"]
    rows: str
    columns: list[str]
    values: str
    noise: float | dict[str, float] = 0.0
    at: dict[str, Value] = {}
    assumed: str = ""

    def cells(self) -> list[tuple[str, str, str]]:
        """(row as printed, policy, printed digits) for every number printed."""
        cells = []
        for line in self.values.strip().splitlines():
            row, *digits = line.split()
            cells += [(row, policy, text) for policy, text in zip(self.columns, digits, strict=True) if text != "-"]
        return cells

    def noise_at(self, row: str) -> float:
        """Relative noise allowed in this row."""
        return self.noise[row] if isinstance(self.noise, dict) else self.noise


class Anchor(_Part, kw_only=True):
    """A special case with a value known exactly, checked against `exact` and `simulate`."""

    name: str
    point: dict[str, Value]
    policy: str
    metric: str
    value: float
    why: str


class Bound(_Part, kw_only=True):
    name: str
    kind: Literal["lower", "upper"]
    text: str


class Schema(_Part, kw_only=True):
    """All of problem.toml. `model` says whose built-in policies its names mean: the queues' or the LLM engine's."""

    title: str
    summary: str
    statement: str
    metrics: list[Metric]
    experiments: list[Experiment]
    answers: list[str] = []
    version: int = 1
    kind: Literal["question", "reproduction"] = "question"
    model: Literal["queue", "llm"] = "queue"
    known: str = ""
    improve: str = ""
    status: Status | None = None
    references: list[Reference] = []
    policies: Policies = msgspec.field(default_factory=Policies)
    headline: Headline | None = None
    expected: list[Expected] = []
    anchors: list[Anchor] = []
    bounds: list[Bound] = []


class Entry(Schema, kw_only=True):
    """An entry: what its problem.toml says, its name, its folder and the stems of its own policy files."""

    slug: str
    folder: Path
    own_policies: list[str] = []

    @property
    def main(self) -> Metric:
        """The metric by which policies are scored."""
        return next(metric for metric in self.metrics if metric.main)

    @property
    def simulated(self) -> list[str]:
        """Names of the metrics that `simulate` must return."""
        return [metric.name for metric in self.metrics if metric.by == "simulation"]

    @property
    def all_policies(self) -> list[str]:
        """Floor, ceiling, references, then the entry's own policy files that none of these names; each once."""
        named = [self.policies.floor, self.policies.ceiling, *self.policies.references]
        stems = {name.partition(":")[0] for name in named if name}
        others = [stem for stem in self.own_policies if stem not in stems]
        return list(dict.fromkeys(name for name in [*named, *others] if name))

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`; InputError with the nearest name when there is none."""
        for experiment in self.experiments:
            if experiment.name == name:
                return experiment
        raise unknown(f"experiment of {self.slug}", name, [e.name for e in self.experiments])

    def policies_of(self, experiment: Experiment) -> list[str]:
        """Policies that an experiment runs: those it lists, else all of the entry."""
        return list(dict.fromkeys(experiment.policies)) or self.all_policies

    def headline_point(self) -> Point | None:
        """The point at which policies are scored, None for an entry without a headline."""
        if self.headline is None:
            return None
        experiment = self.experiment(self.headline.experiment)
        return find_point(experiment, self.headline.point)


def canonical(parameters: dict[str, Value]) -> str:
    """Parameters as JSON text with sorted keys: equal parameters give equal text."""
    return json.dumps(parameters, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def file_name(policy: str) -> str:
    """A policy specification as a file name: characters that shells or file systems mind become `_`, a comma `+`.

    Snakemake hands a job of a cluster its wildcards with commas between them, and so loses what follows one in a name.
    """
    return re.sub(r"[^A-Za-z0-9.=+-]", "_", policy.replace(",", "+"))


def find_point(experiment: Experiment, chosen: dict[str, Value]) -> Point:
    """The one point of the experiment that has the chosen values; InputError when none or several have."""
    for key in chosen:
        if key not in experiment.grid and key not in experiment.fixed:
            raise unknown("parameter", key, [*experiment.grid, *experiment.fixed])
    found = [p for p in experiment.points() if all(p.parameters[k] == v for k, v in chosen.items())]
    if len(found) != 1:
        many = "no point" if not found else f"{len(found)} points"
        keys = ", ".join(f"{key} ({', '.join(map(repr, values))})" for key, values in experiment.grid.items())
        raise InputError(f"{chosen} picks {many} of experiment '{experiment.name}': give one value of each of {keys}.")
    return found[0]


def points_of(experiment: Experiment, expected: Expected, row: str, place: str = "") -> list[Point]:
    """The points that a printed row belongs to: one, or for the row * all that `at` leaves; InputError for none."""
    if row == ALL:
        chosen = expected.at.items()
        found = [p for p in experiment.points() if all(p.parameters.get(key) == value for key, value in chosen)]
        if not found:
            raise InputError(f"{place}: no point of experiment '{experiment.name}' has {expected.at}: correct at.")
        return found
    return [point_of(experiment, expected, row, place)]


def point_of(experiment: Experiment, expected: Expected, row: str, place: str = "") -> Point:
    """The point that a printed row belongs to; InputError when the grid does not hold it."""
    for value in experiment.grid[expected.rows]:
        if str(value) == row or (not isinstance(value, str) and _number(row) == value):
            try:
                return find_point(experiment, {expected.rows: value} | expected.at)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
    values = ", ".join(map(str, experiment.grid[expected.rows]))
    raise InputError(f"{place}: the row {row} is not a value of {expected.rows} in the grid ({values}): correct it.")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
