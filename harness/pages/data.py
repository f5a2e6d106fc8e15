"""What a page needs of an entry: its results, summed up, with the parameters of each point as columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from openqueues import boards, plan, registry, results, statistics
from openqueues.models.errors import InputError

if TYPE_CHECKING:
    import pandas
    from openqueues.entry import Entry, Experiment


MALFORMED = "–"


class Data(NamedTuple):
    """An entry and its results of one tier: `frame` row by row, `summary` a row per policy, point, metric."""

    entry: Entry
    tier: str
    frame: pandas.DataFrame
    summary: pandas.DataFrame

    def of(self, experiment: Experiment, metric: str) -> pandas.DataFrame:
        """Rows of one experiment and metric, a column per parameter, in the order of points and policies."""
        rows = self.summary
        rows = rows[(rows["experiment"] == experiment.name) & (rows["metric"] == metric)].copy()
        points = {point.index: point.parameters for point in experiment.points()}
        for key in [*experiment.fixed, *experiment.grid]:
            rows[key] = [points[index][key] for index in rows["point"]]
        rank = {policy: place for place, policy in enumerate(self.entry.policies_of(experiment))}
        return rows.assign(_rank=rows["policy"].map(rank)).sort_values(["point", "_rank"]).drop(columns="_rank")


def load(entry: Entry, tier: str, folder: str | Path) -> Data:
    """Results of the entry's own cells; files of policies that are no longer there are left aside."""
    frame = results.load(Path(folder) / tier / entry.slug)
    own = {(cell.experiment, cell.policy) for cell in plan.cells_of(entry, tier, folder)}
    kept = [pair in own for pair in zip(frame["experiment"], frame["policy"], strict=True)]
    frame = frame[kept].reset_index(drop=True)
    return Data(entry, tier, frame, statistics.summary(frame))


def about(entry: Entry, policy: str) -> tuple[str, str]:
    """What a policy's file says it does, and what it sees; for a malformed file, what is wrong with it."""
    try:
        read = registry.policy(entry, policy)
    except InputError as error:
        return f"malformed: {error}", MALFORMED
    return " ".join(read.doc.split()), ", ".join(read.sees) or "nothing"


def board(data: Data) -> list[dict]:
    """The policies at the headline point by class of information and place; empty without a headline.

    Policies whose files are malformed have no class, so they are left out.
    """
    entry = data.entry
    named = dict.fromkeys([*entry.all_policies, *(p for e in entry.experiments for p in entry.policies_of(e))])
    malformed = {policy for policy in named if about(entry, policy)[1] == MALFORMED}
    experiments = [
        msgspec.structs.replace(e, policies=[p for p in entry.policies_of(e) if p not in malformed])
        for e in entry.experiments
    ]
    sound = msgspec.structs.replace(entry, experiments=experiments)
    return boards.board(sound, data.frame).to_dict("records")
