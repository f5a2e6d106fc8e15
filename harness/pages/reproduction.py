"""The page of a reproduction: every printed number beside analysis and simulation, then how they were made."""

from __future__ import annotations

from pathlib import Path

from openqueues.pages import attacks, citation, comparison, sections
from openqueues.pages.data import Data


def write(data: Data, folder: Path) -> dict:
    """Write index.md, figures and CSV files into `folder`; returns the facts that other pages quote."""
    entry = data.entry
    compared, facts = comparison.section(data, folder, "In short", level=2)
    parts = [sections.head(data), entry.statement, *compared]
    if entry.known.strip():
        parts += ["## What is known\n", entry.known]
    parts.append(attacks.section(entry, folder))
    parts += [sections.own_text(entry), "## What was run\n", sections.model(entry), sections.policies(entry)]
    for experiment in entry.experiments:
        parts += [f"### {experiment.title}\n", sections.experiment(data, experiment, folder)]
    parts += [sections.references(entry), citation.MARK]
    sections.write(parts, folder)
    return facts
