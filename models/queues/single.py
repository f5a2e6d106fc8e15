"""M/G/1 by simulation: one server, Poisson arrivals, any law of sizes and predictions, any policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.exponential import fill_exponential
from openqueues.models.policies import COLUMNS, Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import serve_for
from openqueues.models.queues.simple import serve_fcfs, serve_sharing
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

CHUNK = 1 << 14  # jobs drawn at a time: small enough for the cache, large enough to hide the calls
WARM_UP = 0.1  # jobs simulated before the counted ones, as a share of these
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


class Server:
    """One server with its jobs; feed it chunks of arrivals, and it gives back the completed jobs.

    `theta` holds the values of the policy's parameters in the order of `policy.parameters`.
    """

    def __init__(self, policy: Policy, theta: tuple[Any, ...] = ()) -> None:
        self.policy = policy
        self.theta = theta or (0.0,)
        self.clock = np.zeros(6)
        self.count = np.zeros(3, np.int64)
        if policy.shape == "falling":
            self.clock[1] = math.inf
        self.lindley = policy.name == "fcfs" and policy.arguments == ("arrival",)
        self._compiled = self._kernel() if policy.shape != "sharing" and not self.lindley else None
        self._open = np.empty((0, 3))
        self._done = np.empty((0, 3))
        self._rows, self._running = np.empty((0, 5)), np.zeros(5)
        if policy.shape != "falling":
            self._grow(1 << 10, 0)

    @property
    def now(self) -> float:
        """Time of the last arrival, mean sizes."""
        return self.clock[0]

    @property
    def areas(self) -> tuple[float, float]:
        """Integrals over time of the number in the system and of the work in it, up to the last arrival."""
        return self.clock[4], self.clock[5]

    @property
    def work(self) -> float:
        """Work in the system just after the last arrival."""
        if self.policy.shape == "falling" and not self.lindley:
            return self.clock[3] + (self.clock[1] - self.clock[0] if self.count[1] else 0.0)
        return self.clock[3]

    def unfinished(self, since: float) -> int:
        """How many jobs that arrived after `since` were given back although they end after the last arrival.

        Only Lindley's recursion knows the end of a job when it arrives; elsewhere this is zero.
        """
        return int(np.sum(self._open[:, 2] > since))

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, drain=True)

    def serve(
        self, gaps: np.ndarray, sizes: np.ndarray, predictions: np.ndarray, drain: bool = False
    ) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; with `drain`, on until the system is empty.

        Arguments (n,), in one unit of time. Returns the completed jobs, (m, 3): response time, size, arrival;
        valid until the next call. Raises InputError when the policy's rank is not a number.
        """
        if self.lindley:
            self._done = self._done if len(self._done) >= len(gaps) else np.empty((len(gaps), 3))
            done = self._done[: serve_fcfs(gaps, sizes, self.clock, self.count, self._done)]
            earlier = self._open[self._open[:, 2] + self._open[:, 0] > self.now]
            self._open = np.concatenate((earlier, done[self.count[0] :]))
            return done
        columns = (gaps, sizes, predictions)
        if self.policy.shape == "falling":
            completed = self._falling(*columns, drain)
        else:
            completed = self._slots(*columns, drain)
        if completed < 0:
            arrival, size, predicted, age = self._bad_job(completed)
            raise InputError(
                f"policy '{self.policy.name}' returned a rank that is not a number for size={size:g}, "
                f"predicted={predicted:g}, arrival={arrival:g}, age={age:g}: rank must return a number."
            )
        return self._done[:completed]

    def _falling(self, gaps, sizes, predictions, drain):
        present = int(self.count[0] + self.count[1])
        if present + len(gaps) > len(self._rows):
            rows = np.empty((2 * (present + len(gaps)), 5))
            rows[: self.count[0]] = self._rows[: self.count[0]]
            self._rows, self._done = rows, np.empty((len(rows), 3))
        return self._compiled(
            self.theta, gaps, sizes, predictions, self._rows, self._running, self.clock, self.count, drain,
            self._done,
        )

    def _slots(self, gaps, sizes, predictions, drain):
        present = len(self._free) - int(self.count[2])
        if present + len(gaps) > len(self._free):
            self._grow(2 * (present + len(gaps)), present)
        state = (self.clock, self.count, drain, self._done)
        heap = (self._jobs, self._heap_rank, self._heap_slot, self._free)
        if self.policy.shape == "sharing":
            return serve_sharing(gaps, sizes, *heap, *state)
        return self._compiled(self.theta, gaps, sizes, predictions, *heap, self._group, *state)

    def _bad_job(self, code):
        return self._rows[0, 1:] if self.policy.shape == "falling" else self._jobs[-1 - code]

    def _kernel(self) -> Callable:
        policy = self.policy
        check_rank(policy, self.theta)
        compiled = serve_for(
            policy.source, policy.shape, policy.arguments, tuple(policy.parameters), policy.newest_first
        )

        def run(*arguments):
            from numba.core.errors import NumbaError

            try:
                return compiled(*arguments)
            except NumbaError as error:
                reason = str(error).strip().splitlines()[-1]
                raise InputError(
                    f"policy '{policy.name}' cannot be compiled ({reason}): keep rank to numbers, math and "
                    "plain control flow."
                ) from None

        return run

    def _grow(self, capacity: int, present: int) -> None:
        """Make room for `capacity` jobs; the slots in use keep their numbers."""
        old = len(self._free) if present else 0
        names = ("_jobs", "_heap_rank", "_heap_slot", "_group")
        shapes = ((capacity, 4), (capacity,), (capacity,), (capacity,))
        for name, shape in zip(names, shapes, strict=True):
            array = np.empty(shape, np.float64 if name in ("_jobs", "_heap_rank") else np.int64)
            if old:
                array[:old] = getattr(self, name)
            setattr(self, name, array)
        free = np.empty(capacity, np.int64)
        spare = int(self.count[2]) if old else 0
        fresh = np.arange(capacity - 1, old - 1, -1)
        free[: len(fresh)] = fresh
        if spare:
            free[len(fresh) : len(fresh) + spare] = self._free[:spare]
        self._free = free
        self.count[2] = len(fresh) + spare
        self._done = np.empty((capacity, 3))


def check_rank(policy: Policy, theta: tuple[Any, ...]) -> None:
    """Call the policy's rank (and turn) in plain Python once or twice: what it returns must be a number."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    values = dict(zip(policy.parameters, theta, strict=False))
    for age in (0.0, 0.5):
        values.update(dict(zip(COLUMNS, (1.0, 1.25, 2.0, age), strict=True)))
        for function in ("rank", "turn") if policy.shape == "general" else ("rank",):
            arguments = [values[name] for name in policy.arguments]
            try:
                result = scope[function](*arguments)
            except Exception as error:
                raise InputError(
                    f"policy '{policy.name}': {function} raised {type(error).__name__}: {error}; it must "
                    "return a number for every job."
                ) from None
            number = isinstance(result, int | float | np.number) and not isinstance(result, bool | np.bool_)
            if not number or math.isnan(result):
                raise InputError(
                    f"policy '{policy.name}': {function} returned {result!r}; it must return a number."
                )


def simulate(
    joint: Any, load: float, policy: str | Policy, seed: int, jobs: int
) -> dict[str, float]:
    """One replication of M/G/1: `jobs` counted arrivals after a tenth as many to warm up.

    joint: a JointLaw of sizes and predictions; load = arrival rate times mean size, below one for a stable
    system; policy: a specification, a path or a Policy. Times are in the law's unit.
    Returns mean_response, second_moment, p50, p90, p99, p999 (of the response time), mean_slowdown,
    mean_number and mean_work (averages over time from the end of the warm-up to the last arrival),
    completed_share (of the counted jobs, by the last arrival), and unstable (0 or 1).
    """
    if not (isinstance(load, int | float) and load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    policy = policy if isinstance(policy, Policy) else read_policy(policy)
    server = Server(policy, resolve(policy, joint, load))
    tally = Tally()
    started, areas, square = 0.0, (0.0, 0.0), 0.0
    for counted, gaps, sizes, predictions in _chunks(joint, load, seed, int(WARM_UP * jobs), jobs):
        done = server.serve(gaps, sizes, predictions)
        square += float(np.square(sizes).sum())  # a dot product would start the threads of a BLAS
        if counted:
            tally.add(done, started)
        else:
            started, areas = server.now, server.areas
    elapsed = server.now - started
    number, work = ((end - begin) / elapsed for end, begin in zip(server.areas, areas, strict=True))
    # Even at load one the work after a time t is only of the order of the standard deviation of the work that
    # has come in: more than three of these is drift.
    unstable = server.work > 3.0 * math.sqrt(square)
    in_time = tally.sums[0] - server.unfinished(started)
    tally.add(server.drain(), started)
    count, total, second, slowdown = tally.sums
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        **{name: tally.quantile(q) for name, q in QUANTILES.items()},
        "mean_slowdown": slowdown / count,
        "mean_number": number,
        "mean_work": work,
        "completed_share": in_time / count,
        "unstable": float(unstable),
    }


def _chunks(joint: Any, load: float, seed: int, warm: int, jobs: int) -> Iterator[tuple]:
    """The arrivals of one replication, chunk by chunk; a chunk lies wholly in the warm-up or after it."""
    source = streams(seed)
    scale = joint.sizes.mean / load
    for counted, length in ((False, warm), (True, jobs)):
        for first in range(0, length, CHUNK):
            n = min(CHUNK, length - first)
            gaps = fill_exponential(source.gaps, np.empty(n))
            gaps *= scale
            yield counted, gaps, *joint.sample(source.sizes, source.predictions, n)
