"""`openqueues changes`: the numbers that moved between two folders of results, as tables or for CHANGELOG.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas
from openqueues import changes, registry
from openqueues.changes import Change, Comparison
from openqueues.entry import TIERS
from openqueues.listing import columns
from openqueues.pages.markdown import code, interval, parameters, percent

FEW = 3  # policies of the headline, names of a list
NONE = "No number moved."


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options of `openqueues changes` to its parser."""
    command.add_argument("old", metavar="OLD", help="folder of results before the change, such as a copy of results")
    command.add_argument("new", metavar="NEW", help="folder of results after it")
    command.add_argument("--tier", choices=TIERS, default="standard", help="whose results (default: standard)")
    command.add_argument("--markdown", action="store_true", help="lines for CHANGELOG.md instead of tables")
    command.add_argument("--all", action="store_true", help="every value that moved, not the largest moves alone")


def run(chosen: argparse.Namespace) -> int:
    """Print what moved; InputError where a folder holds no results of the tier."""
    found = changes.compare(*(Path(side) / chosen.tier for side in (chosen.old, chosen.new)))
    say = _lines if chosen.markdown else _table
    parts = [say(change, _rows(change, chosen.all)) for change in found.changes if _tells(change)]
    if chosen.markdown:
        print("\n".join([*(parts or [f"- {NONE}"]), *(f"- {line}." for line in _entries(found))]))
    else:
        print("\n\n".join([*parts, "\n".join(_summary(found))]))
    return 0


def _tells(change: Change) -> bool:
    """Whether there is more to an entry than that its files have other bytes."""
    return bool(len(change.moved) or change.versions[0] != change.versions[1] or _words(change, ""))


def _rows(change: Change, every: bool) -> list[dict]:
    """What is shown of the values that moved: the headline's, then the largest move of each experiment."""
    moved = change.moved
    if not every:
        headline = moved[moved["headline"]].drop_duplicates("policy").nlargest(FEW, "size")
        others = moved[~moved["headline"]].drop_duplicates("experiment")
        moved = pandas.concat([headline, others])
    return moved.to_dict("records")


def _where(slug: str, row: dict) -> str:
    """The parameters that vary in the experiment's grid, as words; all of them where the grid is not known."""
    given = json.loads(row["parameters"])
    if slug in registry.slugs():
        for experiment in registry.entry(slug).experiments:
            if experiment.name == row["experiment"]:
                given = {key: value for key, value in given.items() if len(experiment.grid.get(key, ())) > 1}
    return parameters(given)


def _change(row: dict) -> str:
    """The change as a share of the old value, as a number where that is 0, with its interval where it has one."""
    old = abs(row["old"])
    text = percent(row["change"] / old) if old else f"{row['change']:+.3g}"
    width = 100 * row["width"] / old if old else row["width"]
    return f"{text} ± {float(f'{width:.2g}'):g}{'%' if old else ''}" if width else text


def _table(change: Change, rows: list[dict]) -> str:
    lines = [f"{change.slug}: {_counts(change)}", *_words(change, "{}")]
    table = [["experiment", "policy", "at", "metric", "old", "new", "change", ""]]
    for row in rows:
        values = [interval(row[side], row[f"{side}_width"]) for side in ("old", "new")]
        place = [row["experiment"], row["policy"], _where(change.slug, row), row["metric"]]
        table.append([*place, *values, _change(row), "*" if row["apart"] else ""])
    if rows:
        lines += columns(table, right=(4, 5, 6)).splitlines()
    return "\n  ".join(lines)


def _lines(change: Change, rows: list[dict]) -> str:
    lines = [f"- **{change.slug}**: {_counts(change)}.", *(f"  - {line}." for line in _words(change, "`{}`"))]
    for row in rows:
        old, new = (interval(row[side], row[f"{side}_width"]) for side in ("old", "new"))
        place = [row["experiment"], _where(change.slug, row), row["metric"]]
        lines.append(f"  - {code(row['policy'])}, {', '.join(filter(None, place))}: {old} → {new} ({_change(row)}).")
    return "\n".join(lines)


def _counts(change: Change) -> str:
    """The version where it rose, and how many values moved."""
    old, new = change.versions
    version = f"version {old} → {new}, " if old != new else ""
    if change.moved.empty:
        return f"{version}{'no value moved' if change.compared else 'no value to compare'}"
    apart = int(change.moved["apart"].sum())
    beyond = f", {apart} beyond their intervals" if apart else ""
    return f"{version}{len(change.moved)} of {change.compared} values moved{beyond}"


def _words(change: Change, quoted: str) -> list[str]:
    """What is no move of a value: who leads, verdicts, settings, cells; policies are quoted by that pattern."""
    lines = []
    if change.best and change.best[0] != change.best[1]:
        lines.append("best so far " + " → ".join(one or "none" for one in change.best))
    lines += [f"{kind}: {_few(places, '; ')}" for kind, places in change.verdicts.items()]
    lines += change.settings
    for what, cells in (
        ("new", change.appeared),
        ("gone", change.gone),
        ("failed", change.stopped),
        ("stable at other points than before", change.unsteady),
    ):
        if cells:
            lines.append(f"{what}: {_few([f'{quoted.format(policy)} in {place}' for place, policy in cells])}")
    return lines


def _few(names: list[str], between: str = ", ") -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return between.join(names[:FEW]) + more


def _entries(found: Comparison) -> list[str]:
    """Entries that only one folder holds."""
    both = (("new entries", found.only_new), ("entries that are not in the new results", found.only_old))
    return [f"{what}: {', '.join(slugs)}" for what, slugs in both if slugs]


def _summary(found: Comparison) -> list[str]:
    """What holds for all entries together, and which of them may want a higher version."""
    moved = [change for change in found.changes if len(change.moved)]
    count = len(found.changes) + found.same
    lines = [f"{len(moved)} of {count} entries have values that moved." if moved else f"{NONE} {count} entries."]
    if moved:
        lines.append("± 95% of the change, replications of the same seed paired; * the intervals are apart.")
    kept = [c.slug for c in moved if c.moved["apart"].any() and c.versions[0] == c.versions[1]]
    if kept:
        lines.append(f"Beyond their intervals, and the version not raised: {', '.join(kept)}.")
    return lines + [f"{line[0].upper()}{line[1:]}." for line in _entries(found)]
