"""The section of a page on the worst instances found by `openqueues attack`: a figure, a table, and every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import attacks
from openqueues.pages import style
from openqueues.pages.markdown import comma_separated, digits, download, escape, figure, fold, interval, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from openqueues.entry import Entry

WIDTH, HEIGHT = 8.0, 5.0
QUEUES = """`openqueues attack` looks for the queue on which a policy is worst: by differential evolution over laws of
sizes, errors of predictions within the limits, and loads up to 0.98, by analysis. So each ratio of mean response times
is a lower bound on the worst one within its limits, with the error of the analysis where it shows.
*Simulated* is the ratio on the same jobs, ten replications, with its 95% interval; it is left out where the rarest jobs
are too few to be met in a simulation."""
FACTORS = """The *constant* is the ratio over $a/b$, where every prediction lies between $b$ and $a$ times the
size, and $b ≤ 1 ≤ a$ where only $a/b$ is given;
*bounds* are proven constants, for every law and load: those published, and those that this entry proves."""
OPTIMA = """`openqueues attack` looks for the requests on which a policy is worst: by differential evolution over slots
of arrival, prompts, outputs and ends of predicted intervals. The ratio is that of total latencies to the optimum in
hindsight, which a tree search proves for each instance: a lower bound on the worst ratio within the limits. *Bounds*
are proven for all instances within them."""


def section(entry: Entry, folder: Path) -> str:
    """The section, empty without attacks; its figure goes into `folder`."""
    found = attacks.read(entry)
    if not found:
        return ""
    parts = ["## The worst instances found\n"]
    queues = any(one.instance is None for one in found)
    factors = any(one.spread for one in found)
    parts.append((QUEUES if queues else OPTIMA) + (f" {FACTORS}" if factors else "") + "\n")
    if len({one.spread for one in _lines(found)}) > 1:
        style.save(draw(found), folder / "attacks.svg")
        caption = (
            "The constants of the worst instances found (marks), by $a/b$, with $b ≤ 1 ≤ a$, and the proven upper "
            "bounds of the same policies (lines without marks). What lies between is open."
        )
        alt = "Largest ratio to SRPT found, over a/b, by a/b and policy, with proven upper bounds"
        parts.append(figure("attacks.svg", alt, caption, f"{entry.slug}-attacks"))
        (folder / "attacks.csv").write_text(_csv(_lines(found)), encoding="utf-8")
        parts.append(download("attacks.csv"))
    parts += [listing(found, queues, factors), how(entry, found)]
    return "\n".join(parts)


def _csv(found: list[attacks.Attack]) -> str:
    bounds = _bounds(found)
    columns = ["policy", "against", "spread", "ratio", "error", "load", "simulated", "halfwidth"]
    lines = ([*(getattr(one, key) for key in columns), *(one.bounds.get(name) for name in bounds)] for one in found)
    return comma_separated([*columns, *(f"bound_{name}" for name in bounds)], lines)


def listing(found: list[attacks.Attack], queues: bool, factors: bool) -> str:
    """A row per attack."""
    bounds = list(dict.fromkeys(name for one in found for name in one.bounds))
    header = ["policy", "to", "limits", "ratio", *(["constant"] if factors else [])]
    header += ["simulated", "load"] if queues else []
    header += ["bound: " + name.replace("_", " ") for name in bounds]
    rows = []
    for one in found:
        error = one.error if one.error > 1e-5 * one.ratio else 0.0
        over = one.spread if factors and one.spread else 1.0
        row = [style.name(one.policy), style.name(one.against), one.words, interval(one.ratio, error)]
        row += [digits(one.ratio / over) if one.spread else "–"] if factors else []
        if queues:
            row.append("–" if one.simulated is None else interval(one.simulated, one.halfwidth))
            row.append(f"{one.load:.3g}")
        row += [digits(one.bounds[name] / over) if name in one.bounds else "–" for name in bounds]
        rows.append([escape(cell) for cell in row])
    return table(header, rows, "lll" + "r" * (len(header) - 3))


def how(entry: Entry, found: list[attacks.Attack]) -> str:
    """How to attack: the commands of the first row, and those of all behind a fold."""
    every = "\n".join(f"# {style.name(one.policy)}: {one.words}\n$ {one.again}\n$ {one.search}" for one in found)
    return (
        "### How to attack\n\n"
        "The first command looks for a worse instance within the same limits, further or from another seed, and writes "
        "it into the entry's `attacks.toml` if it finds one; the second shows the instance of the table's first row "
        "again.\n\n"
        f"```console\n$ {found[0].search} --budget 5000 --seed 1 --record {entry.slug}\n$ {found[0].again}\n```\n\n"
        + fold("For each row: its instance again, and the search for it", f"```console\n{every}\n```")
    )


def draw(found: list[attacks.Attack]) -> Figure:
    """Constants against a/b, a line per policy, and the proven ones in the same colour."""
    lines = _lines(found)
    named = list(dict.fromkeys(one.policy for one in lines))
    drawn = style.figure(WIDTH, HEIGHT)
    axis = drawn.subplots()
    kinds = {name: dash for name, dash in zip(_bounds(lines), ("--", ":", "-."), strict=False)}
    for policy in named:
        own = sorted((one for one in lines if one.policy == policy), key=lambda one: one.spread)
        look, x = style.look(policy), [one.spread for one in own]
        y = [one.ratio / one.spread for one in own]
        axis.plot(x, y, color=look.colour, linestyle=look.line, marker=look.marker, markerfacecolor=look.face)
        for name, dash in kinds.items():
            known = [(one.spread, one.bounds[name] / one.spread) for one in own if name in one.bounds]
            if known:
                axis.plot(*zip(*known, strict=True), color=look.colour, linestyle=dash, linewidth=1.1)
                label = f"{style.name(policy)}, bound {name.replace('_', ' ')}"
                # Below the end of a line that falls, where the line is above its name.
                place = {"xy": known[-1], "xytext": (0, -3), "textcoords": "offset points"}
                axis.annotate(label, **place, ha="right", va="top", fontsize=8, color=look.colour)
    axis.set_yscale("log")
    axis.set_xscale("log")
    ticks = sorted({one.spread for one in lines})
    axis.set_xticks(ticks, [f"{value:g}" for value in ticks], minor=False)
    low, high = axis.get_ylim()
    heights = [value for value in (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64) if low <= value <= high]
    axis.set_yticks(heights, [f"{value:g}" for value in heights])
    axis.minorticks_off()
    axis.set_xlabel("a/b, the largest ratio of two errors")
    axis.set_ylabel("ratio of mean response times to SRPT, over a/b")
    style.legend(drawn, named)
    return drawn


def _lines(found: list[attacks.Attack]) -> list[attacks.Attack]:
    """The attacks that the figure shows: errors within factors around 1 and no other limit, against SRPT."""
    return [one for one in found if one.limits.keys() == {"within"} and one.against == "srpt"]


def _bounds(found: list[attacks.Attack]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one.bounds))
