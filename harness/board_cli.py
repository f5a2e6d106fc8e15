"""`openqueues board`: the boards of an entry by class of information, the records that stand, and the gap left."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from openqueues import boards, records, registry, results
from openqueues.entry import TIERS, Entry
from openqueues.listing import columns
from openqueues.models.errors import InputError


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("entry", nargs="?", metavar="ENTRY", help="name or question (default: all with results)")
    command.add_argument("--tier", choices=TIERS, default="standard", help="whose results (default: standard)")
    command.add_argument("--results", default="results", metavar="DIR", help="folder of results (default: results)")
    command.add_argument("--json", action="store_true", help="JSON instead of tables")


def run(chosen: argparse.Namespace) -> int:
    """Print the boards; InputError when the entry has no headline or there are no results."""
    entries = [registry.entry(chosen.entry)] if chosen.entry else registry.entries()
    found = []
    for entry in entries:
        folder = Path(chosen.results) / chosen.tier / entry.slug
        if entry.headline is None or not any(folder.glob("*/*.parquet")):
            if chosen.entry:
                why = "has no headline point" if entry.headline is None else f"has no results in {folder}"
                raise InputError(f"{entry.slug} {why}: `openqueues run {entry.slug} --tier {chosen.tier}` makes some.")
            continue
        found.append((entry, boards.board(entry, results.load(folder)).to_dict("records"), records.read(entry)))
    if not found:
        raise InputError(f"{chosen.results} holds no results of tier {chosen.tier}: `openqueues run ENTRY` makes some.")
    if chosen.json:
        print(json.dumps([_plain(*one) for one in found], indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(_text(*one, chosen.tier) for one in found))
    return 0


def _plain(entry: Entry, rows: list[dict], kept: list[records.Record]) -> dict:
    clean = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    history = [{field: getattr(one, field) for field in one.__struct_fields__} for one in kept]
    history = [one | {"date": one["date"].isoformat()} for one in history]
    return {"entry": entry.slug, "metric": entry.main.name, "unit": entry.main.unit, "board": clean, "records": history}


def _text(entry: Entry, rows: list[dict], kept: list[records.Record], tier: str) -> str:
    """Tables of one entry by class, what the best of each leaves of the gap, who has no value, and the records."""
    without = [row["policy"] for row in rows if math.isnan(row["mean"])]
    rows = [row for row in rows if row["policy"] not in without]
    better = "lower" if entry.main.direction == "min" else "higher"
    unit = f" [{entry.main.unit}]" if entry.main.unit else ""
    point = ", ".join(f"{key}={value}" for key, value in entry.headline.point.items())
    top = f"the ceiling, {entry.policies.ceiling}" if entry.policies.ceiling else "the bound"
    lines = [f"{entry.slug}: {entry.main.name}{unit}, {better} is better, at {point}"]
    lines += [f"0%: the floor, {entry.policies.floor}; 100%: {top}; *: holds the record of its class"]
    left, holders = boards.left(entry, rows), boards.holders(entry)
    for kind in dict.fromkeys(row["information"] for row in rows):
        table = [["", kind, entry.main.name, "95% +-", "gap closed", "+-"]]
        table += [_row(row, row["policy"] in holders) for row in rows if row["information"] == kind]
        lines += ["", columns(table, right=(0, 2, 3, 4, 5))]
        if kind in left:
            policy, share = left[kind]
            lines.append(f"   gap left: {100 * share:z.1f}%, by {policy}" if share > 0 else "   gap left: none")
    if without:
        again = f"`openqueues run {entry.slug} --tier {tier}` makes what is missing"
        lines += ["", f"Not run, or not stable there: {', '.join(without)}; {again}."]
    if kept:
        table = [["record of", "policy", "among", entry.main.name, "better than", "by", "at least (99%)", "version"]]
        for one in kept:
            words = [one.date.isoformat(), one.policy, one.information, f"{one.mean:.5g}", one.beats]
            table.append([*words, f"{one.improvement:.2%}", f"{one.at_least:.2%}", str(one.version)])
        lines += ["", columns(table, right=(3, 5, 6, 7))]
    return "\n".join(lines)


def _row(row: dict, holds: bool) -> list[str]:
    name = row["policy"] + (" *" if holds else "")
    exact, closed, about = row["source"] == "analysis", row["score"], row["halfwidth"]
    return [
        str(row["place"]),
        name,
        f"{row['mean']:.5g}",
        "exact" if exact else f"{row['mean_halfwidth']:.2g}",
        "-" if math.isnan(closed) else f"{100 * closed:z.1f}%",
        "-" if math.isnan(about) else f"{100 * about:.1f}",
    ]
