"""M/G/1 by simulation: one server, Poisson arrivals, any law of sizes and predictions, any policy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.exponential import words_of
from openqueues.models.policies import Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import serve_fcfs
from openqueues.models.queues.predicting import Predicting
from openqueues.models.queues.replication import CHUNK, WARM_UP, chunks, metrics, run
from openqueues.models.queues.server import Server
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams


def simulate(joint: Any, load: float, policy: str | Policy, seed: int, jobs: int) -> dict[str, float]:
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
    tally = Tally()
    warm = int(WARM_UP * jobs)
    if policy.name == "fcfs" and policy.sees == ("arrival",):
        return metrics(tally, _first_come(joint, load, seed, warm, jobs, tally))
    theta = resolve(policy, joint, load)
    decides = policy.name in ("skippredict", "delaypredict")
    server = Predicting(policy, theta, joint, load, seed) if decides else Server(policy, theta)
    arrivals = chunks(joint, load, seed, warm, jobs, decides or "predicted" in policy.sees)
    return metrics(tally, run(server, arrivals, tally))


def _first_come(joint, load, seed, warm, jobs, tally) -> tuple[float, ...]:
    """As `replication.run`, first come first served: the jobs of a chunk are all done within its call."""
    serve = serve_fcfs()
    source = streams(seed)
    words, scale = words_of(source.gaps), joint.sizes.mean / load
    state = np.zeros(5)
    started = state.copy()
    room = np.empty(2 * CHUNK)
    recent, older = room[:0], []  # sizes of the last chunk's jobs, and of earlier ones, that may still be there
    for counted, length in ((False, warm), (True, jobs)):
        into = tally if counted else Tally()
        for first in range(0, length, len(room)):
            sizes = room[: length - first]
            joint.sizes.fill(source.sizes, sizes)
            serve(words, scale, sizes, state, into.sums, into.histogram)
            before, recent = recent, sizes[-256:]
            if recent.sum() < state[1]:
                recent = sizes
                older = [*older, before] if recent.sum() < state[1] else []
            else:
                older = []
            recent = recent.copy()
        if not counted:
            started = state.copy()
    elapsed, _, number, work, _ = state - started
    left, square = state[1], state[4]
    # A job is still there when those that came after it are less than the work left.
    after = np.cumsum(np.concatenate([*older, recent])[:0:-1])
    unfinished = 1 + int(np.searchsorted(after, left))
    return elapsed, number, work, left, square, jobs - min(unfinished, jobs)
