"""M/G/k by simulation: k servers, each of speed 1/k, Poisson arrivals, any policy of falling rank.

With these speeds the load is arrival rate times mean size whatever k is, a job of size x alone in the system
stays for k x, and one server of speed 1 that may serve jobs in any order can do all that the k servers can
(resource pooling): SRPT on it bounds every policy's mean response time from below.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import COLUMNS, Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import kernel
from openqueues.models.queues.replication import WARM_UP, chunks, metrics, run
from openqueues.models.queues.server import check_rank
from openqueues.models.queues.tally import Tally

_TEMPLATE = Path(__file__).parent / "servers_falling.py"
_PATIENT = np.empty(0)
MOST = 10_000  # servers: each is a row that is searched at every event


class Servers:
    """k servers of speed 1/k with their jobs; feed it chunks of arrivals, and it gives back those that left.

    `theta` holds the values of the policy's parameters in the order of `policy.parameters`. With `impatient`,
    each job has a patience: when it has waited, in all, for as long, it leaves for good.
    """

    def __init__(self, servers: int, policy: Policy, theta: tuple[Any, ...] = (), impatient: bool = False) -> None:
        if policy.shape != "falling":
            raise InputError(
                f"policy '{policy.name}' has the shape '{policy.shape}': several servers take policies of the "
                "shape 'falling', whose rank never rises in service, for example sprpt."
            )
        servers = checked_servers(servers)
        self.policy = policy
        self.theta = theta or (0.0,)
        check_rank(policy, self.theta)
        self.impatient = impatient
        width = 6 if impatient else 5
        self._serve = kernel([policy], [_TEMPLATE], width, policy.newest_first)
        self.clock = np.zeros(9)
        self.clock[1] = -math.inf
        self.count = np.zeros(2, np.int64)
        self._served = np.empty((servers, width))
        self._ends = np.empty(servers)
        self._heap = np.empty((0, width))
        self._done = np.empty((0, 4))

    @property
    def now(self) -> float:
        """Time of the last arrival, mean sizes."""
        return self.clock[0]

    @property
    def areas(self) -> tuple[float, float]:
        """Integrals over time of the number in the system and of the work in it, up to the last arrival."""
        return self.clock[3], self.clock[4]

    @property
    def work(self) -> float:
        """Work in the system just after the last arrival."""
        return self.clock[2]

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, none, drain=True)

    def serve(
        self,
        gaps: np.ndarray,
        sizes: np.ndarray,
        predictions: np.ndarray,
        patience: np.ndarray = _PATIENT,
        drain: bool = False,
    ) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; with `drain`, on until the system is empty.

        Arguments (n,), in one unit of time; patience only if the jobs are impatient. Returns (m, 4): time in
        the system, size, arrival, and 1 for a job that left unserved, else 0; valid until the next call.
        Raises InputError when the policy's rank is not a number.
        """
        room = int(self.count.sum()) + len(gaps)
        if room > len(self._done):
            heap = np.empty((2 * room, self._heap.shape[1]))
            heap[: len(self._heap)] = self._heap
            self._heap, self._done = heap, np.empty((2 * room, 4))
        done = self._run(gaps, sizes, predictions, patience, drain)
        if done < 0:
            job = dict(zip(("arrival", "size", "predicted", "age"), self.clock[5:9], strict=True))
            seen = ", ".join(f"{name}={job[name]:g}" for name in COLUMNS if name in self.policy.sees)
            raise InputError(
                f"policy '{self.policy.name}' returned a rank that is not a number for {seen or 'a job'}: "
                "rank must return a number."
            )
        return self._done[:done]

    def _run(self, gaps, sizes, predictions, patience, drain):
        state = self._heap, self._served, self._ends, self.clock, self.count
        return self._serve(self.theta, gaps, sizes, predictions, patience, *state, drain, self._done)


def simulate(joint: Any, load: float, servers: int, policy: str | Policy, seed: int, jobs: int) -> dict[str, float]:
    """One replication of M/G/k: `jobs` counted arrivals after a tenth as many to warm up.

    joint: a JointLaw of sizes and predictions; load = arrival rate times mean size; policy: a specification, a
    path or a Policy; thresholds given as `optimal` are those that are best for one server. Times are in the
    law's unit. Returns the metrics of openqueues.models.queues.simulate; the mean slowdown is relative to
    the time that the job takes alone, k times its size.
    """
    servers, policy = checked(load, servers, policy, jobs)
    system = Servers(servers, policy, resolve(policy, joint, load))
    tally = Tally()
    arrivals = chunks(joint, load, seed, int(WARM_UP * jobs), jobs, "predicted" in policy.sees)
    # k servers may also hold work that they cannot share, up to that of the k jobs in service.
    result = metrics(tally, run(system, arrivals, tally), servers * joint.sizes.moment(2))
    result["mean_slowdown"] /= servers
    return result


def checked(load: float, servers: int, policy: str | Policy, jobs: int) -> tuple[int, Policy]:
    """The number of servers and the policy, read; InputError for what no system can be made of."""
    if isinstance(load, bool) or not (isinstance(load, int | float) and load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    return checked_servers(servers), policy if isinstance(policy, Policy) else read_policy(policy)


def checked_servers(servers: Any) -> int:
    """`servers` as an int; InputError unless it is a whole number from 1 to MOST."""
    number = isinstance(servers, int | float | np.number) and not isinstance(servers, bool | np.bool_)
    if not number or servers != servers or not (1 <= servers <= MOST and servers == int(servers)):
        raise InputError(f"servers is {servers}: give a whole number from 1 to {MOST}.")
    return int(servers)
