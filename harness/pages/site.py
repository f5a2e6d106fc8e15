"""The pages that speak of all entries: paper in figures, coverage, performance, contents."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from openqueues import registry, verdicts
from openqueues.pages import comparison, standing, style
from openqueues.pages.markdown import digits, escape, fold, front, span, stacked, table
from openqueues.pages.standing import SECTIONS, STATES, page

if TYPE_CHECKING:
    from openqueues.entry import Entry


def paper(entries: list[Entry], facts: dict[str, dict]) -> str:
    """The paper in figures: printed values that are reproduced, that differ, that contradict each other."""
    chosen, every = compared(entries, facts)
    text = [
        front("The survey's printed numbers beside analysis and simulation, each with a verdict.")
        + "# The paper in figures\n",
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


def compared(entries: list[Entry], facts: dict[str, dict]) -> tuple[list[Entry], list[dict]]:
    """The entries with printed values, reproductions first, and a row per value with its verdict."""
    chosen = [entry for entry in entries if entry.kind == "reproduction" or facts[entry.slug].get("verdicts")]
    chosen.sort(key=lambda entry: entry.kind != "reproduction")
    rows = [row for entry in chosen for row in facts[entry.slug].get("verdicts", [])]
    every = [{key: float("nan") if value is None else value for key, value in row.items()} for row in rows]
    return chosen, [row | {"parameters": json.loads(row["parameters"])} for row in every]


def summary(entries: list[Entry], facts: dict[str, dict], tier: str) -> str:
    """The state of the whole in three sentences."""
    questions, found = registry.questions(), standing.answering(entries)
    done = sum(1 for question in questions if found.get(question))
    _, every = compared(entries, facts)
    printed = f" {comparison.counts(every).strip()}" if every else ""
    return f"{done} of {len(questions)} questions have an entry.{printed} All numbers are of the tier *{tier}*.\n"


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


def coverage(entries: list[Entry], facts: dict[str, dict], folder: Path) -> str:
    """Every question of the paper: what is asked, what a run must show, which entry does, and how far it got.

    The figure of all headlines and its data go into `folder`.
    """
    found = standing.answering(entries)
    questions = registry.questions()
    done = sum(1 for question in questions if found.get(question))
    text = [
        front(f"Each of the {len(questions)} open questions: what is asked, which entry runs it, and how far it is.")
        + "# Coverage of the paper's questions\n",
        f"The paper asks {len(questions)} open questions; {done} have an entry. The state of the theory is "
        "kept by hand, with a date and a note on each entry's page; everything else here is generated. The best "
        "policy is the best at the entry's headline point of those that are not told the sizes and are not the "
        "ceiling: with the share of the gap between floor and ceiling that it closes, or, where nothing is "
        "known to be a ceiling, with the value itself, which progress would move.\n",
    ]
    sections: dict[str, list[list[str]]] = defaultdict(list)
    for question in questions.values():
        kind = standing.state(question.id, found)
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
                "; ".join(filter(None, (standing.best(entry, facts) for entry in found.get(question.id, [])))) or "–",
            ]  # fmt: skip
        )
    for key, rows in sections.items():
        text += [
            f"## {key} {SECTIONS.get(key, '')}\n",
            stacked(["", "asked", "what a run must show", "entry", "best policy so far"], rows),
        ]
    if drawn := standing.headlines(entries, facts, folder):
        text += ["## How far is it to clairvoyance?\n", drawn]
    return "\n".join(text)


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


def performance(file: Path) -> str:
    """The performance chapter from the benchmark's JSON, or how to make it where it was not run."""
    text = [front("Measured speed of the kernels and of LLM serving, beside other programs.") + "# Performance\n"]
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
