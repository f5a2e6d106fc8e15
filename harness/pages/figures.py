"""Figures of an experiment: a metric against the experiment's axis, a line or a row of marks per policy.

Exact values are lines; simulated means are markers with 95% intervals. Against load, the axis is logarithmic
in 1/(1 - load), and a metric that grows like 1/(1 - load) is shown times (1 - load), or everything but the
last load would be flat.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from openqueues.pages import labels, style, unstable

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from openqueues.entry import Experiment, Metric

WIDTH = 8.0  # inches, the width of the text column
PANELS = 9  # more than this in one figure cannot be read


class Drawing(NamedTuple):
    """A figure with what its caption and its replacement text say."""

    key: str
    title: str
    figure: Figure
    caption: str
    alt: str


def draw(experiment: Experiment, metric: Metric, data: pandas.DataFrame, policies: list[str]) -> list[Drawing]:
    """Figures of one metric of an experiment; several when the grid has too many panels for one.

    `data` has a row per policy and point: the grid's columns, policy, mean, halfwidth, exact, status. Rows without a
    finite value are left out, but where a policy is unstable a mark at the edge says so; without rows left there is
    no figure.
    """
    finite = np.isfinite(data["mean"]) | np.isfinite(data["exact"])
    data, lost = data[finite], data[~finite & (data["status"] == "unstable")]
    if data.empty:
        return []
    if data[experiment.x].nunique() == 1:  # a tier may leave one value of the axis: take the next key that varies
        varying = [key for key in experiment.grid if data[key].nunique() > 1]
        experiment = msgspec.structs.replace(experiment, x=(varying or [experiment.x])[0])
    keys = [key for key in experiment.grid if key != experiment.x and data[key].nunique() > 1]
    panels = math.prod(data[key].nunique() for key in keys)
    split, keys = (keys[0], keys[1:]) if panels > PANELS and len(keys) > 1 else (None, keys)
    drawings = []
    for value in _values(experiment, data, split):
        part = data if split is None else data[data[split] == value]
        more = "" if split is None else f", {split} {value}"
        stem = "" if split is None else f"-{list(experiment.grid[split]).index(value) + 1}"
        without = lost if split is None else lost[lost[split] == value]
        drawings.append(_one(experiment, metric, part, without, policies, keys, more, stem))
    return drawings


def _values(experiment: Experiment, data: pandas.DataFrame, key: str | None) -> list:
    """Values of a grid key that occur in the data, in the grid's order."""
    return [None] if key is None else [value for value in experiment.grid[key] if (data[key] == value).any()]


def _one(
    experiment: Experiment,
    metric: Metric,
    data: pandas.DataFrame,
    lost: pandas.DataFrame,
    policies: list[str],
    keys: list[str],
    more: str,
    stem: str,
) -> Drawing:
    combinations = list(itertools.product(*(_values(experiment, data, key) for key in keys)))
    numeric = all(isinstance(value, (int, float)) for value in experiment.grid[experiment.x])
    policies = [policy for policy in policies if (data["policy"] == policy).any()]
    heavy = _heavy(experiment, data)
    scaled = heavy and _explodes(data)
    columns = min(len(combinations), 2 if len(combinations) in (2, 4) or not numeric else 3)
    rows = math.ceil(len(combinations) / columns)
    categories = _values(experiment, data, experiment.x)
    tall = 0.9 + (0.25 + 0.035 * len(policies)) * len(categories)
    height = (4.2 if len(combinations) == 1 else 3.0) if numeric else tall
    figure = style.figure(WIDTH, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=not numeric)
    order = _order(data, policies, experiment)
    for place, (axis, chosen) in enumerate(itertools.zip_longest(axes.flat, combinations)):
        if chosen is None:
            axis.set_axis_off()
            continue
        part, without = data, lost[lost["policy"].isin(policies) & lost[experiment.x].isin(data[experiment.x])]
        for key, value in zip(keys, chosen, strict=True):
            part, without = part[part[key] == value], without[without[key] == value]
        if keys:
            axis.set_title(labels.of_panel(dict(zip(keys, chosen, strict=True)), WIDTH / columns), pad=6)
        if numeric:
            _lines(axis, experiment, metric, part, order, scaled, {*part[experiment.x], *without[experiment.x]})
            unstable.band(axis, "y", _marks(without, experiment.x, order, heavy), metric.direction)
            axis.set_xlabel(labels.of_axis(experiment.x, heavy) if place >= len(combinations) - columns else "")
            axis.set_ylabel(labels.of_metric(metric, scaled, height) if place % columns == 0 else "")
        else:
            _rows(axis, experiment, metric, part, order, categories)
            unstable.band(axis, "x", _marks_in_rows(without, experiment.x, order, categories), metric.direction)
            axis.set_xlabel(labels.of_metric(metric, False, WIDTH) if place >= len(combinations) - columns else "")
    if len(combinations) == 1 and numeric:
        labels.of_lines(axes[0, 0], order)
    else:
        style.legend(figure, order, lines=numeric)
    exact, simulated = np.isfinite(data["exact"]).any(), bool((data["halfwidth"] > 0).any())
    caption = _caption(experiment, metric, more, scaled, numeric, exact, simulated)
    if lost["policy"].isin(policies).any():
        caption += " In the band at the edge: policies that are unstable there."
    named = ", ".join(map(style.name, order))
    alt = f"{metric.title} against {experiment.x} for {named}{more}"
    return Drawing(stem, more.removeprefix(", "), figure, caption, alt)


def _heavy(experiment: Experiment, data: pandas.DataFrame) -> bool:
    """Whether the axis is a load that stays below 1; where some load is 1 or more it is an axis like others."""
    return experiment.x == "load" and all(0 <= load < 1 for load in data["load"])


def _explodes(data: pandas.DataFrame) -> bool:
    """Whether values grow so much along the loads that they are better shown times (1 - load).

    Response times grow like 1/(1 - load); a ratio of two of them may grow, too, but far less.
    """
    best = data["exact"].where(np.isfinite(data["exact"]), data["mean"]).groupby(data["load"]).max().sort_index()
    load = best.index
    least = max(4.0, math.sqrt((1 - load[0]) / (1 - load[-1])))
    return bool(best.iloc[0] > 0 and best.iloc[-1] > least * best.iloc[0])


def _order(data: pandas.DataFrame, policies: list[str], experiment: Experiment) -> list[str]:
    """Policies from the largest to the smallest value at the end of the axis: the order of the lines."""
    last = [value for value in experiment.grid[experiment.x] if (data[experiment.x] == value).any()][-1]
    at = data[data[experiment.x] == last]
    best = at["exact"].where(np.isfinite(at["exact"]), at["mean"]).groupby(at["policy"]).mean()
    return sorted(policies, key=lambda policy: (-best.get(policy, -math.inf), policy))


def _lines(
    axis: Axes,
    experiment: Experiment,
    metric: Metric,
    data: pandas.DataFrame,
    policies: list[str],
    scaled: bool,
    values: set[float],
) -> None:
    """A line per policy, with its marks; ticks at the values of the axis."""
    heavy = _heavy(experiment, data)
    place = _place(heavy)
    for layer, policy in enumerate(policies):
        look = style.look(policy)
        own = data[data["policy"] == policy].sort_values(experiment.x)
        if own.empty:
            continue
        load = own[experiment.x].to_numpy(dtype=float)
        factor = 1 - load if scaled else np.ones_like(load)
        mean, exact = own["mean"].to_numpy() * factor, own["exact"].to_numpy() * factor
        half = np.nan_to_num(own["halfwidth"].to_numpy() * factor)
        has_exact = np.isfinite(exact).any()
        line = exact if has_exact else mean
        good = np.isfinite(line)
        common = dict(color=look.colour, zorder=3 + layer)
        axis.plot(place(load[good]), line[good], linestyle=look.line, **common)
        if np.isfinite(mean).any():
            axis.errorbar(
                place(load),
                mean,
                yerr=half,
                linestyle="none",
                marker=look.marker,
                markerfacecolor=look.face,
                markeredgewidth=1.1,
                elinewidth=1.1,
                capsize=2,
                **common,
            )
        else:
            axis.plot(place(load[good]), line[good], "none", marker=look.marker, markerfacecolor=look.face, **common)
    values = sorted(values)
    if heavy and len(values) > 1:
        axis.set_xscale("log")
    elif len(values) > 2 and values[0] > 0 and values[-1] / values[0] >= 30:
        axis.set_xscale("log")
    positions = [place(value) for value in values]
    axis.set_xticks(positions, labels.of_ticks(values, positions, axis), minor=False)
    axis.minorticks_off()
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()])
    if _far(metric, drawn, 15 if scaled else 4):
        labels.logarithmic(axis, "y")


def _far(metric: Metric, values: np.ndarray, most: float) -> bool:
    """Whether values lie so far apart that their axis is to be logarithmic; that of a share of a whole is linear."""
    values = values[np.isfinite(values)]
    return bool(not metric.share and values.size and values.min() > 0 and values.max() / values.min() > most)


def _place(heavy: bool) -> Callable:
    """Where a value of the axis stands on it."""
    return (lambda x: 1 / (1 - x)) if heavy else (lambda x: x)


def _rows(
    axis: Axes, experiment: Experiment, metric: Metric, data: pandas.DataFrame, policies: list[str], categories: list
) -> None:
    """A row per category, in it a mark per policy with its interval."""
    spread = _spread(policies)
    row = {value: place for place, value in enumerate(categories)}
    for shift, policy in zip(spread, policies, strict=True):
        look = style.look(policy)
        own = data[data["policy"] == policy]
        y = np.array([row[value] for value in own[experiment.x]]) + shift
        mean = own["mean"].where(np.isfinite(own["mean"]), own["exact"])
        axis.plot(own["exact"], y, "|", color=look.colour, markersize=13, markeredgewidth=1.6, alpha=0.55)
        axis.errorbar(
            mean,
            y,
            xerr=np.nan_to_num(own["halfwidth"]),
            linestyle="none",
            marker=look.marker,
            color=look.colour,
            markerfacecolor=look.face,
            markeredgewidth=1.1,
            elinewidth=1.1,
            capsize=2,
        )
    for place in range(0, len(categories), 2):
        axis.axhspan(place - 0.5, place + 0.5, color="#f6f6f4", zorder=0, linewidth=0)
    axis.set_yticks(range(len(categories)), [labels.broken(str(value)) for value in categories])
    axis.set_ylim(len(categories) - 0.5, -0.5)
    axis.grid(False, axis="y")
    shown = data["mean"].where(np.isfinite(data["mean"]), data["exact"])
    if _far(metric, shown.to_numpy(), 4):
        labels.logarithmic(axis, "x")


def _spread(policies: list[str]) -> list[float]:
    """How far from the middle of its row each policy stands."""
    return list(np.linspace(-0.28, 0.28, len(policies))) if len(policies) > 1 else [0.0]


def _marks(lost: pandas.DataFrame, x: str, policies: list[str], heavy: bool) -> list[unstable.Mark]:
    """Of each point where a policy has no value for being unstable."""
    place = _place(heavy)
    return [
        unstable.Mark(policy, place(value), before)
        for value, own in lost.groupby(x)
        for before, policy in enumerate(policy for policy in policies if (own["policy"] == policy).any())
    ]


def _marks_in_rows(lost: pandas.DataFrame, x: str, policies: list[str], categories: list) -> list[unstable.Mark]:
    spread = _spread(policies)
    return [
        unstable.Mark(policy, categories.index(value) + spread[policies.index(policy)])
        for policy, value in zip(lost["policy"], lost[x], strict=True)
    ]


def _caption(
    experiment: Experiment,
    metric: Metric,
    more: str,
    scaled: bool,
    numeric: bool,
    exact: bool,
    simulated: bool,
) -> str:
    text = f"{experiment.title}: {metric.title}{more}."
    if simulated and exact and not numeric:
        text += " Upright strokes: analysis. Marks: simulation with 95% intervals."
    elif simulated and exact:
        text += " Lines: analysis. Marks: simulation with 95% intervals."
    elif simulated:
        text += " Simulation with 95% intervals."
    elif exact:
        text += " Analysis."
    if scaled:
        text += " Values are multiplied by 1 − load, which keeps them finite as the load tends to 1."
    if simulated:
        text += " Lower is better." if metric.direction == "min" else " Higher is better."
    return text
