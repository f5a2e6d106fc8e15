"""The page of a reproduction: every printed number beside analysis and simulation, with a verdict."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openqueues import verdicts
from openqueues.pages import sections, style
from openqueues.pages.data import Data
from openqueues.pages.markdown import (
    comma_separated,
    digits,
    escape,
    figure,
    fold,
    interval,
    percent,
    span,
    table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from openqueues.entry import Entry, Expected

SIGNS = {"agrees": "✓", "differs": "✗", "cannot tell": "?"}
KINDS = {"agrees": "agrees", "differs": "differs", "cannot tell": "unclear"}
COLUMNS = (
    "source", "experiment", "parameters", "policy", "printed", "exact", "exact_error", "simulated", "halfwidth",
    "deviation", "verdict", "reason",
)  # fmt: skip


def write(data: Data, folder: Path) -> dict:
    """Write index.md with its figures and CSV files into `folder`; returns the facts that other pages quote."""
    entry = data.entry
    rows = _rows(data)
    parts = [sections.head(data), entry.statement]
    if rows:
        parts += ["## In short\n", counts(rows), legend(), *findings(rows)]
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
        for expected in entry.expected:
            parts += [f"## {expected.source}\n", printed(entry, expected, rows)]
        (folder / "verdicts.csv").write_text(
            comma_separated(COLUMNS, ([_blank(row[key]) for key in COLUMNS] for row in rows)), encoding="utf-8"
        )
        parts.append("All verdicts: {download}`verdicts.csv <verdicts.csv>`\n")
    if entry.known.strip():
        parts += ["## What is known\n", entry.known]
    own = entry.folder / "page.md"
    if own.is_file():
        parts.append(own.read_text(encoding="utf-8"))
    parts += ["## What was run\n", sections.model(entry), sections.policies(entry)]
    for experiment in entry.experiments:
        parts += [f"### {experiment.title}\n", sections.experiment(data, experiment, folder)]
    if entry.references:
        parts += ["## References\n", sections.references(entry)]
    text = "\n".join(part.strip() + "\n" for part in parts if part.strip())
    (folder / "index.md").write_text(text, encoding="utf-8")
    kept = [{key: _blank(row[key]) for key in COLUMNS} for row in rows]
    return {"verdicts": kept, "counts": Counter(row["verdict"] for row in rows)}


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


def legend() -> str:
    """The signs that stand in the cells."""
    marks = [span(f"{SIGNS[verdict]} {verdict}", KINDS[verdict]) for verdict in SIGNS]
    return (
        " ".join(marks) + " — *agrees*: the printed value lies within our interval, its own rounding and noise, and our "
        "interval is narrow enough to have seen a difference; *cannot tell*: it is not.\n"
    )


def findings(rows: list[dict]) -> list[str]:
    """What the data say about the values that differ, source by source and policy by policy, as sentences."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        groups[(row["source"], row["policy"])].append(row)
    lines = [_finding(source, policy, own) for (source, policy), own in groups.items()]
    lines = [line for line in lines if line]
    if not lines:
        return []
    note = (
        "We state what was measured; unless a cause is given, it has not been established. Analysis and simulation "
        "share no code beyond the laws of sizes and predictions.\n"
    )
    return ["### Values that differ\n", "\n".join(f"- {line}" for line in lines) + "\n", note]


def _finding(source: str, policy: str, rows: list[dict]) -> str:
    off = [row for row in rows if row["verdict"] == "differs"]
    if not off:
        return ""
    where = f"**{escape(source)}, {escape(style.name(policy))}.**"
    deviations_ = [row["deviation"] for row in off]
    if len(off) == 1:
        row = off[0]
        reference = _reference(row)
        others = f" The other {len(rows) - 1} values of this column do not differ." if len(rows) > 1 else ""
        return (
            f"{where} One of {len(rows)} printed values differs: {row['printed']} is printed at {_at(row, rows)}, where we find "
            f"{reference} ({percent(row['deviation'])}).{others}"
        )
    low, high = min(deviations_), max(deviations_)
    side = "lower" if high < 0 else "higher" if low > 0 else ""
    if side:
        small, large = sorted((abs(low), abs(high)))
        size = f"{side} by {100 * small:.2f}% to {100 * large:.2f}%"
    else:
        size = f"off by {percent(low)} to {percent(high)}"
    places = ", ".join(_value(row, rows) for row in off)
    return (
        f"{where} {len(off)} of {len(rows)} printed values differ ({_varied(rows)} {places}): they are {size} than "
        "the values found here, by analysis and by simulation alike."
        if side
        else f"{where} {len(off)} of {len(rows)} printed values differ ({_varied(rows)} {places}): they are {size}."
    )


def _reference(row: dict) -> str:
    exact = f"{digits(row['exact'])} by analysis" if np.isfinite(row["exact"]) else ""
    simulated = f"{interval(row['simulated'], row['halfwidth'])} by simulation" if np.isfinite(row["simulated"]) else ""
    return " and ".join(text for text in (exact, simulated) if text)


def _varied(rows: list[dict]) -> str:
    """The parameter that changes along a column of the printed table."""
    for key in rows[0]["parameters"]:
        if len({str(row["parameters"][key]) for row in rows}) > 1:
            return key
    return next(iter(rows[0]["parameters"]))


def _value(row: dict, rows: list[dict]) -> str:
    return str(row["parameters"][_varied(rows)])


def _at(row: dict, rows: list[dict]) -> str:
    return f"{_varied(rows)} {_value(row, rows)}"


def printed(entry: Entry, expected: Expected, rows: list[dict]) -> str:
    """The printed table with a verdict in every cell, then each value beside what we found."""
    own = [row for row in rows if row["source"] == expected.source and row["experiment"] == expected.experiment]
    cells = {(str(row["parameters"][expected.rows]), row["policy"]): row for row in own}
    values = list(dict.fromkeys(str(row["parameters"][expected.rows]) for row in own))
    lines = []
    for value in values:
        line = [value]
        for policy in expected.columns:
            row = cells.get((value, policy))
            if row is None:
                line.append("–")
                continue
            note = f" {percent(row['deviation'])}" if row["verdict"] == "differs" else ""
            line.append(span(f"{row['printed']} {SIGNS[row['verdict']]}{note}", KINDS[row["verdict"]]))
        lines.append(line)
    header = [expected.rows, *(escape(style.name(policy)) for policy in expected.columns)]
    made = "computed from a formula" if expected.made_by == "formula" else "simulated"
    text = f"The printed values, {made} by the source. {counts(own)}\n{table(header, lines)}\n"
    full = [
        [
            str(row["parameters"][expected.rows]),
            escape(style.name(row["policy"])),
            row["printed"],
            digits(row["exact"]),
            interval(row["simulated"], row["halfwidth"]),
            percent(row["deviation"]),
            span(f"{SIGNS[row['verdict']]} {row['verdict']}", KINDS[row["verdict"]]),
            escape(row["reason"]),
        ]
        for row in own
    ]
    header = [expected.rows, "policy", "printed", "exact", "simulated", "deviation", "verdict", "why"]
    return text + fold("Every value beside analysis and simulation", table(header, full, "llrrrrll"))


def deviations(entry: Entry, rows: list[dict]) -> Figure | None:
    """Deviation of the printed from the exact values, a panel per source, a line per policy."""
    sources = [e for e in entry.expected if any(r["source"] == e.source and np.isfinite(r["deviation"]) for r in rows)]
    if not sources:
        return None
    style.use()
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    figure_, axes = plt.subplots(
        len(sources), 1, figsize=(8.0, 2.6 * len(sources)), squeeze=False, layout="constrained"
    )
    seen: list[str] = []
    for axis, expected in zip(axes[:, 0], sources, strict=True):
        own = [r for r in rows if r["source"] == expected.source and r["experiment"] == expected.experiment]
        values = list(dict.fromkeys(str(r["parameters"][expected.rows]) for r in own))
        place = {value: k for k, value in enumerate(values)}
        width = len(expected.columns)
        band = []
        for value in values:
            sizes = [_allowed(r, expected.noise_at(_row_key(expected, r))) for r in own if str(r["parameters"][expected.rows]) == value]
            band.append(100 * max(sizes))
        centres = np.arange(len(values))
        axis.bar(centres, 2 * np.array(band), bottom=-np.array(band), width=0.86, color="#ececec", linewidth=0, zorder=1)
        for k, policy in enumerate(expected.columns):
            look = style.look(policy)
            for row in (r for r in own if r["policy"] == policy):
                if not np.isfinite(row["deviation"]):
                    continue
                x = place[str(row["parameters"][expected.rows])] + 0.74 * ((k + 0.5) / width - 0.5)
                differs = row["verdict"] == "differs"
                axis.plot(
                    [x], [100 * row["deviation"]], marker=look.marker, color=look.colour, linestyle="none", zorder=4,
                    markerfacecolor=look.face, markersize=7 if differs else 4.5, alpha=1 if differs else 0.75,
                )
                if differs:
                    axis.plot([x, x], [0, 100 * row["deviation"]], color=look.colour, linewidth=1.2, zorder=3)
            if policy not in seen:
                seen.append(policy)
        axis.axhline(0, color="#666666", linewidth=0.9, zorder=2)
        top = max([abs(100 * r["deviation"]) for r in own if np.isfinite(r["deviation"])] + band + [0.05])
        if top > 3:
            axis.set_yscale("symlog", linthresh=1, linscale=1.0)
            axis.set_yticks([t for t in (-10, -3, -1, 0, 1, 3, 10) if abs(t) <= top * 1.3], None)
            axis.yaxis.set_major_formatter(lambda v, _: f"{v:+g}".replace("-", "−") if v else "0")
            axis.minorticks_off()
        axis.set_ylim(-1.25 * top, 1.25 * top)
        axis.set_xticks(centres, values)
        axis.grid(False, axis="x")
        axis.set_title(expected.source)
        axis.set_xlabel(expected.rows if axis is axes[-1, 0] else "")
        axis.set_ylabel("printed − exact [%]")
    handles = [
        Line2D([], [], color=style.look(p).colour, marker=style.look(p).marker, linestyle="none",
               markerfacecolor=style.look(p).face, label=style.name(p))
        for p in seen
    ]  # fmt: skip
    longest = max(len(style.name(policy)) for policy in seen)
    figure_.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(seen), int(96 / (longest + 6)))))
    return figure_


def _row_key(expected: Expected, row: dict) -> str:
    """The row's value as the source prints it."""
    value = row["parameters"][expected.rows]
    for text, _, _ in expected.cells():
        if text == str(value) or (not isinstance(value, str) and float(text) == value):
            return text
    return str(value)


def _allowed(row: dict, noise: float) -> float:
    """Relative deviation that rounding to the printed digits and the source's noise allow."""
    places = len(row["printed"].partition(".")[2])
    return 0.5 * 10.0**-places / abs(float(row["printed"])) + noise
