"""Boards: policies by the gap they close, each among those that see as much: nobody wins by seeing more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from openqueues import records, registry
from openqueues.models.policies import INFORMATION
from openqueues.statistics import score

if TYPE_CHECKING:
    import pandas
    from openqueues.entry import Entry


def board(entry: Entry, frame: pandas.DataFrame) -> pandas.DataFrame:
    """All policies of the headline by class of information and place in it.

    Columns: information, place (1 is best; NaN scores come last, and of them those without a mean), then those of
    openqueues.statistics.score.
    The class of a policy follows from the SEES of its file.
    """
    table = score(entry, frame)
    table.insert(0, "information", [registry.information(entry, policy) for policy in table["policy"]])
    table["_class"] = [INFORMATION.index(name) for name in table["information"]]
    table["_none"] = table["mean"].isna()
    order = ["_class", "score", "_none", "policy"]
    table = table.sort_values(order, ascending=[True, False, True, True], ignore_index=True)
    table.insert(1, "place", table.groupby("_class").cumcount() + 1)
    return table.drop(columns=["_class", "_none"])


def left(entry: Entry, rows: list[dict]) -> dict[str, tuple[str, float]]:
    """(best policy, share of the gap that it leaves) of each class of a board's rows that has one, but the ceiling."""
    found: dict[str, tuple[str, float]] = {}
    for row in rows:
        if not math.isnan(row["score"]) and row["policy"] != entry.policies.ceiling:
            found.setdefault(row["information"], (row["policy"], 1.0 - row["score"]))
    return found


def holders(entry: Entry) -> set[str]:
    """The policies that hold the record of their class in this version of the entry."""
    last = {one.information: one.policy for one in records.read(entry) if one.version == entry.version}
    return set(last.values())
