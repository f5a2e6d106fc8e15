"""The page of an entry that answers a question: asked, known, run, found, and how to do better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openqueues.pages import attacks, citation, comparison, sections
from openqueues.pages.data import Data, board
from openqueues.pages.markdown import code, parameters

if TYPE_CHECKING:
    from openqueues.entry import Entry


def write(data: Data, folder: Path) -> dict:
    """Write index.md, figures and CSV files into `folder`; returns the facts that other pages quote."""
    entry = data.entry
    table = board(data)
    parts = [sections.head(data), "## The question\n", entry.statement]
    if entry.known.strip() or (entry.status and entry.status.note):
        parts += ["## What is known\n", entry.known, entry.status.note if entry.status else ""]
    parts.append(attacks.section(entry, folder))
    parts += ["## What is simulated\n", sections.model(entry)]
    parts += ["## Policies\n", sections.policies(entry)]
    parts += ["## Results\n"]
    for experiment in entry.experiments:
        parts += [f"### {experiment.title}\n", sections.experiment(data, experiment, folder)]
    compared, facts = comparison.section(data, folder, "Published numbers", level=3)
    parts += compared
    if table:
        parts += ["## How much of the gap is closed\n", gap(entry), sections.board(data, table)]
        parts.append(sections.history(entry))
    parts += ["## How to beat it\n", entry.improve, commands(entry)]
    parts += [sections.own_text(entry), sections.references(entry), citation.MARK]
    sections.write(parts, folder)
    return facts | {"scores": table}


def gap(entry: Entry) -> str:
    """What the score means in this entry, in a paragraph."""
    point = parameters(entry.headline.point)
    ceiling = f"the ceiling {code(entry.policies.ceiling)}" if entry.policies.ceiling else "the bound"
    return (
        f"At {point}, 0% is the floor {code(entry.policies.floor or '–')}, which uses no prediction, and "
        f"100% is {ceiling}: score = (floor − policy) / (floor − ceiling), from exact values where "
        "analysis knows them, else with a 95% interval over paired replications. "
        "Policies compete with those that see as much as they do.\n"
    )


def commands(entry: Entry) -> str:
    """How a reader tries a policy of their own on this entry."""
    return f"""```console
$ openqueues new policy {entry.slug} mine
$ openqueues check {entry.slug}
$ openqueues run {entry.slug} --tier smoke --policy mine
$ openqueues claim {entry.slug} mine
$ snakemake
```

The first command writes a policy of ten lines to start from; `check` tries it and says what is missing; `run`
simulates it alone; `claim` compares it with all that see no more on seeds that follow from its content, and records
it if it is the best; `snakemake` runs whatever is new and rebuilds this page with it.
"""
