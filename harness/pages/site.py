"""The pages that speak of all entries: landing page, paper in figures, coverage, performance, contents."""

from __future__ import annotations

import json
import math
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import registry, verdicts
from openqueues.pages import comparison, style
from openqueues.pages.markdown import digits, escape, figure, fold, interval, span, table

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


def grid(entries: list[Entry]) -> str:
    """All questions as a table of chips, a row per section; a chip leads to its entry's page."""
    found = answering(entries)
    sections: dict[str, list[str]] = defaultdict(list)
    for question in registry.questions().values():
        kind = state(question.id, found)
        words = f"{question.id} {STATES[kind][0]}"
        target = f"[{words}]({page(found[question.id][0])}.md)" if found.get(question.id) else f"[{words}]"
        sections[question.section].append(f"{target}{{.chip .{kind}}}")
    rows = [[f"**{key}** {SECTIONS.get(key, '')}", " ".join(chips)] for key, chips in sections.items()]
    marks = " ".join(f"[{sign} {words}]{{.chip .{kind}}}" for kind, (sign, words) in STATES.items())
    return table(["section of the paper", "its open questions"], rows, "ll") + f"\n{marks}\n"


def paper(entries: list[Entry], facts: dict[str, dict]) -> str:
    """The paper in figures: printed values that are reproduced, that differ, that contradict each other."""
    chosen = [entry for entry in entries if entry.kind == "reproduction" or facts[entry.slug].get("verdicts")]
    chosen.sort(key=lambda entry: entry.kind != "reproduction")
    every = [
        row | {"parameters": json.loads(row["parameters"])} for e in chosen for row in facts[e.slug].get("verdicts", [])
    ]
    every = [{key: float("nan") if value is None else value for key, value in row.items()} for row in every]
    text = [
        "# The paper in figures\n",
        "The survey's own tables and figures, computed again twice: by analysis without simulation, and by "
        "simulation without analysis. What it quotes of measured systems is simulated under stated assumptions. Every "
        "printed number has a verdict.\n",
    ]
    if every:
        text += [comparison.counts(every), comparison.legend(every)]
    rows = []
    for entry in chosen:
        number = facts[entry.slug].get("counts", {})
        cells = [
            span(f"{number[verdict]} {sign}", comparison.KINDS[verdict]) if number.get(verdict) else "–"
            for verdict, sign in comparison.SIGNS.items()
        ]
        rows.append([f"[{escape(entry.title)}]({page(entry)}.md)", *cells])
    text.append(table(["page", "agree", "differ", "cannot tell"], rows))
    clashes = conflicts(every)
    if clashes:
        text += ["## Printed values that contradict each other\n", clashes]
    text += comparison.findings(every, level=2)
    return "\n".join(text)


def conflicts(rows: list[dict]) -> str:
    """Values printed for one quantity that differ by more than their rounding and noise, as a table."""
    import pandas

    if not rows:
        return ""
    texts = [row | {"parameters": json.dumps(row["parameters"], sort_keys=True)} for row in rows]
    lines = []
    for row in verdicts.conflicts(pandas.DataFrame(texts)).to_dict("records"):
        where = ", ".join(f"{key} {value}" for key, value in json.loads(row["parameters"]).items())
        lines.append([
            escape(style.name(row["policy"])), escape(where),
            f"{escape(row['source_a'])}: {row['printed_a']}",
            f"{escape(row['source_b'])}: {row['printed_b']}",
            digits(row["exact"]), escape(row["supported"]),
        ])  # fmt: skip
    if not lines:
        return ""
    header = ["policy", "at", "one print", "another", "exact", "the exact value supports"]
    return table(header, lines, "llllrl")


def coverage(entries: list[Entry], facts: dict[str, dict]) -> str:
    """Every question of the paper: what is asked, what a run must show, which entry does, and how far it got."""
    found = answering(entries)
    questions = registry.questions()
    done = sum(1 for question in questions if found.get(question))
    text = [
        "# Coverage of the paper's questions\n",
        f"The paper asks {len(questions)} open questions; {done} have an entry. The state of the theory is "
        "kept by hand, with a date and a note on each entry's page; everything else here is generated. The best "
        "policy is the best at the entry's headline point of those that are not told the sizes and are not the "
        "ceiling: with the share of the gap between floor and ceiling that it closes, or, where nothing is "
        "known to be a ceiling, with the value itself, which progress would move.\n",
    ]
    sections: dict[str, list[list[str]]] = defaultdict(list)
    for question in questions.values():
        kind = state(question.id, found)
        sign, words = STATES[kind]
        links = (
            ", ".join(f"[{escape(entry.title)}]({page(entry)}.md)" for entry in found.get(question.id, []))
            or "none yet"
        )
        sections[question.section].append(
            [
                f"[{question.id} {sign}]{{.chip .{kind}}}",
                escape(question.gist),
                escape(question.show),
                links,
                "; ".join(filter(None, (best(entry, facts) for entry in found.get(question.id, [])))) or "–",
            ]  # fmt: skip
        )
    for key, rows in sections.items():
        text += [
            f"## {key} {SECTIONS.get(key, '')}\n",
            table(["", "asked", "what a run must show", "entry", "best policy so far"], rows, "lllll"),
        ]
    return "\n".join(text)


def best(entry: Entry, facts: dict[str, dict]) -> str:
    """The best policy at the headline with its score, else with its value; empty where there is none."""
    leader = _leader(entry, facts.get(entry.slug, {}).get("scores", []))
    if leader is None:
        return ""
    name = escape(style.name(leader["policy"]))
    if _finite(leader["score"]):
        width = 100 * (leader["halfwidth"] or 0)
        sure = f"\u00a0±\u00a0{width:.1f}" if width >= 0.05 else ""
        return f"{name}: {100 * leader['score']:.1f}%{sure} of the gap"
    value = interval(leader["mean"], leader["mean_halfwidth"] or 0.0)
    return f"{name}: {entry.main.name.replace('_', ' ')} {value} {escape(entry.main.unit)}"


def _leader(entry: Entry, scores: list[dict]) -> dict | None:
    """The best row of the board that is neither told the sizes nor the ceiling."""
    rows = [row for row in scores if row["information"] != "oracle" and row["policy"] != entry.policies.ceiling]
    scored = [row for row in rows if _finite(row["score"])]
    if scored:
        return max(scored, key=lambda row: row["score"])
    sign = 1 if entry.main.direction == "max" else -1
    measured = [row for row in rows if _finite(row["mean"])]
    return max(measured, key=lambda row: sign * row["mean"], default=None)


def contents(template: str, entries: list[Entry]) -> str:
    """The table of contents: the lines `# reproductions` and `# questions` become the entries' pages."""
    lines = []
    for line in template.splitlines():
        mark = line.strip().removeprefix("# ")
        kind = {"reproductions": "reproduction", "questions": "question"}.get(mark)
        if kind is None or not line.strip().startswith("# "):
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}- file: {page(entry)}" for entry in entries if entry.kind == kind]
    return "\n".join(lines) + "\n"


def headlines(entries: list[Entry], facts: dict[str, dict], folder: Path) -> str:
    """How much of the gap each entry's policies close, in one figure; empty when no entry has a score."""
    found = [(entry, facts[entry.slug].get("scores", [])) for entry in entries]
    finite = [(entry, [row for row in rows if _finite(row["score"])]) for entry, rows in found]
    scored = [(entry, rows) for entry, rows in finite if rows]
    if not scored:
        return ""
    drawing = _headlines(scored)
    style.save(drawing, folder / "headlines.svg")
    return figure(
        "headlines.svg",
        "Gap between floor and ceiling that each policy closes, entry by entry",
        "How much of the gap between blind and clairvoyant service each policy closes, at each entry's "
        "headline point, by what it is told, with 95% intervals where the numbers are simulated. 0%: the "
        "floor; 100%: the ceiling; what lies further out is cut off. At the right the best policy that is "
        "neither told the sizes nor the ceiling; the boards on the entries' pages name them all.",
        "headlines",
    )


def _finite(value: float | None) -> bool:
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
        if leader := _leader(entry, scores):
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


def performance(file: Path) -> str:
    """The performance chapter from the benchmark's JSON, or how to make it where it was not run."""
    text = ["# Performance\n"]
    if not file.is_file():
        text.append(
            "The benchmark has not been run here: `python benchmarks/run.py` makes its numbers, and "
            "`snakemake` then shows them on this page.\n"
        )
        return "\n".join(text)
    text.append(
        "Every timed run of a queue is checked against the exact mean response time, every one of LLM serving by "
        "counting requests, tokens and blocks, or against the other program's times. A ratio is the median over "
        "repetitions that are interleaved with what they are compared with; `benchmarks/README.md` holds the "
        "rules, and what the other programs do more and less.\n"
    )
    for key, part in json.loads(file.read_text(encoding="utf-8")).items():
        rows = part["rows"]
        header = list(rows[0])
        right = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in header]
        align = "".join("r" if one else "l" for one in right)
        lines = [[_number(row.get(name)) for name in header] for row in rows]
        machine = [[escape(name), escape(str(value))] for name, value in part.get("provenance", {}).items()]
        text += [f"## {escape(part.get('title', key.capitalize()))}\n", " ".join(part["what"].split()) + "\n"]
        text += [table([escape(name) for name in header], lines, align)]
        text += [fold("Machine and versions", table(["", ""], machine, "ll"))] if machine else []
    return "\n".join(text)


def _number(value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
