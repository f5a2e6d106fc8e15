"""Boards: policies by the gap they close, each among those that see as much: nobody wins by seeing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openqueues import registry
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
