"""Sections that pages share: the model, the policies, an experiment's figures and tables, references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from openqueues import boards, records, registry
from openqueues.pages import figures, style
from openqueues.pages.data import Data, about
from openqueues.pages.markdown import (
    code,
    comma_separated,
    digits,
    download,
    escape,
    figure,
    fold,
    front,
    interval,
    prose,
    span,
    table,
    tabs,
)

if TYPE_CHECKING:
    import pandas
    from openqueues.entry import Entry, Experiment

STATES = {"open": "open", "partly": "partly settled", "settled": "settled"}
LONG = 12  # rows; a longer table is folded


def head(data: Data) -> str:
    """Title, the summary, and a line of facts."""
    entry = data.entry
    facts = [f"question {', '.join(entry.answers)}" if entry.answers else "reproduction"]
    if entry.status:
        facts.append(f"theory {STATES[entry.status.state]} ({entry.status.date.isoformat()})")
    facts += [f"tier {data.tier}", f"version {entry.version}", f"folder `{entry.slug}`"]
    lines = [f"# {entry.title}", span(escape(entry.summary), "summary"), span(" · ".join(facts), "facts")]
    return front(" ".join(entry.summary.split())) + "\n\n".join(lines) + "\n"


def model(entry: Entry) -> str:
    """What is simulated: the experiments' fixed values and grids, metrics, bounds, special cases."""
    rows = []
    for experiment in entry.experiments:
        fixed = ", ".join(f"{key} {code(str(value))}" for key, value in experiment.fixed.items()) or "–"
        grid = "; ".join(
            f"{key}: " + ", ".join(code(f"{v:g}" if isinstance(v, float) else str(v)) for v in values)
            for key, values in experiment.grid.items()
        )
        rows.append([escape(experiment.title), fixed, grid])
    text = table(["experiment", "held fixed", "varied"], rows, "lll")
    text += "\n" + table(
        ["metric", "unit", "better"],
        [
            [
                m.title + (" (main)" if m.main else ""),
                escape(m.unit),
                "lower" if m.direction == "min" else "higher",
            ]
            for m in entry.metrics
        ],
        "lll",
    )
    if entry.bounds:
        text += "\n" + "\n".join(f"- **{escape(b.name)}** ({b.kind} bound): {b.text}" for b in entry.bounds) + "\n"
    if entry.anchors:
        rows = [
            [
                escape(a.name),
                code(a.policy),
                ", ".join(f"{k} {v}" for k, v in a.point.items()),
                f"{a.value:.6g}",
                escape(a.why),
            ]
            for a in entry.anchors
        ]
        anchors = table(["special case", "policy", "point", "exact value", "why"], rows, "lllrl")
        text += "\n" + fold("Special cases known exactly, which analysis and simulation are checked against", anchors)
    return text


def policies(entry: Entry) -> str:
    """Every policy with what it serves first and what it sees; the source of the entry's own files."""
    rows, sources = [], []
    named = list(dict.fromkeys(p for e in entry.experiments for p in entry.policies_of(e)))
    for policy in named:
        role = {entry.policies.floor: " (floor)", entry.policies.ceiling: " (ceiling)"}.get(policy, "")
        does, sees = about(entry, policy)
        rows.append([f"{escape(style.name(policy))}{role} {code(policy)}", prose(does), sees])
    for policy in dict.fromkeys(policy.partition(":")[0] for policy in named):
        file = registry.policy_file(entry, policy)
        kind = "this entry's own" if policy in entry.own_policies else "built in"
        text = file.read_text(encoding="utf-8").strip()
        sources.append(f"`{file.name}`, {kind}:\n\n```python\n{text}\n```\n")
    listing = table(["policy", "what it does", "sees"], rows, "lll")
    return listing + "\n" + fold("Source of each policy", "\n".join(sources))


def experiment(data: Data, chosen: Experiment, folder: Path) -> str:
    """Figures, table and CSV of each metric of one experiment; the files go into `folder`."""
    items = []
    for metric in data.entry.metrics:
        rows = data.of(chosen, metric.name)
        if rows.empty:
            continue
        stem = f"{chosen.name}-{metric.name}".replace("_", "-")
        parts = []
        for drawing in figures.draw(chosen, metric, rows, data.entry.policies_of(chosen)):
            path = folder / f"{stem}{drawing.key}.svg"
            style.save(drawing.figure, path)
            label = f"{data.entry.slug}-{path.stem}"
            parts.append(figure(path.name, drawing.alt, drawing.caption, label))
        (folder / f"{stem}.csv").write_text(_csv(chosen, rows), encoding="utf-8")
        parts.append(download(f"{stem}.csv"))
        parts.append(numbers(data.entry, chosen, rows))
        items.append((metric.title, "\n".join(parts)))
    if not items:
        return "No policy has finished this experiment yet.\n"
    return tabs(items)


def numbers(entry: Entry, chosen: Experiment, rows: pandas.DataFrame) -> str:
    """A row per point, a column per policy: simulated means with 95% intervals, else exact values."""
    named = [policy for policy in entry.policies_of(chosen) if (rows["policy"] == policy).any()]
    keys = [key for key in chosen.grid if rows[key].nunique() > 1] or [chosen.x]
    cells = {(row.point, row.policy): _cell(row) for row in rows.itertuples()}
    lines = []
    for point, group in rows.groupby("point", sort=True):
        first = group.iloc[0]
        words = [f"{first[key]:g}" if isinstance(first[key], float) else code(str(first[key])) for key in keys]
        lines.append([*words, *(cells.get((point, policy), "–") for policy in named)])
    header = [key.replace("_", " ") for key in keys] + [escape(style.name(policy)) for policy in named]
    text = table(header, lines, "l" * len(keys) + "r" * len(named))
    if len(lines) > LONG or len(named) > 6:
        return fold(f"Table: {len(lines)} points, {len(named)} policies, with 95% intervals", text)
    return text


def _cell(row) -> str:
    if row.status == "failed" and not np.isfinite(row.mean):
        return span("failed", "failed")
    if row.status == "unstable":
        return span("unstable", "unstable")
    if np.isfinite(row.mean):
        return interval(row.mean, row.halfwidth)
    return digits(row.exact) + " exact" if np.isfinite(row.exact) else "–"


def _csv(chosen: Experiment, rows: pandas.DataFrame) -> str:
    keys = [*chosen.fixed, *chosen.grid]
    columns = ["policy", *keys, "mean", "halfwidth", "replications", "n", "status", "exact", "exact_error"]
    lines = ([getattr(row, key) for key in columns] for row in rows[columns].itertuples())
    clean = ([("" if isinstance(v, float) and not np.isfinite(v) else v) for v in line] for line in lines)
    return comma_separated(columns, clean)


def board(data: Data, rows: list[dict]) -> str:
    """Tables of the scored policies, one per class of information: nobody leads by seeing more; then the gap left."""
    text, holders = "", boards.holders(data.entry)
    unit = f" ({escape(data.entry.main.unit)})" if data.entry.main.unit else ""
    for kind in dict.fromkeys(row["information"] for row in rows):
        lines = []
        for row in (row for row in rows if row["information"] == kind):
            exact = row["source"] == "analysis"
            closed = "–"
            if np.isfinite(row["score"]):
                closed = f"{100 * row['score']:z.1f}%"
                if not exact and row["halfwidth"] > 0:
                    closed += f"\u00a0±\u00a0{100 * row['halfwidth']:.1f}"
            value = digits(row["mean"]) if exact else interval(row["mean"], row["mean_halfwidth"])
            name = escape(style.name(row["policy"])) + (" (record)" if row["policy"] in holders else "")
            lines.append([str(row["place"]) if np.isfinite(row["mean"]) else "", name, value, closed, row["source"]])
        header = ["", kind, f"{data.entry.main.title}{unit}", "gap closed", "by"]
        text += table(header, lines, "rlrrl") + "\n"
    best = [
        f"{kind} {max(100 * share, 0.0):.1f}% ({escape(style.name(policy))})"
        for kind, (policy, share) in boards.left(data.entry, rows).items()
    ]
    return text + (f"**Gap left** by the best of each class: {', '.join(best)}.\n" if best else "")


def history(entry: Entry) -> str:
    """The records of an entry, the newest first; empty when nobody has claimed one."""
    lines = [
        [
            one.date.isoformat() + ("" if one.version == entry.version else f" (version {one.version})"),
            escape(style.name(one.policy)),
            one.information,
            interval(one.mean, one.halfwidth),
            f"{100 * one.improvement:.2g}% (at least {100 * one.at_least:.2g}%)",
            escape(style.name(one.beats)),
        ]
        for one in reversed(records.read(entry))
    ]
    if not lines:
        return ""
    header = ["since", "policy", "among", entry.main.title, "better by", "than"]
    return (
        "**Records**: policies that were the best of those that see no more, verified at the headline point on seeds "
        "that follow from the content of their files, so that the means are not those of the board; limits at "
        "one-sided 99%. The newest first.\n\n" + table(header, lines, "lllrrl")
    )


def references(entry: Entry) -> str:
    """The section of the entry's references with the reason each is cited; empty where there are none."""
    lines = []
    for item in entry.references:
        link = f" [{escape(item.url.removeprefix('https://'))}]({item.url})" if item.url else ""
        lines.append(f"- {item.text.strip()}{link} — {item.reason.strip()}")
    return "\n".join(["## References\n", *lines]) + "\n" if lines else ""


def own_text(entry: Entry) -> str:
    """What the entry's page.md adds to its page; empty where there is none."""
    own = entry.folder / "page.md"
    return own.read_text(encoding="utf-8") if own.is_file() else ""


def write(parts: list[str], folder: Path) -> None:
    """Put the parts that are not empty together as `folder`/index.md."""
    text = "\n".join(part.strip() + "\n" for part in parts if part.strip())
    (folder / "index.md").write_text(text, encoding="utf-8")
