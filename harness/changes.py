"""Which numbers moved between two folders of results, by how much, and beyond what the replications explain.

Points are paired by their parameters, and replications by their seeds: both sides met the same jobs, so without a
change all numbers are the same, and a mean moves by the difference of pairs, whose interval is far narrower than its
own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas
from openqueues import registry, results
from openqueues.models.errors import InputError
from openqueues.pages import data, standing
from openqueues.statistics import summary
from openqueues.verdicts import verdicts

if TYPE_CHECKING:
    from openqueues.entry import Entry

VALUE = ["experiment", "policy", "parameters", "metric"]  # what is compared of an entry
PAIR = [*VALUE, "source", "replication", "seed"]
ROUNDING = {"rtol": 1e-9, "atol": 1e-12}  # of sums in another order or by another processor
# source: columns of openqueues.statistics.summary with its value and with half the width of its interval
SOURCES = {"simulation": ("mean", "halfwidth"), "analysis": ("exact", "exact_error"), "bound": ("bound", None)}
STOPPED = ("failed", "timeout")


class Change(NamedTuple):
    """What differs in an entry that both folders hold.

    `moved` has a row per value that moved: experiment, policy, parameters (JSON text), metric, source, old and new
    with old_width and new_width (95%, or the error of an analysis), change and width (of its interval: of the paired
    replications where they are the same on both sides), apart (whether the intervals of old and new no longer overlap),
    headline (at the headline point, and of the main metric), main (of the main metric), exact (by analysis) and size
    (|change| as a share of the larger value). Those come first that are apart, then those of the main metric, then what
    is exact, then the largest. `best` holds the words for the best policy at the headline, before and after, where the
    new results have all its policies. Cells are (experiment, policy).
    """

    slug: str
    versions: tuple[int, int]
    compared: int
    moved: pandas.DataFrame
    best: tuple[str, ...]
    verdicts: dict[str, list[str]]  # printed values by what became of their verdict, such as "agrees → differs"
    settings: list[str]  # jobs, replications, points and metrics that are others than before
    appeared: list[tuple[str, str]]
    gone: list[tuple[str, str]]
    stopped: list[tuple[str, str]]  # failed, or out of time, and did not before
    unsteady: list[tuple[str, str]]  # unstable at a point where they were not before, or the other way round


class Comparison(NamedTuple):
    """Changes by entry; entries that only one folder holds, and how many have the same bytes in both."""

    changes: list[Change]
    only_old: list[str]
    only_new: list[str]
    same: int


def compare(old: Path, new: Path) -> Comparison:
    """Compare two folders of results of one tier, entry by entry; InputError where one holds none."""
    sides = [{file.parents[1].name for file in folder.glob("*/*/*.parquet")} for folder in (old, new)]
    for folder, slugs in zip((old, new), sides, strict=True):
        if not slugs:
            raise InputError(f"{folder} holds no results: name a folder that `snakemake` or `openqueues run` has made.")
    both = sorted(sides[0] & sides[1])
    differing = [slug for slug in both if _bytes(old / slug) != _bytes(new / slug)]
    return Comparison(
        [_entry(slug, results.load(old / slug), results.load(new / slug)) for slug in differing],
        sorted(sides[0] - sides[1]),
        sorted(sides[1] - sides[0]),
        len(both) - len(differing),
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.glob("*/*.parquet")}


def _entry(slug: str, old: pandas.DataFrame, new: pandas.DataFrame) -> Change:
    cells = [_cells(frame) for frame in (old, new)]
    stopped = [_cells(frame[frame["status"].isin(STOPPED)]) for frame in (old, new)]
    unstable = [_points(frame[frame["status"] == "unstable"]) for frame in (old, new)]
    turned = (unstable[0] ^ unstable[1]) & _points(old) & _points(new)
    compared, moved = _moved(old, new)
    entry = registry.entry(slug) if slug in registry.slugs() else None
    moved, best, said = _read(entry, moved, old, new) if entry else (moved.assign(main=False, headline=False), (), {})
    return Change(
        slug,
        (int(old["version"].max()), int(new["version"].max())),
        compared,
        moved.sort_values(["apart", "main", "exact", "size"], ascending=False, kind="stable", ignore_index=True),
        best,
        said,
        _settings(old, new),
        sorted(cells[1] - cells[0]),
        sorted(cells[0] - cells[1]),
        sorted(stopped[1] - stopped[0]),
        sorted({place[:2] for place in turned} - stopped[0] - stopped[1]),
    )


def _settings(old: pandas.DataFrame, new: pandas.DataFrame) -> list[str]:
    """What was run that is not what was run before, in words."""
    lines = []
    for experiment in sorted(set(old["experiment"]) & set(new["experiment"])):
        sides = [frame[frame["experiment"] == experiment] for frame in (old, new)]
        runs = [one[one["source"] == "simulation"].groupby(VALUE)["n"].agg(["size", "max"]).max() for one in sides]
        before, now = (f"{one['size']:.0f} replications of {one['max']:.0f} jobs" for one in runs)
        if before != now:
            lines.append(f"{experiment}: {before} → {now}")
        before, now = (set(one["parameters"]) for one in sides)
        if before != now:
            lines.append(f"{experiment}: {len(now - before)} points are new, {len(before - now)} gone")
    before, now = (set(frame["metric"]) for frame in (old, new))
    lines += [f"metrics that are new: {', '.join(sorted(now - before))}"] if now - before else []
    return lines + ([f"metrics that are gone: {', '.join(sorted(before - now))}"] if before - now else [])


def _cells(frame: pandas.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["experiment"], frame["policy"], strict=True))


def _points(frame: pandas.DataFrame) -> set[tuple[str, str, str]]:
    return set(zip(frame["experiment"], frame["policy"], frame["parameters"], strict=True))


def _moved(old: pandas.DataFrame, new: pandas.DataFrame) -> tuple[int, pandas.DataFrame]:
    """(number of values that both sides have, those that moved)."""
    pairs = old[old["source"] == "simulation"].merge(new, on=PAIR, suffixes=("_old", ""))
    pairs = pairs[(pairs["status"] == "ok") & (pairs["status_old"] == "ok")]
    pairs = summary(pairs.assign(value=pairs["value"] - pairs["value_old"])[[*new.columns]])
    joined = summary(new).merge(summary(old), on=VALUE, suffixes=("_new", "_old"))
    joined = joined.merge(pairs[[*VALUE, "replications", "halfwidth"]], on=VALUE, how="left")
    paired = joined[["replications_old", "replications_new"]].eq(joined["replications"], axis=0).all(axis=1)
    parts = []
    for source, (value, width) in SOURCES.items():
        found = joined[VALUE].assign(source=source)
        for side in ("old", "new"):
            found[side] = joined[f"{value}_{side}"]
            found[f"{side}_width"] = joined[f"{width}_{side}"].fillna(0.0) if width else 0.0
        found["change"] = found["new"] - found["old"]
        found["width"] = found["old_width"] + found["new_width"]
        if source == "simulation":
            unpaired = np.hypot(found["old_width"], found["new_width"])
            found["width"] = joined["halfwidth"].where(paired, unpaired)
        if source == "bound":  # which is the same for every policy
            found = found.assign(policy=source).drop_duplicates(VALUE)
        parts.append(found[np.isfinite(found["new"]) & np.isfinite(found["old"])])
    every = pandas.concat(parts, ignore_index=True)
    moved = every[~np.isclose(every["new"], every["old"], **ROUNDING)].copy()
    moved["exact"] = moved["source"] == "analysis"
    gap = (moved["new"] - moved["old"]).abs()
    moved["apart"] = gap > moved["old_width"] + moved["new_width"]
    moved["size"] = gap / moved[["old", "new"]].abs().max(axis=1)
    return len(every), moved


def _read(entry: Entry, moved: pandas.DataFrame, old: pandas.DataFrame, new: pandas.DataFrame) -> tuple:
    """(the rows with main and headline, the best before and after, verdicts that changed) by the entry as it is now."""
    moved = moved.assign(main=moved["metric"] == entry.main.name, headline=False)
    sides, best = [_of(entry, frame) for frame in (old, new)], ()
    if (point := entry.headline_point()) is not None:
        name = entry.headline.experiment
        moved["headline"] = moved["main"] & (moved["experiment"] == name) & (moved["parameters"] == point.text)
        if {(name, policy) for policy in entry.policies_of(entry.experiment(name))} <= _cells(sides[1].frame):
            best = tuple(standing.described(entry, standing.leading(entry, data.board(side))) for side in sides)
    said: dict[str, list[str]] = {}
    both = _cells(sides[0].frame) & _cells(sides[1].frame)
    rows = (verdicts(entry, side.frame).itertuples() for side in sides)
    for before, now in zip(*rows, strict=True):
        if before.verdict != now.verdict and (now.experiment, now.policy) in both:
            place = f"{now.source}, {now.policy} at {now.row}, printed {now.printed}"
            said.setdefault(f"{before.verdict} → {now.verdict}", []).append(place)
    return moved, best, said


def _of(entry: Entry, frame: pandas.DataFrame) -> data.Data:
    """Results with the numbers that points have in the entry's grids now; points that are no longer there left out."""
    numbers = {(one.name, point.text): point.index for one in entry.experiments for point in one.points()}
    where = [numbers.get(place, -1) for place in zip(frame["experiment"], frame["parameters"], strict=True)]
    frame = frame.assign(point=where)[np.array(where) >= 0]
    return data.Data(entry, "", frame, frame)
