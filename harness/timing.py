"""Measures what cells cost: part of the standard tier, one replication at three points of the grid.

CPU time counts, so other work on the machine disturbs little. A small replication comes first and is not counted:
it loads the kernels, or compiles them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

from openqueues import costs, plan, registry, runner
from openqueues.entry import Entry, Experiment

TIER = "standard"
LONG_SECONDS = 0.1  # a replication of the standard tier that takes longer is cut to about this
POINTS = 3
Key = tuple[str, str, str]


def measure(entry: Entry) -> Iterator[tuple[Key, costs.Rates | None]]:
    """(problem, experiment, policy) and rates of each of the entry's cells; None for a cell that fails."""
    problem = registry.problem(entry)
    for experiment in entry.experiments:
        for policy in entry.policies_of(experiment):
            rates = _cell(entry, problem, experiment, policy)
            yield (entry.slug, experiment.name, plan.label(entry, policy)), rates


def _cell(entry: Entry, problem, experiment: Experiment, policy: str) -> costs.Rates | None:
    argument, size = registry.policy_argument(entry, policy), experiment.tier(TIER)
    every = experiment.points(TIER)
    points = every[:: max(1, (len(every) - 1) // (POINTS - 1))][:POINTS]

    def simulate(jobs: int, *points) -> float:
        """CPU seconds of a replication at each point; raises ValueError where one fails."""
        started = time.process_time()
        for point in points:
            seed = runner.seed_of(entry, experiment, point, 0)
            if runner.simulate(entry, problem, point, argument, seed, jobs)[1] == "failed":
                raise ValueError
        return time.process_time() - started

    seconds = megabytes = 0.0
    if size.replications:
        few = min(size.jobs, experiment.tier("smoke").jobs)
        try:
            simulate(few, points[0])
            long = size.jobs / few * simulate(few, points[-1])
            jobs = max(few, int(size.jobs * min(1.0, LONG_SECONDS / long)))
            held = _memory_mb(reset=True)
            seconds = simulate(jobs, *points) / (len(points) * jobs / 1e6)
            megabytes = (_memory_mb() - held) / (jobs / 1e6)
        except ValueError:
            return None
    started = time.process_time()
    for point in points:
        list(runner.unsimulated(problem, point, argument))
    return costs.Rates(seconds, (time.process_time() - started) / len(points), megabytes)


def _memory_mb(reset: bool = False) -> float:
    """The most memory that this process has held since the last reset, in MB; 0 where Linux does not tell.

    Before a reset, memory that was freed is given back: it would hide what is allocated afterwards.
    """
    try:
        if reset:
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except (OSError, AttributeError):
        return 0.0
    return float(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
