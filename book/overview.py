"""Draws the figure of the README, book/static/overview.svg, by analysis: python book/overview.py"""

from pathlib import Path

import numpy as np
from openqueues.models.analysis import mean_response
from openqueues.models.laws import joint_law
from openqueues.pages import style

LOADS = np.array([*np.arange(0.05, 0.9, 0.05), *np.arange(0.9, 0.99, 0.01), 0.99])
POLICIES = ("fcfs", "spjf", "onebit", "pspjf", "sprpt", "bounce", "srpt")
PANELS = {"exponential": "Exponential sizes", "weibull:shape=0.5": "Weibull sizes, shape 1/2 (heavy tail)"}


def main() -> None:
    drawn = style.figure(8.6, 4.1)
    axes = drawn.subplots(1, 2)
    for axis, (sizes, title) in zip(axes, PANELS.items(), strict=True):
        joint = joint_law(sizes, "exponential")
        for policy in POLICIES:
            look = style.look(policy)
            scaled = [mean_response(joint, load, policy).mean_response * (1 - load) for load in LOADS]
            axis.plot(LOADS, scaled, color=look.colour, linestyle=look.line, label=style.name(policy))
        axis.set(title=title, xlabel="load", xlim=(0, 1), ylim=(0, None))
    axes[0].set_ylabel("mean response time × (1 − load), mean sizes")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    style.save(drawn, Path(__file__).parent / "static" / "overview.svg")


if __name__ == "__main__":
    main()
