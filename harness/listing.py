"""What `openqueues list` prints: the entries, and which of the paper's questions they answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from openqueues import registry
from openqueues.entry import TIERS, Entry


def entries(as_json: bool = False) -> str:
    """All entries with ids, title, and jobs to simulate per tier."""
    rows = [_row(entry) for entry in registry.entries()]
    if as_json:
        return json.dumps(rows, indent=1, ensure_ascii=False)
    if not rows:
        return f"No entry in {registry.problems_folder()}: `openqueues new problem NAME` starts one."
    table = [["answers", "entry", *TIERS, "title"]]
    for row in rows:
        sizes = [f"{row['tiers'][tier]['jobs']:.1e}" for tier in TIERS]
        table.append([" ".join(row["answers"]) or "-", row["slug"], *sizes, row["title"]])
    answered = {answer for row in rows for answer in row["answers"]}
    note = f"Tiers: jobs simulated in all. {len(answered)} of {len(registry.questions())} questions answered."
    return "\n".join([columns(table), "", note])


def questions(as_json: bool = False) -> str:
    """The paper's questions with the entries that answer each."""
    answering: dict[str, list[str]] = {}
    for entry in registry.entries():
        for answer in entry.answers:
            answering.setdefault(answer, []).append(entry.slug)
    rows = [
        {"id": q.id, "section": q.section, "gist": q.gist, "show": q.show, "entries": answering.get(q.id, [])}
        for q in registry.questions().values()
    ]
    if as_json:
        return json.dumps(rows, indent=1, ensure_ascii=False)
    table = [["id", "entry", "question"]]
    table += [[row["id"], " ".join(row["entries"]) or "-", row["gist"]] for row in rows]
    return "\n".join([columns(table), "", f"{len(answering)} of {len(rows)} questions have an entry."])


def columns(table: list[list[str]], right: Iterable[int] = ()) -> str:
    """Rows of text as aligned columns; those whose numbers are in `right` are aligned on the right."""
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    right = set(right)
    lines = []
    for row in table:
        cells = [c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def from_here(path: Path) -> str:
    """A path as one types it: from the working directory, where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _row(entry: Entry) -> dict:
    tiers = {}
    for name in TIERS:
        cells = jobs = 0
        for experiment in entry.experiments:
            policies, tier = len(entry.policies_of(experiment)), experiment.tier(name)
            cells += policies
            jobs += policies * len(experiment.points(name)) * tier.jobs * tier.replications
        tiers[name] = {"cells": cells, "jobs": jobs}
    return {
        "slug": entry.slug,
        "kind": entry.kind,
        "answers": entry.answers,
        "title": entry.title,
        "summary": entry.summary,
        "version": entry.version,
        "tiers": tiers,
        "experiments": [experiment.name for experiment in entry.experiments],
        "policies": entry.all_policies,
    }
