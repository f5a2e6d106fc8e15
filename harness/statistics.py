"""Numbers from replications: Student intervals, paired differences, the share of a gap closed.

Unstable replications are never averaged: where one is, the mean is NaN and the status says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas
from openqueues.models.errors import InputError, unknown
from scipy.special import stdtrit

if TYPE_CHECKING:
    from openqueues.entry import Entry

CELL = ["problem", "experiment", "policy", "point", "metric"]
LEVEL = 0.95
# Of several statuses among the replications of a point, the first of these counts.
WORST = ("failed", "timeout", "unstable", "ok")


def halfwidth(values: np.ndarray, level: float = LEVEL) -> float:
    """Half the width of the Student interval for the mean of independent values; NaN for fewer than two."""
    if len(values) < 2:
        return np.nan
    return student(level, len(values)) * float(np.std(values, ddof=1)) / np.sqrt(len(values))


def mean_and_halfwidth(values: Sequence[float]) -> tuple[float, float]:
    """Mean of independent values with the half-width of its 95% Student interval."""
    return float(np.mean(values)), halfwidth(np.asarray(values))


def student(level: float, replications: int) -> float:
    """Two-sided quantile of Student's law for a mean of so many replications; NaN for fewer than two."""
    return float(stdtrit(replications - 1, 0.5 + level / 2)) if replications > 1 else np.nan


def summary(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A row per problem, experiment, policy, point and metric, sorted by these.

    Columns beside these: version, parameters (JSON text), mean and halfwidth (95% Student, of the
    replications; NaN unless all are ok), replications, n (jobs counted in all), status, exact and
    exact_error (from analysis), bound; NaN where there is none.
    """
    simulated = frame[frame["source"] == "simulation"]
    groups = simulated.groupby(CELL, sort=False)
    table = groups.agg(
        version=("version", "first"),
        parameters=("parameters", "first"),
        mean=("value", "mean"),
        spread=("value", "std"),
        replications=("value", "size"),
        n=("n", "sum"),
        status=("status", _worst),
    ).reset_index()
    counts = table["replications"].to_numpy()
    factor = np.array([student(LEVEL, count) for count in counts], dtype=float)
    table["halfwidth"] = factor * table.pop("spread").to_numpy(dtype=float) / np.sqrt(counts)
    table.loc[table["status"] != "ok", ["mean", "halfwidth"]] = np.nan
    for source, columns in (
        ("analysis", {"value": "exact", "error": "exact_error"}),
        ("bound", {"value": "bound"}),
    ):
        found = frame[frame["source"] == source]
        found = found[[*CELL, "version", "parameters", *columns]].rename(columns=columns)
        table = table.merge(found, on=CELL, how="outer", suffixes=("", "_found"))
        for column in ("version", "parameters"):
            table[column] = table[column].fillna(table.pop(f"{column}_found"))
    table["version"] = table["version"].astype("int64")
    table[["replications", "n"]] = table[["replications", "n"]].fillna(0).astype("int64")
    table["status"] = table["status"].fillna("ok")
    order = [*CELL[:4], "parameters", "metric", "version", "mean", "halfwidth", "replications", "n", "status"]
    return table[[*order, "exact", "exact_error", "bound"]].sort_values(CELL, ignore_index=True)


def paired(frame: pandas.DataFrame, a: str, b: str, metric: str) -> pandas.DataFrame:
    """Difference a - b of a metric on common random numbers, a row per problem, experiment and point.

    Columns: problem, experiment, point, parameters, difference, halfwidth (95% Student of the replications'
    differences), relative (difference over the mean of b), replications. A point where a replication of
    either policy is not ok has NaN. Raises InputError for a policy or metric that the frame does not hold.
    """
    sides = [_replications(frame, policy, metric) for policy in (a, b)]
    keys = ["problem", "experiment", "point", "parameters", "replication", "seed"]
    both = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"))
    rows = []
    for where, group in both.groupby(keys[:4]):
        fine = bool(((group["status_a"] == "ok") & (group["status_b"] == "ok")).all())
        gaps = (group["value_a"] - group["value_b"]).to_numpy()
        mean = float(gaps.mean()) if fine else np.nan
        rows.append(
            dict(zip(keys[:4], where, strict=True))
            | {"difference": mean, "halfwidth": halfwidth(gaps) if fine else np.nan}
            | {"relative": mean / float(group["value_b"].mean()), "replications": len(group)}
        )
    columns = [*keys[:4], "difference", "halfwidth", "relative", "replications"]
    return pandas.DataFrame(rows, columns=columns)


def score(entry: Entry, frame: pandas.DataFrame, metric: str | None = None) -> pandas.DataFrame:
    """Gap closed at the headline point: (floor - x) / (floor - ceiling), 0 at the floor and 1 at the ceiling.

    A row per policy of the headline's experiment, with policy, score, halfwidth, mean, mean_halfwidth and
    source. Source analysis: all three numbers are exact, and half-widths are error bounds. Source
    simulation: replications are paired, and half-widths are 95%. All rows have the source analysis if all
    can, else simulation, on common random numbers, so that rows can be compared; where one is missing or
    unstable, the other. The score is NaN where both are, or where floor and ceiling cannot be told apart.
    Without a ceiling, the entry's bound takes its place. An empty frame comes back for an entry without
    headline or floor.
    """
    columns = ["policy", "score", "halfwidth", "mean", "mean_halfwidth", "source"]
    point = entry.headline_point()
    if point is None or entry.policies.floor is None:
        return pandas.DataFrame(columns=columns)
    experiment = entry.experiment(entry.headline.experiment)
    metric = metric or entry.main.name
    here = frame[
        (frame["problem"] == entry.slug)
        & (frame["experiment"] == experiment.name)
        & (frame["point"] == point.index)
        & (frame["metric"] == metric)
    ]
    policies = entry.policies_of(experiment)
    exact = {policy: _exact_score(entry, here, policy) for policy in policies}
    simulated = {policy: _simulated_score(entry, here, policy) for policy in policies}
    # An exact number beside simulated ones would win or lose by the noise that it does not share with them.
    comparable = all(exact[policy] for policy in policies if _values(here, policy) is not None)
    rows = []
    for policy in policies:
        first, second = (exact, simulated) if comparable else (simulated, exact)
        found = first[policy] if first[policy] and not np.isnan(first[policy][0]) else second[policy]
        rows.append(dict(zip(columns, (policy, *(found or first[policy])), strict=True)))
    return pandas.DataFrame(rows, columns=columns)


def _worst(statuses: pandas.Series) -> str:
    present = set(statuses)
    return next(status for status in WORST if status in present)


def _replications(frame: pandas.DataFrame, policy: str, metric: str) -> pandas.DataFrame:
    for column, name in (("policy", policy), ("metric", metric)):
        if name not in set(frame[column]):
            raise unknown(f"{column} in these results", name, set(frame[column]))
    chosen = (frame["policy"] == policy) & (frame["metric"] == metric) & (frame["source"] == "simulation")
    if not chosen.any():
        raise InputError(f"policy '{policy}' has no simulated {metric} in these results: run it.")
    keys = ["problem", "experiment", "point", "parameters", "replication", "seed", "value", "status"]
    return frame.loc[chosen, keys]


def _exact_score(entry: Entry, here: pandas.DataFrame, policy: str) -> tuple | None:
    """The score from exact values only, None where one is missing."""
    exact = here[here["source"] == "analysis"].set_index("policy")[["value", "error"]]
    roles = (entry.policies.floor, policy, entry.policies.ceiling)
    if any(role not in exact.index for role in roles):
        return None
    (floor, floor_error), (value, error), (ceiling, ceiling_error) = (exact.loc[role] for role in roles)
    gap = floor - ceiling
    if abs(gap) <= floor_error + ceiling_error:
        return np.nan, np.nan, value, error, "analysis"
    closed = (floor - value) / gap
    bound = (error + abs(1 - closed) * floor_error + abs(closed) * ceiling_error) / abs(gap)
    fixed = policy in (entry.policies.floor, entry.policies.ceiling)
    return closed, 0.0 if fixed else bound, value, error, "analysis"


def _simulated_score(entry: Entry, here: pandas.DataFrame, policy: str) -> tuple:
    """The score from paired replications: a ratio of means, with the interval of its linearisation."""
    values = _values(here, policy)
    if values is None:
        return np.nan, np.nan, np.nan, np.nan, "simulation"
    mean, width = float(values.mean()), halfwidth(values.to_numpy())
    nothing = (np.nan, np.nan, mean, width, "simulation")
    floor = _values(here, entry.policies.floor)
    ceiling = _values(here, entry.policies.ceiling) if entry.policies.ceiling else _bound(here, policy, values)
    if (
        floor is None
        or ceiling is None
        or not (values.index.equals(floor.index) and values.index.equals(ceiling.index))
    ):
        return nothing
    gap = (floor - ceiling).to_numpy()
    if not abs(gap.mean()) > halfwidth(gap):
        return nothing
    closed = float((floor - values).mean() / gap.mean())
    residual = (floor - values).to_numpy() - closed * gap
    return closed, halfwidth(residual) / abs(float(gap.mean())), mean, width, "simulation"


def _values(here: pandas.DataFrame, policy: str) -> pandas.Series | None:
    """A policy's replications by number, None unless all are ok."""
    own = here[(here["policy"] == policy) & (here["source"] == "simulation")]
    if own.empty or (own["status"] != "ok").any():
        return None
    return own.set_index("replication")["value"].sort_index()


def _bound(here: pandas.DataFrame, policy: str, values: pandas.Series) -> pandas.Series | None:
    own = here[(here["policy"] == policy) & (here["source"] == "bound")]
    return None if own.empty else pandas.Series(float(own["value"].iloc[0]), index=values.index)
