"""What the tiers cost, for the page on many machines: generated from the plan and the rates that were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openqueues import costs, plan_cli
from openqueues.entry import TIERS
from openqueues.pages.markdown import table

if TYPE_CHECKING:
    from openqueues.entry import Entry

# Dollars for a core for an hour; book/machines.md says whose price it is.
PRICE = 0.085
DEAREST = 5


def tiers(entries: list[Entry]) -> str:
    """A row per tier: cells, core hours, dollars, the longest cell, memory, disk, jobs of a cluster and their start."""
    rows = []
    for tier in TIERS:
        total = plan_cli.summary(entries, tier)
        rows.append([
            tier, str(total["cells"]), f"{total['core_hours']:,.3g}", f"{PRICE * total['core_hours']:,.2f}",
            f"{total['longest_hours']:,.2g}", f"{total['memory_mb'] / 1000:,.2g}", f"{total['disk_mb']:,}",
            str(total["jobs"]), f"{total['overhead']:.1%}",
        ])  # fmt: skip
    header = [
        "tier", "cells", "core hours", "dollars", "longest cell [hours]", "memory of a cell at most [GB]",
        "results [MB]", "cluster jobs", "starts there, of the cells' time",
    ]  # fmt: skip
    return table(header, rows, "l" + "r" * (len(header) - 1))


def dearest(entries: list[Entry]) -> str:
    """The entries that take most of the paper tier."""
    rows = sorted((plan_cli.row(entry, TIERS[-1]) for entry in entries), key=lambda row: -row["core_hours"])[:DEAREST]
    lines = [[row["slug"], f"{row['core_hours']:,.3g}", f"{row['longest_minutes'] / 60:,.2g}"] for row in rows]
    return table(["entry", "core hours of its paper tier", "longest cell [hours]"], lines, "lrr")


def constants() -> str:
    """What a job's start was measured to take, and the work that it is given."""
    return (
        f"a job takes {costs.JOB_SECONDS:g} s of one core before its first cell starts, so the cells of a job together "
        f"take up to {costs.WORK_SECONDS:g} s, and at least a quarter of that in a job that is full"
    )
