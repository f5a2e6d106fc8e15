"""Where each question stands: the state of its theory and the best policy, as a map, as words and as a figure."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from html import escape as html
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import registry
from openqueues.pages import style
from openqueues.pages.markdown import comma_separated, directive, download, escape, figure, interval

if TYPE_CHECKING:
    from openqueues.entry import Entry

SECTIONS = {
    "2.1": "Single queues: models and analysis",
    "2.2": "One bit and more",
    "2.3": "Worst-case bounds",
    "2.4": "The cost of predictions",
    "2.5": "Many servers",
    "4.1": "Scheduling in LLM serving",
    "4.2": "Cost, batch work, prompt sharing",
    "4.3": "Pools of GPUs",
    "5.1": "API-augmented requests",
    "5.2": "Choosing and drafting models",
    "5.3": "Compound systems",
    "6": "Reasoning",
}
STATES = {
    "none": ("·", "no entry yet"),
    "open": ("○", "entry here, theory open"),
    "partly": ("◐", "entry here, theory partly settled"),
    "settled": ("●", "entry here, theory settled"),
}


def page(entry: Entry) -> str:
    """Path of an entry's page inside the book, without suffix."""
    return f"entries/{entry.slug}/index"


def answering(entries: list[Entry]) -> dict[str, list[Entry]]:
    """Entries by the question that they answer."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        for answer in entry.answers:
            found[answer].append(entry)
    return found


def state(question: str, found: dict[str, list[Entry]]) -> str:
    """State of a question: none without an entry, else the most settled theory that its entries report."""
    if not found.get(question):
        return "none"
    order = ("open", "partly", "settled")
    states = [entry.status.state if entry.status else "open" for entry in found[question]]
    return max(states, key=order.index)


def chart(entries: list[Entry], facts: dict[str, dict]) -> str:
    """The questions as tiles in rows of the paper's sections: state, and the gap that the best policy closes.

    A tile leads to the page of its entry. It is HTML, not a picture: it follows the reader's width and colours.
    """
    found = answering(entries)
    rows: dict[str, list[str]] = defaultdict(list)
    for question in registry.questions().values():
        rows[question.section].append(_tile(question, found.get(question.id, []), state(question.id, found), facts))
    lines = ["<div class='map'>"]
    for section, tiles in rows.items():
        name = f"<p><b>{html(section)}</b> {html(SECTIONS.get(section, ''))}</p>"
        lines.append(f"<div class='section'>{name}<div class='tiles'>{''.join(tiles)}</div></div>")
    lines.append("<p class='key'>")
    lines += [f"<span class='tile {kind}'>{sign} {html(words)}</span>" for kind, (sign, words) in STATES.items()]
    return directive("raw", "html", "\n".join([*lines, "</p></div>"]))


def _tile(question: registry.Question, entries: list[Entry], kind: str, facts: dict[str, dict]) -> str:
    """One question of the chart; where several entries answer it, the first is shown."""
    sign, words = STATES[kind]
    head = f"<span class='head'><b>{html(question.id)}</b> <span title='{words}'>{sign}</span></span>"
    if not entries:
        return f"<span class='tile {kind}' title='{html(question.gist)}'>{head}</span>"
    entry = entries[0]
    leader = leading(entry, facts[entry.slug].get("scores", []))
    bar, share = "", "–"
    if leader and finite(leader["score"]):
        share = f"{min(max(100 * leader['score'], 0), 100):.0f}%"
        bar = f"<i style='width:{share}'></i>"
    said = f"{question.gist} Best so far: {described(entry, leader) or 'not scored'}."
    return (
        f"<a class='tile {kind}' href='{page(entry)}.html' title='{html(said)}'>{head}"
        f"<span class='bar'>{bar}</span><small>{share}</small></a>"
    )


def best(entry: Entry, facts: dict[str, dict]) -> str:
    """The best policy at the headline with its score, else with its value; empty where there is none."""
    return escape(described(entry, leading(entry, facts.get(entry.slug, {}).get("scores", []))))


def described(entry: Entry, leader: dict | None) -> str:
    """A row of the board as plain words: the policy with its score, else with its value; empty for none."""
    if leader is None:
        return ""
    name = style.name(leader["policy"])
    if finite(leader["score"]):
        width = 100 * (leader["halfwidth"] or 0)
        sure = f"\u00a0±\u00a0{width:.1f}" if width >= 0.05 else ""
        return f"{name}: {100 * leader['score']:.1f}%{sure} of the gap"
    value = interval(leader["mean"], leader["mean_halfwidth"] or 0.0)
    return f"{name}: {entry.main.title} {value} {entry.main.unit}".rstrip()


def leading(entry: Entry, scores: list[dict]) -> dict | None:
    """The best row of the board that is neither told the sizes nor the ceiling."""
    rows = [row for row in scores if row["information"] != "oracle" and row["policy"] != entry.policies.ceiling]
    scored = [row for row in rows if finite(row["score"])]
    if scored:
        return max(scored, key=lambda row: row["score"])
    sign = 1 if entry.main.direction == "max" else -1
    measured = [row for row in rows if finite(row["mean"])]
    return max(measured, key=lambda row: sign * row["mean"], default=None)


def headlines(entries: list[Entry], facts: dict[str, dict], folder: Path) -> str:
    """How much of the gap each entry's policies close, in one figure; empty when no entry has a score."""
    found = [(entry, facts[entry.slug].get("scores", [])) for entry in entries]
    known = [(entry, [row for row in rows if finite(row["score"])]) for entry, rows in found]
    scored = [(entry, rows) for entry, rows in known if rows]
    if not scored:
        return ""
    drawing = _headlines(scored)
    style.save(drawing, folder / "headlines.svg")
    columns = ["policy", "information", "score", "halfwidth", "mean", "mean_halfwidth", "source"]
    lines = [[entry.slug, *(row[key] for key in columns)] for entry, rows in scored for row in rows]
    (folder / "headlines.csv").write_text(comma_separated(["entry", *columns], lines), encoding="utf-8")
    drawn = figure(
        "headlines.svg",
        "Gap between floor and ceiling that each policy closes, entry by entry",
        "How much of the gap between blind and clairvoyant service each policy closes, at each entry's "
        "headline point, by what it is told, with 95% intervals where the numbers are simulated. 0%: the "
        "floor; 100%: the ceiling; what lies further out is cut off. At the right the best policy that is "
        "neither told the sizes nor the ceiling; the boards on the entries' pages name them all.",
        "headlines",
    )
    return drawn + "\n" + download("headlines.csv")


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _headlines(scored: list[tuple[Entry, list[dict]]]):
    drawing = style.figure(8.0, 0.9 + 0.5 * len(scored))
    axis = drawing.subplots()
    for row, (entry, scores) in enumerate(scored):
        for k, item in enumerate(sorted(scores, key=lambda row: row["score"])):
            colour, marker = style.CLASSES[item["information"]]
            axis.errorbar(
                [100 * item["score"]], [row + (0.16 if k % 2 else -0.16)], xerr=[100 * (item["halfwidth"] or 0)],
                marker=marker, color=colour, linestyle="none", elinewidth=1.1, capsize=2, markersize=6.5,
            )  # fmt: skip
        if leader := leading(entry, scores):
            at = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
            axis.annotate(style.name(leader["policy"]), (1.01, row), **at)
        if row % 2 == 0:
            axis.axhspan(row - 0.5, row + 0.5, color="#f6f6f4", zorder=0, linewidth=0)
    titles = [
        textwrap.shorten(f"{', '.join(entry.answers)}  {entry.title}", 62, placeholder=" …") for entry, _ in scored
    ]
    axis.set_yticks(range(len(scored)), ["\n".join(textwrap.wrap(title, 34)) for title in titles])
    axis.set_ylim(len(scored) - 0.5, -0.5)
    axis.set_xlim(-25, 110)
    axis.grid(False, axis="y")
    axis.set_xlabel("gap closed [%]")
    present = {item["information"] for _, scores in scored for item in scores}
    style.legend_of_classes(drawing, [name for name in style.CLASSES if name in present])
    return drawing
