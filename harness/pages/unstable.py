"""The band of a panel that holds what has no value: policies, where they are unstable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from openqueues.pages import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADE = "#f0f0ee"


class Mark(NamedTuple):
    """A policy that is unstable at a place of the other axis, and how many of them stand before it there."""

    policy: str
    place: float
    before: int = 0


def band(axis: Axes, which: str, marks: list[Mark], direction: str) -> None:
    """Draw the marks in a band at the bad end of the values' axis, which is `which`: x or y, whatever its scale."""
    if not marks:
        return
    from matplotlib.patches import Rectangle

    upright = which == "y"
    step = 0.06 if upright else 0.03  # of the axis, for one mark
    depth = step * (1.5 + max(mark.before for mark in marks))
    _make_room(axis, upright, depth, direction)
    start = 1 - depth if direction == "min" else 0.0
    corner, size = ((0, start), (1, depth)) if upright else ((start, 0), (depth, 1))
    axis.add_patch(Rectangle(corner, *size, transform=axis.transAxes, color=SHADE, linewidth=0, zorder=0.5))
    for mark in marks:
        look, far = style.look(mark.policy), step * (0.75 + mark.before)
        far = 1 - far if direction == "min" else far
        axis.plot(
            [mark.place if upright else far],
            [far if upright else mark.place],
            marker=look.marker,
            markersize=4,
            color=look.colour,
            markerfacecolor=look.face,
            linestyle="none",
            transform=axis.get_xaxis_transform() if upright else axis.get_yaxis_transform(),
        )


def _make_room(axis: Axes, upright: bool, depth: float, direction: str) -> None:
    """Widen the limits by a share of the axis, so that nothing else stands in the band, and no tick."""
    scale = (axis.yaxis if upright else axis.xaxis).get_transform()
    limits = axis.get_ylim() if upright else axis.get_xlim()
    ticks = [tick for tick in (axis.get_yticks() if upright else axis.get_xticks()) if limits[0] <= tick <= limits[1]]
    (axis.set_yticks if upright else axis.set_xticks)(ticks)
    low, high = scale.transform(np.array(limits))
    more = (high - low) * depth / (1 - depth)
    wider = np.array([low, high + more] if direction == "min" else [low - more, high])
    (axis.set_ylim if upright else axis.set_xlim)(*scale.inverted().transform(wider))
