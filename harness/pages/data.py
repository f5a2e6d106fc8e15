"""What a page needs of an entry: its results, summed up, with the parameters of each point as columns."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openqueues import boards, plan, registry, results, statistics

if TYPE_CHECKING:
    import pandas
    from openqueues.entry import Entry, Experiment


class Data(NamedTuple):
    """An entry with its results of one tier: `frame` row by row, `summary` a row per policy, point and metric."""

    entry: Entry
    tier: str
    frame: pandas.DataFrame
    summary: pandas.DataFrame

    def of(self, experiment: Experiment, metric: str) -> pandas.DataFrame:
        """Rows of one experiment and metric, with a column per parameter, in the order of points and policies."""
        rows = self.summary
        rows = rows[(rows["experiment"] == experiment.name) & (rows["metric"] == metric)].copy()
        points = {point.index: point.parameters for point in experiment.points()}
        for key in [*experiment.fixed, *experiment.grid]:
            rows[key] = [points[index][key] for index in rows["point"]]
        rank = {policy: place for place, policy in enumerate(self.entry.policies_of(experiment))}
        return (
            rows.assign(_rank=rows["policy"].map(rank)).sort_values(["point", "_rank"]).drop(columns="_rank")
        )


def load(entry: Entry, tier: str, folder: str | Path) -> Data:
    """Results of the entry's own cells; files of policies that are no longer there are left aside."""
    frame = results.load(Path(folder) / tier / entry.slug)
    own = {(cell.experiment, cell.policy) for cell in plan.cells_of(entry, tier, folder)}
    kept = [pair in own for pair in zip(frame["experiment"], frame["policy"], strict=True)]
    frame = frame[kept].reset_index(drop=True)
    return Data(entry, tier, frame, statistics.summary(frame))


def docstring(entry: Entry, policy: str) -> str:
    """The sentence at the top of a policy's file."""
    file = registry.policy_file(entry, policy)
    return " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())


def board(data: Data) -> list[dict]:
    """The policies at the headline point by class of information and place; empty for an entry without a headline."""
    return boards.board(data.entry, data.frame).to_dict("records")
