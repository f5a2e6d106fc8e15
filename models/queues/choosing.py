"""One server whose policy looks at the whole state: what no rank of a job by itself can express.

At every event `decide` is asked for a value of each job present, and the job with the lowest value is served
(the first to arrive among equals) until the next event. Events are arrivals, completions and the moment at
which the job in service has been served for as long as was predicted; a policy with a parameter `quantum` is
also asked again after that much service. The columns it may see:

    queue           jobs present
    predicted, size, arrival, age    of the job, as in a rank
    now             time
    running         1 for the job that was in service until now, 0 for the others
    work_predicted  sum over the jobs present of what is left of their predictions, none being below zero
    overdue         jobs present that have been served for as long as was predicted, or longer
    random          a number of the job drawn uniformly from [0, 1) when it arrives
    load            load of the system
    expected        size to expect of the job from experience: its prediction times the mean of size / prediction
                    over the completed jobs of about the same prediction that got at least about as old (bins of
                    a third of an octave; with fewer than five such jobs, the prediction, or twice the age of a
                    job that has outlived it); its policy is asked again when an age enters another bin
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import INFORMATION, Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import kernel
from openqueues.models.queues.replication import WARM_UP, chunks, metrics, run
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

COLUMNS = (
    "queue",
    "size",
    "predicted",
    "arrival",
    "age",
    "now",
    "running",
    "work_predicted",
    "overdue",
    "random",
    "load",
    "expected",
)
_BINS = 54  # as in the kernel
_TEMPLATE = Path(__file__).with_name("choosing_kernel.py")


class Chooser:
    """One server with its jobs, fed chunk by chunk, whose policy sees the whole state.

    `theta` holds the values of the policy's parameters in the order of `policy.parameters`.
    """

    def __init__(self, policy: Policy, theta: tuple[Any, ...] = (), load: float = math.nan) -> None:
        self._serve = compiled_for(policy, _TEMPLATE, COLUMNS)
        self.policy, self.theta, self.load = policy, theta or (0.0,), float(load)
        self.quantum = dict(zip(policy.parameters, theta, strict=False)).get("quantum", math.inf)
        if not self.quantum > 0:
            raise InputError(f"policy '{policy.name}': quantum is {self.quantum:g}: it must be above 0.")
        self.clock = np.zeros(4)
        self.count = np.array([0, -1], np.int64)
        self._jobs = np.empty((0, 5))
        self._memory = np.zeros((2, _BINS, _BINS) if "expected" in policy.sees else (0, 0, 0))
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
        return self.serve(none, none, none, none, drain=True)

    def serve(self, gaps, sizes, predictions, randoms, drain: bool = False) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; with `drain`, on until the system is empty.

        Arguments (n,), times in one unit, randoms in [0, 1). Returns the completed jobs, (m, 3): response
        time, size, arrival; valid until the next call. Raises InputError for a value that is not a number.
        """
        room = int(self.count[0]) + len(gaps)
        if room > len(self._done):
            larger = np.empty((2 * room, 5))
            larger[: len(self._jobs)] = self._jobs
            self._jobs, self._done = larger, np.empty((2 * room, 3))
        completed = self._serve(
            self.theta,
            self.load,
            self.quantum,
            gaps,
            sizes,
            predictions,
            randoms,
            self._jobs,
            self._memory,
            self.clock,
            self.count,
            drain,
            self._done,
        )
        if completed < 0:
            size, predicted, age = self._jobs[-1 - completed, 1:4]
            raise InputError(
                f"policy '{self.policy.name}' returned a value that is not a number for the job with size={size:g}, "
                f"predicted={predicted:g}, age={age:g}: decide must return a number."
            )
        return self._done[:completed]


def simulate(joint: Any, load: float, policy: str | Policy, seed: int, jobs: int) -> dict[str, float]:
    """One replication of M/G/1 under a policy with `decide`: as `queues.simulate`, on the same jobs."""
    return replicate(Chooser, joint, load, policy, seed, jobs)


def replicate(
    server: Callable[..., Any], joint: Any, load: float, policy: str | Policy, seed: int, jobs: int
) -> dict[str, float]:
    """Metrics of `queues.simulate` for `jobs` counted arrivals at a `server(policy, theta, load)`.

    joint: a JointLaw, or what has its `sizes`, `is_exact` and `fill_predictions`.
    """
    if not (isinstance(load, int | float) and load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    policy = policy if isinstance(policy, Policy) else read_policy(policy)
    station = server(policy, resolve(policy, joint, load), load)
    tally, routing = Tally(), streams(seed).routing
    arrivals = (
        (*chunk, routing.random(len(chunk[1]))) for chunk in chunks(joint, load, seed, int(WARM_UP * jobs), jobs, True)
    )
    return metrics(tally, run(station, arrivals, tally))


def compiled_for(policy: Policy, template: Path, columns: Sequence[str], heap_width: int = 0) -> Callable:
    """The kernel of a policy with `decide`; InputError for another shape or one that numba cannot compile."""
    if policy.shape != "decision":
        raise InputError(
            f"policy '{policy.name}' has SHAPE = '{policy.shape}': here a policy must have SHAPE = 'decision' and "
            "a function decide."
        )
    if INFORMATION.index(policy.information) < INFORMATION.index(policy.shown):
        raise InputError(
            f"policy '{policy.name}' says INFORMATION = '{policy.information}', but what it sees makes it "
            f"'{policy.shown}': write that, so that it is compared with those that see as much."
        )
    return kernel([policy], [template], heap_width, columns=columns)
