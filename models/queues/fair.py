"""One server shared by weights beside a virtual system: FSP, FSPE and PSBS, and hedges between fair and short.

The fair sojourn protocol (Friedman and Henderson, 2003) serves jobs one at a time in the order in which they
would end under processor sharing; fed with predictions it is called FSPE. A job that has ended in the virtual
system and not in reality is late. What is done with late jobs makes the variants of Dell'Amico, Carra and
Michiardi (2016): one after another (FSPE), shared equally (FSPE+PS, which is PSBS for jobs of equal weight),
or least attained service first (FSPE+LAS).

Here `decide` returns the weight of a job, zero or more, and the server is shared in proportion to the weights
from one event to the next. Events are arrivals, completions, ends in the virtual system, the moment at which
a job has been served for as long as was predicted, and the youngest late job's reaching the next one's age.
The columns that it may see, beside queue, size, predicted, arrival, age, now and load as in `choosing`:

    late      1 for a job that has ended in the virtual system
    lates     late jobs present
    first     1 for the job that is not late and ends first in the virtual system
    earliest  1 for the job that ends or ended first in the virtual system, late or not
    youngest  1 for the late jobs of least age
    overdues  jobs present that have been served for as long as was predicted, or longer
    shortest  1 for the job whose prediction less age is least and above zero

When the real system empties, the virtual one is emptied too. With exact predictions it is empty anyway; with
predictions that are too large on average it would otherwise never be.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import Policy
from openqueues.models.queues.choosing import compiled_for, replicate

VIRTUAL = ("late", "lates", "first", "earliest", "youngest", "overdues", "shortest")
COLUMNS = ("queue", "size", "predicted", "arrival", "age", "now", "load", *VIRTUAL)
_TEMPLATE = Path(__file__).with_name("fair_kernel.py")


class Sharer:
    """One server with its jobs, real and virtual, fed chunk by chunk.

    `theta` holds the values of the policy's parameters in the order of `policy.parameters`.
    """

    def __init__(self, policy: Policy, theta: tuple[Any, ...] = (), load: float = math.nan) -> None:
        self._serve = compiled_for(policy, _TEMPLATE, COLUMNS, heap_width=3)
        self.policy, self.theta, self.load = policy, theta or (0.0,), float(load)
        self.clock = np.zeros(5)
        self.count = np.zeros(4, np.int64)
        self._arrays = [np.empty((0, 7)), np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3))]
        self._done = np.empty((0, 3))

    @property
    def now(self) -> float:
        """Time of the last arrival."""
        return self.clock[0]

    @property
    def work(self) -> float:
        """Work in the system just after the last arrival."""
        return self.clock[1]

    @property
    def areas(self) -> tuple[float, float]:
        """Integrals over time of the number in the system and of the work in it, up to the last arrival."""
        return self.clock[2], self.clock[3]

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, drain=True)

    def serve(self, gaps, sizes, predictions, randoms=None, drain: bool = False) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; with `drain`, on until the system is empty.

        Arguments (n,), times in one unit; `randoms` are not looked at. Returns the completed jobs, (m, 3):
        response time, size, arrival; valid until the next call. Raises InputError for bad weights.
        """
        room = int(self.count[2]) + len(gaps)
        if room > len(self._done):
            for k, old in enumerate(self._arrays):
                larger = np.empty((2 * room, *old.shape[1:]), old.dtype)
                larger[: len(old)] = old
                self._arrays[k] = larger
            self._done = np.empty((2 * room, 3))
        completed = self._serve(
            self.theta,
            self.load,
            gaps,
            sizes,
            predictions,
            *self._arrays,
            self.clock,
            self.count,
            drain,
            self._done,
        )
        if completed < 0:
            raise InputError(
                f"policy '{self.policy.name}' returned weights that cannot share the server: decide must return "
                "numbers of zero or more, not zero for all jobs present."
            )
        return self._done[:completed]


def simulate(joint: Any, load: float, policy: str | Policy, seed: int, jobs: int) -> dict[str, float]:
    """One replication of M/G/1 under a policy of weights: as `queues.simulate`, on the same jobs."""
    return replicate(Sharer, joint, load, policy, seed, jobs)
