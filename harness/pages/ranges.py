"""The figure of a reproduction's ranges: what was printed as a grey bar, what is found here as a mark in it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from openqueues.pages import labels, style
from openqueues.printed import printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from openqueues.entry import Expected

BAND = "#dcdcdc"
WIDE = 8.0  # the largest value over the smallest, from which on the axis is logarithmic


def draw(panels: list[tuple[str, list[Expected], list[dict]]]) -> Figure | None:
    """A panel per printed table (title, its parts, rows of verdicts) that holds ranges; None where none does."""
    chosen = []
    for title, group, rows in panels:
        own = [row for row in rows if not printed(row["printed"]).single and np.isfinite(row["deviation"])]
        if own:
            chosen.append((title, group, own))
    if not chosen:
        return None
    columns = min(len(chosen), 2)
    lines = -(-len(chosen) // columns)
    drawn = style.figure(8.0, 2.9 * lines + 0.4)
    axes = list(drawn.subplots(lines, columns, squeeze=False).flat)
    seen: dict[str, None] = {}
    for axis, (title, group, rows) in zip(axes, chosen, strict=False):
        _panel(axis, group, rows)
        axis.set_title("\n".join(_wrapped(title, 46 if columns > 1 else 96)))
        seen |= dict.fromkeys(row["policy"] for row in rows)
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    style.legend(drawn, list(seen), lines=False)
    return drawn


def _panel(axis: Axes, group: list[Expected], rows: list[dict]) -> None:
    key = group[0].rows
    values = list(dict.fromkeys(str(row["parameters"][key]) for row in rows))
    columns = [column for one in group for column in one.columns if any(row["policy"] == column for row in rows)]
    found = [_found(row) for row in rows]
    marks = [end for mean, width in found for end in (mean - width, mean + width)]
    marks += [float(end) for row in rows for end in printed(row["printed"]).ends if end.is_finite()]
    low, high = min(marks), max(marks)
    logarithmic = low > 0 and high > WIDE * low
    top, bottom = (high * 1.5, low / 1.5) if logarithmic else (high + 0.2 * (high - low), low - 0.2 * (high - low))
    for row, (mean, width) in zip(rows, found, strict=True):
        look, print_ = style.look(row["policy"]), printed(row["printed"])
        slot = 0.84 / len(columns)
        place = values.index(str(row["parameters"][key]))
        x = place + slot * (columns.index(row["policy"]) - (len(columns) - 1) / 2)
        start, end = (float(end) for end in print_.ends)
        axis.bar([x], [min(end, top) - start], bottom=start, width=0.9 * slot, color=BAND, linewidth=0, zorder=1)
        if print_.largest:
            stem = {"arrowstyle": "->", "color": style.INK, "lw": 0.8}
            axis.annotate("", xy=(x, top), xytext=(x, start), arrowprops=stem, zorder=2)
        axis.errorbar(
            [x], [mean], yerr=[width], linestyle="none", marker=look.marker, color=look.colour,
            markerfacecolor=look.face, markeredgewidth=1.1, elinewidth=1.1, capsize=2, zorder=4,
        )  # fmt: skip
    if logarithmic:
        labels.logarithmic(axis, "y")
    axis.set_ylim(bottom, top)
    axis.set_xlim(-0.5, len(values) - 0.5)
    axis.set_xticks(range(len(values)), ["over all" if value == "all" else value for value in values])
    axis.set_xlabel(key.replace("_", " "))
    axis.set_ylabel(group[0].metric.replace("_", " "))
    axis.grid(False, axis="x")


def _found(row: dict) -> tuple[float, float]:
    if np.isfinite(row["exact"]):
        return row["exact"], row["exact_error"]
    return row["simulated"], row["halfwidth"]


def _wrapped(text: str, most: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, most)
