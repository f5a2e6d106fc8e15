"""`openqueues plan`: what a tier costs before it is run, by measured rates, and the jobs that it is cut into."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter

from openqueues import costs, registry
from openqueues.entry import TIERS, Entry
from openqueues.listing import columns
from openqueues.models.errors import InputError

# Bytes of a row of results (a replication of a metric at a point) and of a cell's two files beside: rounded up.
ROW_BYTES, CELL_BYTES = 40, 20_000


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues plan` to its parser."""
    command.add_argument("entry", nargs="?", metavar="ENTRY", help="name or question (default: all entries)")
    command.add_argument("--tier", choices=TIERS, default="standard", help="which tier (default: standard)")
    command.add_argument("--price", type=float, metavar="P", help="price of a core for an hour, in your currency")
    command.add_argument("--json", action="store_true", help="JSON instead of a table")
    command.add_argument(
        "--measure", action="store_true", help="measure the rates again and write them beside the entries"
    )


def run(chosen: argparse.Namespace) -> int:
    """Print the plan, after measuring if that is asked for; 1 when a cell could not be measured."""
    entries = [registry.entry(chosen.entry)] if chosen.entry else registry.entries()
    if chosen.price is not None and not (math.isfinite(chosen.price) and chosen.price >= 0):
        raise InputError(f"--price is {chosen.price}, but must be a number that is not negative.")
    failed = _measure(entries) if chosen.measure else False
    rows = [row(entry, chosen.tier) for entry in entries]
    total = summary(entries, chosen.tier)
    if chosen.price is not None:
        total["price"] = round(total["core_hours"] * chosen.price, 2)
    if chosen.json:
        print(json.dumps({"entries": rows, "total": total}, indent=1, ensure_ascii=False))
        return failed
    table = [["entry", "cells", "core hours", "longest cell [min]", "memory [MB]"]]
    table += [
        [r["slug"], str(r["cells"]), f"{r['core_hours']:.3g}", f"{r['longest_minutes']:.3g}", str(r["memory_mb"])]
        for r in sorted(rows, key=lambda r: -r["core_hours"])
    ]
    print(columns(table, right=range(1, 5)), "", said(total), sep="\n")
    return failed


def row(entry: Entry, tier: str) -> dict:
    """What an entry costs at a tier: cells, core hours, minutes of its longest cell, memory of its largest."""
    found = _costs([entry], tier)
    return {
        "slug": entry.slug,
        "cells": len(found),
        "core_hours": sum(cost.seconds for cost in found) / 3600,
        "longest_minutes": max(cost.seconds for cost in found) / 60,
        "memory_mb": max(cost.memory_mb for cost in found),
    }


def summary(entries: list[Entry], tier: str) -> dict:
    """What a tier costs in all, and the jobs of a cluster that its cells are put together in.

    `overhead` is the time that jobs take to start there as a share of the time of the cells.
    """
    found = _costs(entries, tier)
    groups = Counter(cost.share for cost in found)
    jobs = sum(math.ceil(number / share) for share, number in groups.items())
    seconds = sum(cost.seconds for cost in found)
    return {
        "tier": tier,
        "cells": len(found),
        "core_hours": seconds / 3600,
        "longest_hours": max((cost.seconds for cost in found), default=0.0) / 3600,
        "memory_mb": max((cost.memory_mb for cost in found), default=0),
        "disk_mb": round(_bytes(entries, tier) / 1e6),
        "jobs": jobs,
        "overhead": jobs * costs.JOB_SECONDS / seconds if found else 0.0,
    }


def said(total: dict) -> str:
    """A summary in two sentences."""
    price = f", {total['price']:,.2f} at that price" if "price" in total else ""
    return (
        f"{total['tier']}: {total['cells']} cells, about {total['core_hours']:.3g} core hours{price}; "
        f"{total['disk_mb']} MB of results.\n"
        f"On a cluster: {total['jobs']} jobs, whose start takes {total['overhead']:.1%} of the time of the cells."
    )


def _costs(entries: list[Entry], tier: str) -> list[costs.Cost]:
    return [
        costs.of(entry, experiment, policy, tier)
        for entry in entries
        for experiment in entry.experiments
        for policy in entry.policies_of(experiment)
    ]


def _bytes(entries: list[Entry], tier: str) -> float:
    total = 0.0
    for entry in entries:
        for experiment in entry.experiments:
            rows = len(experiment.points(tier)) * (experiment.tier(tier).replications + 2) * len(entry.metrics)
            total += len(entry.policies_of(experiment)) * (CELL_BYTES + ROW_BYTES * rows)
    return total


def _measure(entries: list[Entry]) -> bool:
    """Measure the entries' rates and keep them entry by entry; whether a cell failed."""
    from openqueues import timing

    file = costs.table()
    rows, failed = costs.read(file), False
    for number, entry in enumerate(entries, start=1):
        rows = {key: rates for key, rates in rows.items() if key[0] != entry.slug}
        for key, rates in timing.measure(entry):
            if rates is None:
                failed = True
                print(f"openqueues: {' '.join(key)} failed and has no rates.", file=sys.stderr)
            else:
                rows[key] = rates
        costs.write(rows, file)
        print(f"[{number}/{len(entries)}] {entry.slug}", file=sys.stderr, flush=True)
    costs.forget()
    return failed
