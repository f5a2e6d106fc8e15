"""The section of a page on the worst instances found by `openqueues attack`: a figure, a table, and every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import attacks
from openqueues.pages import style
from openqueues.pages.markdown import comma_separated, download, escape, figure, fold, interval, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from openqueues.entry import Entry

WIDTH, HEIGHT = 8.0, 5.0
QUEUES = """`openqueues attack` looks for the queue on which a policy is worst: by differential evolution over laws of
sizes (one to four points with a factor of error for each; Pareto, Weibull and phase-type laws with independent errors),
errors of predictions within the limits, and loads up to 0.98, by analysis. So each ratio of mean response times is a
lower bound on the worst one within its limits. A longer search may raise it, and the searches were not equally long,
so a small number does not say that a policy is safer than another. A simulation confirms each, below; where it
cannot, since the rarest jobs are too few to be met in one, the number has a dagger (†). *none*: no instance was found
that is worse."""
OPTIMA = """`openqueues attack` looks for the requests on which a policy is worst: by differential evolution over slots
of arrival, prompts, outputs and ends of predicted intervals. Each number is the ratio of total latencies to the optimum
in hindsight, which a tree search proves for each instance: a lower bound on the worst ratio within the limits. In
brackets: the published upper bound, which holds for all instances within them."""
CONSTANTS = """The **constant** is the ratio over $a/b$, where every prediction lies between $b$ and $a$ times the size
and $b ≤ 1 ≤ a$. *Worst*: the largest constant found, a lower bound on the best constant that could be proven; beside it
the upper bounds: *published*, and *proven here*, in the statement of this entry. Between the two lies what is open."""
NONE = "none"


def section(entry: Entry, folder: Path) -> str:
    """The section, empty without attacks; its figure goes into `folder`."""
    found = sorted(attacks.read(entry), key=lambda one: one.spread or 0.0)
    if not found:
        return ""
    parts = ["## The worst instances found\n", (QUEUES if found[0].instance is None else OPTIMA) + "\n"]
    parts += [text for against in dict.fromkeys(one.against for one in found) for text in _glance(found, against)]
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
    return "\n".join([*parts, how(entry, found)])


def _csv(found: list[attacks.Attack]) -> str:
    bounds = _bounds(found)
    columns = ["policy", "against", "spread", "ratio", "error", "load", "simulated", "halfwidth"]
    lines = ([*(getattr(one, key) for key in columns), *(one.bounds.get(name) for name in bounds)] for one in found)
    return comma_separated([*columns, *(f"bound_{name}" for name in bounds)], lines)


def _glance(found: list[attacks.Attack], against: str) -> list[str]:
    """What was found at a glance, against one policy: constants by a/b and policy, then ratios by other limits."""
    own = [one for one in found if one.against == against]
    ranges = [one for one in own if one.spread is not None]
    others = [one for one in own if one.spread is None]
    to = style.name(against)
    parts = []
    if ranges:
        text = f"{CONSTANTS}\n\n" if any(one.bounds for one in ranges) else ""
        parts += [f"### Constants against {to}\n", f"{text}{constants(ranges)}"]
    if others:
        parts += [f"### Ratios to {'the optimum' if against == 'optimum' else to}\n", ratios(others)]
    return parts


def constants(found: list[attacks.Attack]) -> str:
    """A row per policy (and further limit): the largest constant beside the proven bounds, then one for each a/b."""
    columns = sorted({one.spread for one in found if "within" in one.limits})
    bounds = _bounds(found)
    header = ["policy", "worst", *(name.replace("_", " ") for name in bounds), *(f"a/b = {v:g}" for v in columns)]
    rows: dict[tuple[str, str], list[attacks.Attack]] = {}
    for one in found:
        rest = {key: value for key, value in one.limits.items() if key not in ("within", "between")}
        rows.setdefault((attacks.words(rest), one.policy), []).append(one)
    lines = []
    # Policies with bounds come first, then those without, then those that need a further limit to have a constant.
    for (rest, policy), own in sorted(rows.items(), key=lambda row: (row[0][0], not any(one.bounds for one in row[1]))):
        worst = max(own, key=lambda one: (_cell(one, one.spread) != NONE, one.ratio / one.spread))
        line = [style.name(policy) + (f", {rest}" if rest else "")]
        line.append(f"**{_cell(worst, worst.spread)}**" + (f" ({worst.words})" if "between" in worst.limits else ""))
        for name in bounds:
            known = [one.bounds[name] / one.spread for one in own if name in one.bounds]
            line.append(f"{max(known):.4g}" if known else "–")
        cells = {one.spread: _cell(one, one.spread, 3) for one in own if "within" in one.limits}
        lines.append([*line, *(cells.get(value, "–") for value in columns)])
    return table(header, lines)


def ratios(found: list[attacks.Attack]) -> str:
    """A row per limits, a column per policy, with the published bound where there is one."""
    policies = list(dict.fromkeys(one.policy for one in found))
    rows: dict[str, dict[str, str]] = {}
    for one in found:
        bound = min(one.bounds.values(), default=None)
        text = _cell(one, 1.0) + ("" if bound is None else f" (≤ {bound:g})")
        rows.setdefault(one.words, {})[one.policy] = text
    lines = [[escape(words), *(cells.get(policy, "–") for policy in policies)] for words, cells in rows.items()]
    return table(["limits", *(escape(style.name(policy)) for policy in policies)], lines)


def _cell(one: attacks.Attack, over: float, places: int = 4) -> str:
    # Equal jobs that are told apart by a millionth may seem that much worse than alike.
    if one.ratio - one.error <= 1 + 1e-6:
        return NONE
    doubt = "†" if one.simulated is None and one.instance is None else ""
    return f"{one.ratio / over:.{places}g}{doubt}"


def listing(found: list[attacks.Attack]) -> str:
    """A row per attack of one policy: its ratio, with the error of the analysis where it shows, and its simulation."""
    queues = found[0].instance is None
    families = list(dict.fromkeys(name for one in found for name in one.families))
    header = ["to", "limits", "ratio", *(["simulated", "load"] if queues else [])]
    rows = []
    for one in found:
        error = one.error if one.error > 1e-5 * one.ratio else 0.0
        row = [style.name(one.against), one.words, interval(one.ratio, error)]
        if queues:
            row.append("–" if one.simulated is None else interval(one.simulated, one.halfwidth))
            row.append(f"{one.load:.3g}")
        row += [f"{one.families[name]:.4g}" if name in one.families else "–" for name in families]
        rows.append([escape(cell) for cell in row])
    return table([*header, *(name.replace("-", " ") for name in families)], rows, "ll" + "r" * (len(rows[0]) - 2))


def how(entry: Entry, found: list[attacks.Attack]) -> str:
    """Every instance, policy by policy behind folds, and how to attack further."""
    first = found[0]
    further = first.search.partition(" --family")[0].partition(" --budget")[0]
    parts = [
        "### Every instance, and how to attack\n",
        "For each policy: the ratio of each instance by analysis, in a simulation (ten replications of the same jobs "
        "for both policies, with the 95% interval), and the largest ratio found in each family of sizes; then the "
        "command that shows each instance again, and the one that finds it.\n"
        if first.instance is None
        else "For each policy the instances, the command that shows each again, and the one that finds it.\n",
    ]
    for policy in dict.fromkeys(one.policy for one in found):
        own = [one for one in found if one.policy == policy]
        commands = "\n".join(
            f"# to {style.name(one.against)}: {one.words}\n$ {one.again}\n$ {one.search}" for one in own
        )
        parts.append(fold(style.name(policy), f"{listing(own)}\n```console\n{commands}\n```"))
    parts.append(
        "Further within the limits of the first, from another seed; what is worse is written into the entry's "
        f"`attacks.toml`:\n\n```console\n$ {further} --budget 5000 --seed 1 --record {entry.slug}\n```\n"
    )
    return "\n".join(parts)


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
