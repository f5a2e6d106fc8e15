"""A figure for policies that differ in one number, like k bits: the metric against that number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from openqueues.models.spec import parse_spec
from openqueues.pages import style
from openqueues.pages.figures import WIDTH, Drawing, label_lines, metric_name
from openqueues.pages.markdown import parameters

if TYPE_CHECKING:
    import pandas
    from openqueues.entry import Entry, Experiment, Metric

MEMBERS = 3  # fewer policies than this are no family


def families(policies: list[str]) -> dict[tuple[str, str], dict[float, str]]:
    """Policies by (what they share, the parameter that differs): its values and the policy of each.

    At least MEMBERS policies of one name that agree in all parameters but one, a number, are a family.
    `kbit:bits=1` to `kbit:bits=6` give {("kbit", "bits"): {1.0: "kbit:bits=1", ...}}.
    """
    found: dict[tuple[str, str], dict[float, str]] = {}
    for policy in policies:
        base, arguments = parse_spec(policy, "policy")
        for key, value in arguments.items():
            if isinstance(value, float):
                rest = ",".join(f"{k}={str(v).lower()}" for k, v in arguments.items() if k != key)
                found.setdefault((f"{base}:{rest}" if rest else base, key), {})[value] = policy
    return {shared: dict(sorted(m.items())) for shared, m in found.items() if len(m) >= MEMBERS}


def draw(entry: Entry, experiment: Experiment, metric: Metric, data: pandas.DataFrame) -> Drawing | None:
    """The metric against the number, at the headline point, else at the last one; None without a family.

    Other policies are horizontal lines. `data` is as for `figures.draw`.
    """
    data = data[np.isfinite(data["mean"]) | np.isfinite(data["exact"])]
    groups = families(list(dict.fromkeys(data["policy"])))
    if not groups:
        return None
    scored = entry.headline is not None and entry.headline.experiment == experiment.name
    headline = entry.headline_point() if scored else None
    point = headline.index if headline and (data["point"] == headline.index).any() else data["point"].max()
    here = data[data["point"] == point].set_index("policy")
    members = {policy for group in groups.values() for policy in group.values()}
    drawn = style.figure(WIDTH, 4.2)
    axis = drawn.subplots()
    order: list[str] = []
    for policy in (policy for policy in here.index if policy not in members):
        look, row = style.look(policy), here.loc[policy]
        level = row["exact"] if np.isfinite(row["exact"]) else row["mean"]
        values = sorted({value for group in groups.values() for value in group})
        ends = [values[0], values[-1]]
        axis.plot(ends, [level, level], linestyle=(0, (1, 2)), color=look.colour, zorder=3 + len(order))
        order.append(policy)
    for group in groups.values():
        own = [(value, here.loc[policy]) for value, policy in group.items() if policy in here.index]
        last = list(group.values())[-1]
        look = style.look(last)
        line = [row["exact"] if np.isfinite(row["exact"]) else row["mean"] for _, row in own]
        axis.plot([v for v, _ in own], line, color=look.colour, linestyle=look.line, zorder=3 + len(order))
        order.append(last)
        for value, row in own:
            one = style.look(group[value])
            level = row["mean"] if np.isfinite(row["mean"]) else row["exact"]
            axis.errorbar(
                [value], [level], yerr=np.nan_to_num([row["halfwidth"]]), marker=one.marker, color=one.colour,
                markerfacecolor=one.face, linestyle="none", elinewidth=1.1, capsize=2, zorder=30,
            )  # fmt: skip
    keys = list(dict.fromkeys(key for _, key in groups))
    axis.set_xticks(sorted({value for group in groups.values() for value in group}))
    axis.set_xlabel(" or ".join(key.replace("_", " ") for key in keys))
    axis.set_ylabel(metric_name(metric, False))
    label_lines(axis, order, {list(g.values())[-1]: style.name(shared) for (shared, _), g in groups.items()})
    chosen = next(p.parameters for p in experiment.points() if p.index == point)
    at = parameters({key: chosen[key] for key in experiment.grid})
    words = metric.name.replace("_", " ")
    caption = (
        f"{experiment.title}: {words} against {axis.get_xlabel()}, at {at}. Lines: analysis where it is "
        "known; marks: simulation with 95% intervals; dotted: policies without this parameter."
    )
    return Drawing(
        "-by-" + "-".join(keys), at, drawn, caption, f"{words} against {axis.get_xlabel()} at {at}"
    )
