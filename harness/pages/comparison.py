"""Printed numbers on a page: each beside analysis and simulation, with a verdict, figures and findings."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from openqueues import verdicts
from openqueues.pages import ranges, style
from openqueues.pages.data import Data
from openqueues.pages.markdown import (
    comma_separated,
    digits,
    download,
    escape,
    figure,
    fold,
    interval,
    percent,
    span,
    table,
)
from openqueues.printed import half_unit
from openqueues.printed import printed as read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from openqueues.entry import Entry, Expected

SIGNS = {"agrees": "✓", "differs": "✗", "cannot tell": "?"}
KINDS = {"agrees": "agrees", "differs": "differs", "cannot tell": "unclear"}


def section(data: Data, folder: Path, title: str, level: int) -> tuple[list[str], dict]:
    """The section on an entry's printed values (Markdown parts), and the facts that other pages quote.

    Figures and a CSV file go into `folder`. The section is called `title`; each printed table below it has a heading
    of `level`. Without printed values there are no parts.
    """
    entry = data.entry
    rows = _rows(data)
    kept = [{key: _blank(row[key]) for key in verdicts.COLUMNS} for row in rows]
    facts = {"verdicts": kept, "counts": Counter(row["verdict"] for row in rows)}
    if not rows:
        return [], facts
    parts = [f"## {title}\n", counts(rows), legend(rows), *findings(rows)]
    drawing = ranges.draw([(heading(group), group, _own(group, rows)) for group in panels(entry)])
    if drawing is not None:
        style.save(drawing, folder / "ranges.svg")
        parts.append(
            figure(
                "ranges.svg",
                "Our values beside the printed ranges, by source and policy",
                "Marks: what we find, with 95% intervals. Grey: what is printed; a bar with an arrow stands for a "
                "largest value (“up to”), which the largest of ours reaches or not.",
                f"{entry.slug}-ranges",
            )
        )
        parts.append(download("verdicts.csv"))
    drawing = deviations(entry, rows)
    if drawing is not None:
        style.save(drawing, folder / "deviations.svg")
        parts.append(
            figure(
                "deviations.svg",
                "Deviation of each printed value from the exact value, by source and policy",
                "Printed value less the exact value, in percent of the exact value. "
                "The grey band is what rounding and the noise of a simulated print allow.",
                f"{entry.slug}-deviations",
            )
        )
        parts.append(download("verdicts.csv"))
    for group in panels(entry):
        parts += [f"{'#' * level} {heading(group)}\n", printed(group, rows)]
    (folder / "verdicts.csv").write_text(
        comma_separated(verdicts.COLUMNS, ([one[key] for key in verdicts.COLUMNS] for one in kept)),
        encoding="utf-8",
    )
    parts.append(download("verdicts.csv", "All verdicts"))
    return parts, facts


def _rows(data: Data) -> list[dict]:
    if not data.entry.expected:
        return []
    rows = verdicts.verdicts(data.entry, data.frame).to_dict("records")
    for row in rows:
        if isinstance(row["parameters"], str):
            row["parameters"] = json.loads(row["parameters"])
    return rows


def _blank(value):
    """NaN as nothing and parameters as JSON, for files."""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def counts(rows: list[dict]) -> str:
    """How many printed values agree, in a sentence."""
    number = Counter(row["verdict"] for row in rows)
    words = [f"**{number[verdict]}** {_verb(verdict, number[verdict])}" for verdict in SIGNS if number[verdict]]
    return f"Of {len(rows)} printed values, {_and(words)}.\n"


def _verb(verdict: str, number: int) -> str:
    one = number == 1
    return {
        "agrees": "agrees" if one else "agree",
        "differs": "differs" if one else "differ",
        "cannot tell": "cannot be told from here",
    }[verdict]


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def legend(rows: list[dict]) -> str:
    """The signs that stand in the cells."""
    ranged = any(not read(row["printed"]).single for row in rows)
    marks = [span(f"{SIGNS[verdict]} {verdict}", KINDS[verdict]) for verdict in SIGNS]
    return (
        " ".join(marks)
        + " — *agrees*: the printed value lies within our interval, its own rounding and noise, and our "
        "interval is narrow enough to have seen a difference; *cannot tell*: it is not."
        + (
            " A printed range *agrees* where it holds our whole interval and *differs* where our interval lies "
            "outside. “Up to” a value *agrees* where our largest one reaches it, however far it goes beyond, and "
            "*differs* where it stays below: on settings of our own that says how easily such a value is had, not "
            "that the number is the same."
            if ranged
            else ""
        )
        + "\n"
    )


def findings(rows: list[dict], level: int = 3) -> list[str]:
    """What the data say about the values that differ, source by source and policy by policy, below a heading."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        groups[(row["source"], row["policy"])].append(row)
    lines = [_finding(source, policy, own) for (source, policy), own in groups.items()]
    lines = [line for line in lines if line]
    if not lines:
        return []
    note = "We state what was measured; unless a cause is given, it has not been established."
    if any(np.isfinite(row["exact"]) for row in rows):
        note += (
            " Analysis and simulation share no code beyond the laws of sizes and predictions and the choice of best "
            "thresholds."
        )
    note += "\n"
    return [f"{'#' * level} Values that differ\n", "\n".join(f"- {line}" for line in lines) + "\n", note]


def _finding(source: str, policy: str, rows: list[dict]) -> str:
    off = [row for row in rows if row["verdict"] == "differs"]
    if not off:
        return ""
    where = f"**{escape(source)}, {escape(style.name(policy))}.**"
    if len(off) == 1:
        row = off[0]
        others = f" The other {len(rows) - 1} values of this column do not differ." if len(rows) > 1 else ""
        return (
            f"{where} One of {len(rows)} printed values differs: {read(row['printed']).words} is printed at "
            f"{_at(row, rows)}, where we find {_reference(row)} ({percent(row['deviation'])}).{others}"
        )
    low, high = min(row["deviation"] for row in off), max(row["deviation"] for row in off)
    places = ", ".join(_value(row, rows) for row in off)
    text = f"{where} {len(off)} of {len(rows)} printed values differ, at {_varied(rows)} {places}: "
    if low < 0 < high:
        text += f"from {percent(low)} to {percent(high)} of the value found here."
    else:
        side = "below" if high <= 0 else "above"
        small, large = sorted((abs(low), abs(high)))
        text += f"they lie {side} the values found here, by {percent(small)[1:]} to {percent(large)[1:]}."
    seen = [row for row in off if np.isfinite(row["exact"]) and np.isfinite(row["halfwidth"])]
    outside = [
        row for row in seen if abs(read(row["printed"]).gap(row["simulated"])) > row["halfwidth"] + _rounding(row)
    ]
    if seen:
        text += (
            f" The comparison is with exact analysis; the independent simulation's 95% interval excludes "
            f"{len(outside)} of these {len(off)} printed values."
        )
    return text


def _rounding(row: dict) -> float:
    return half_unit(row["printed"]) if read(row["printed"]).single else 0.0


def _reference(row: dict) -> str:
    exact = f"{digits(row['exact'])} by analysis" if np.isfinite(row["exact"]) else ""
    simulated = f"{interval(row['simulated'], row['halfwidth'])} by simulation" if np.isfinite(row["simulated"]) else ""
    return " and ".join(text for text in (exact, simulated) if text)


def _varied(rows: list[dict]) -> str:
    """The parameter that changes along a column of the printed table."""
    # Rows of one source may come from several experiments, each with parameters of its own.
    shared = [key for key in rows[0]["parameters"] if all(key in row["parameters"] for row in rows)]
    for key in shared:
        if len({str(row["parameters"][key]) for row in rows}) > 1:
            return key
    return shared[0] if shared else "row"


def _value(row: dict, rows: list[dict]) -> str:
    return str(row["parameters"].get(_varied(rows), row["row"]))


def _at(row: dict, rows: list[dict]) -> str:
    return f"{_varied(rows)} {_value(row, rows)}"


def panels(entry: Entry) -> list[list[Expected]]:
    """Printed tables that belong together: same experiment, metric, rows and assumptions, and no column twice."""
    groups: list[list[Expected]] = []
    for expected in entry.expected:
        for group in groups:
            first, columns = group[0], {column for one in group for column in one.columns}
            same = (first.experiment, first.metric, first.rows) == (
                expected.experiment,
                expected.metric,
                expected.rows,
            )
            alike = first.at == expected.at and first.assumed == expected.assumed
            if same and alike and not columns & set(expected.columns):
                group.append(expected)
                break
        else:
            groups.append([expected])
    return groups


def heading(group: list[Expected]) -> str:
    """The name of the printed table: the one that all its parts begin with, else all of them."""
    shortest = min((one.source for one in group), key=len)
    return shortest if all(one.source.startswith(shortest) for one in group) else "; ".join(one.source for one in group)


def _own(group: list[Expected], rows: list[dict]) -> list[dict]:
    parts = {(one.source, one.experiment, one.metric) for one in group}
    return [
        row
        for row in rows
        if (row["source"], row["experiment"], row["metric"]) in parts
        and all(row["parameters"][key] == value for key, value in group[0].at.items())
    ]


def printed(group: list[Expected], rows: list[dict]) -> str:
    """The printed table with a verdict in every cell, then each value beside what we found."""
    own, key = _own(group, rows), group[0].rows
    cells = {(str(row["parameters"][key]), row["policy"]): row for row in own}
    values = list(dict.fromkeys(value for value, _ in cells))
    columns = [column for one in group for column in one.columns]
    lines = []
    for value in values:
        line = [value]
        for policy in columns:
            row = cells.get((value, policy))
            if row is None:
                line.append("–")
                continue
            note = f" {percent(row['deviation'])}" if row["verdict"] == "differs" else ""
            line.append(span(f"{read(row['printed']).words} {SIGNS[row['verdict']]}{note}", KINDS[row["verdict"]]))
        lines.append(line)
    header = [key, *(escape(style.name(policy)) for policy in columns)]
    made = [
        f"{', '.join(style.name(column) for column in one.columns)} "
        + {"formula": "from a formula", "simulation": "by simulation", "measurement": "by measurement"}[one.made_by]
        for one in group
    ]
    text = f"Made by the source: {escape('; '.join(made))}. {counts(own)}\n"
    text += "".join(f"Assumed: {one}\n\n" for one in dict.fromkeys(one.assumed.strip() for one in group) if one)
    text += f"{table(header, lines)}\n"
    full = [
        [
            str(row["parameters"][key]),
            escape(style.name(row["policy"])),
            read(row["printed"]).words,
            digits(row["exact"]),
            interval(row["simulated"], row["halfwidth"]),
            percent(row["deviation"]),
            span(f"{SIGNS[row['verdict']]} {row['verdict']}", KINDS[row["verdict"]]),
            escape(row["reason"]),
            f"{SIGNS[row['internal']]} {row['internal']}",
        ]
        for row in own
    ]
    header = [
        key,
        "policy",
        "printed",
        "exact",
        "simulated",
        "deviation",
        "verdict",
        "why",
        "simulation and analysis",
    ]
    return text + fold("Every value beside analysis and simulation", table(header, full, "llrrrrlll"))


def deviations(entry: Entry, rows: list[dict]) -> Figure | None:
    """Deviation of the printed from the exact values, a panel per printed table, a mark per value."""
    single = [row for row in rows if read(row["printed"]).single]
    groups = [g for g in panels(entry) if any(np.isfinite(row["deviation"]) for row in _own(g, single))]
    if not groups:
        return None
    drawn = style.figure(8.0, 2.3 * len(groups) + 0.4)
    axes = drawn.subplots(len(groups), 1, squeeze=False)
    seen: dict[str, None] = {}
    for axis, group in zip(axes[:, 0], groups, strict=True):
        _deviations(axis, group, _own(group, single))
        axis.set_xlabel(group[0].rows if axis is axes[-1, 0] else "")
        seen |= dict.fromkeys(column for one in group for column in one.columns)
    style.legend(drawn, list(seen), lines=False)
    return drawn


def _deviations(axis: Axes, group: list[Expected], rows: list[dict]) -> None:
    key, columns = group[0].rows, [column for one in group for column in one.columns]
    values = list(dict.fromkeys(str(row["parameters"][key]) for row in rows))
    top = 0.05
    for place, value in enumerate(values):
        here = [row for row in rows if str(row["parameters"][key]) == value]
        for row in here:
            # Of a printed 0 there is no share to show.
            if not np.isfinite(row["deviation"]) or float(row["printed"]) == 0:
                continue
            look = style.look(row["policy"])
            slot = 0.84 / len(columns)
            x = place + slot * (columns.index(row["policy"]) - (len(columns) - 1) / 2)
            share, band = 100 * row["deviation"], 100 * row["print_error"] / abs(float(row["printed"]))
            differs = row["verdict"] == "differs"
            axis.bar([x], [2 * band], bottom=-band, width=0.9 * slot, color="#e6e6e6", linewidth=0, zorder=1)
            if differs:
                axis.plot([x, x], [0, share], color=look.colour, linewidth=1.2, zorder=3)
            axis.plot(
                [x], [share], marker=look.marker, color=look.colour, markerfacecolor=look.face,
                linestyle="none", markersize=7 if differs else 4.5, zorder=4,
            )  # fmt: skip
            top = max(top, abs(share), band)
    axis.axhline(0, color="#666666", linewidth=0.9, zorder=2)
    if top > 3:
        axis.set_yscale("symlog", linthresh=1, linscale=1.0)
        axis.set_yticks([tick for tick in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if abs(tick) <= 1.3 * top])
        axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    axis.set_ylim(-1.3 * top, 1.3 * top)
    axis.set_xlim(-0.5, len(values) - 0.5)
    axis.set_xticks(range(len(values)), values)
    axis.grid(False, axis="x")
    axis.set_title(heading(group))
    axis.set_ylabel("printed − exact [%]")
