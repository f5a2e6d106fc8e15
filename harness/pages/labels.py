"""What stands on and beside the axes of a figure: ticks, titles, names of axes and of lines."""

from __future__ import annotations

import math
import re
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from openqueues.pages import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from openqueues.entry import Metric


def logarithmic(axis: Axes, which: str) -> None:
    """Make an axis logarithmic, with ticks at 1, 2, 5, 10, ... written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_yscale("log") if which == "y" else axis.set_xscale("log")
    one = axis.yaxis if which == "y" else axis.xaxis
    one.set_major_locator(LogLocator(subs=(1, 2, 5)))
    one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    one.set_minor_locator(NullLocator())


def of_ticks(values: list[float], positions: list[float], axis: Axes) -> list[str]:
    """Labels of the ticks, empty where one would touch the next; the last one always stands."""
    scale = np.log if axis.get_xscale() == "log" else np.asarray
    where = np.asarray(scale(positions), dtype=float)
    span = (where[-1] - where[0]) or 1.0
    width = axis.get_figure().get_figwidth() * axis.get_position().width
    labels, free = [], math.inf
    for value, x in zip(reversed(values), reversed(where), strict=True):
        text = f"{value:g}"
        need = 0.09 * (len(text) + 1) / max(width, 1.0)
        show = (free - x) / span >= need or math.isinf(free)
        labels.append(text if show else "")
        free = x if show else free
    return labels[::-1]


def broken(text: str) -> str:
    """A specification on two lines where it is long, broken after a comma or colon."""
    if len(text) <= 26:
        return text
    cuts = [k + 1 for k, letter in enumerate(text) if letter in ",:"]
    cut = min(cuts, key=lambda k: abs(k - len(text) / 2), default=len(text))
    return f"{text[:cut]}\n{text[cut:]}"


def of_lines(axis: Axes, policies: list[str]) -> None:
    """Names at the right ends of the lines, moved apart where they would overlap."""
    axis.get_figure().canvas.draw()
    lines = {}
    for policy in policies:
        look = style.look(policy)
        for line in axis.get_lines():
            if line.get_color() == look.colour and line.get_linestyle() != "None" and len(line.get_xdata()):
                if line.get_zorder() == 3 + policies.index(policy):
                    lines[policy] = axis.transData.transform((line.get_xdata()[-1], line.get_ydata()[-1]))
    if not lines:
        return
    box = axis.get_window_extent()
    inverse = axis.transAxes.inverted()
    upwards = sorted(lines, key=lambda policy: lines[policy][1])
    gap = 13.5 * axis.get_figure().dpi / 100
    heights = [lines[policy][1] for policy in upwards]
    for _ in range(200):  # push neighbours apart until none overlap
        moved = False
        for k in range(len(heights) - 1):
            need = gap - (heights[k + 1] - heights[k])
            if need > 1e-6:
                heights[k] -= need / 2
                heights[k + 1] += need / 2
                moved = True
        if not moved:
            break
    lift = max(box.y0 - heights[0], 0)
    for policy, height in zip(upwards, heights, strict=True):
        look = style.look(policy)
        y = inverse.transform((0, height + lift))[1]
        start = inverse.transform(lines[policy])
        axis.annotate(
            style.name(policy),
            xy=start,
            xytext=(1.045, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=style.INK,
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": look.colour,
                "lw": 0.8,
                "shrinkA": 9,
                "shrinkB": 4,
                "alpha": 0.7,
            },
        )
        axis.plot(
            [1.03],
            [y],
            marker=look.marker,
            color=look.colour,
            markerfacecolor=look.face,
            transform=axis.transAxes,
            clip_on=False,
            linestyle="none",
        )


def _words(chosen: dict) -> str:
    return ", ".join(str(v) if isinstance(v, str) else f"{k.replace('_', ' ')} {v:g}" for k, v in chosen.items())


def of_panel(chosen: dict, inches: float) -> str:
    """What a panel shows, on several lines where they are longer than the panel is wide."""
    text, most = _words(chosen), int(10 * inches)  # a tenth of an inch a letter
    if len(text) <= most:
        return text
    parts = re.split(r",\s*", text)  # a value, or a parameter of a law, stays on one line
    return textwrap.fill(", ".join(part.replace(" ", "\u00a0") for part in parts), most, break_long_words=False)


def of_axis(key: str, heavy: bool) -> str:
    return "load (logarithmic in 1/(1 − load))" if heavy else key.replace("_", " ")


def of_metric(metric: Metric, scaled: bool, inches: float) -> str:
    """A metric's name and unit, on several lines where they are longer than the axis."""
    words = metric.title + (" × (1 − load)" if scaled else "")
    unit = f"  [{metric.unit}]" if metric.unit else ""
    return textwrap.fill(words + unit, max(int(9 * inches), 12), break_long_words=False)
