"""M/G/1 by simulation: one server, Poisson arrivals, any law of sizes and predictions, any policy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.exponential import fill_exponential, words_of
from openqueues.models.policies import Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import serve_fcfs
from openqueues.models.queues.predicting import Predicting
from openqueues.models.queues.server import Server
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

CHUNK = 1 << 14  # jobs drawn at a time: small enough for the cache, large enough to hide the calls
WARM_UP = 0.1  # jobs simulated before the counted ones, as a share of these
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


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
    tally = Tally()
    warm = int(WARM_UP * jobs)
    if policy.name == "fcfs" and policy.sees == ("arrival",):
        run = _first_come(joint, load, seed, warm, jobs, tally)
    else:
        run = _ranked(joint, load, policy, seed, warm, jobs, tally)
    elapsed, area_number, area_work, left, square, in_time = run
    count, total, second, slowdown = tally.sums
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        **{name: tally.quantile(q) for name, q in QUANTILES.items()},
        "mean_slowdown": slowdown / count,
        "mean_number": area_number / elapsed,
        "mean_work": area_work / elapsed,
        "completed_share": in_time / count,
        # Even at load one the work after a time t is only of the order of the standard deviation of the work
        # that has come in: more than three of these is drift.
        "unstable": float(left > 3.0 * math.sqrt(square)),
    }


def _ranked(joint, load, policy, seed, warm, jobs, tally) -> tuple[float, ...]:
    """Fill the tally; (time, area of number, area of work, work left, sum of squared sizes, jobs done in time).

    Times and areas are from the end of the warm-up to the last arrival, which ends the time to be done in.
    """
    theta = resolve(policy, joint, load)
    decides = policy.name in ("skippredict", "delaypredict")
    server = Predicting(policy, theta, joint, load, seed) if decides else Server(policy, theta)
    started, areas, square = 0.0, (0.0, 0.0), 0.0
    sees = decides or "predicted" in policy.sees
    for counted, gaps, sizes, predictions in _chunks(joint, load, seed, warm, jobs, sees):
        done = server.serve(gaps, sizes, predictions)
        square += float(np.square(sizes).sum())  # a dot product would start the threads of a BLAS
        if counted:
            tally.add(done, started)
        else:
            started, areas = server.now, server.areas
    number, work = (end - begin for end, begin in zip(server.areas, areas, strict=True))
    run = server.now - started, number, work, server.work, square, tally.sums[0]
    tally.add(server.drain(), started)
    return run


def _chunks(
    joint: Any, load: float, seed: int, warm: int, jobs: int, predicted: bool
) -> Iterator[tuple[bool, np.ndarray, np.ndarray, np.ndarray]]:
    """(counted, gaps, sizes, predictions) of one replication, chunk by chunk, valid until the next.

    A chunk lies wholly in the warm-up or after it. Without `predicted` nobody looks at the predictions, and
    the sizes stand in for them.
    """
    source = streams(seed)
    scale = joint.sizes.mean / load
    room = np.empty((3, CHUNK))
    for counted, length in ((False, warm), (True, jobs)):
        for first in range(0, length, CHUNK):
            gaps, sizes, predictions = room[:, : min(CHUNK, length - first)]
            fill_exponential(source.gaps, gaps)
            gaps *= scale
            joint.sizes.fill(source.sizes, sizes)
            if predicted and not joint.is_exact:
                joint.fill_predictions(source.predictions, sizes, predictions)
            else:
                predictions = sizes
            yield counted, gaps, sizes, predictions


def _first_come(joint, load, seed, warm, jobs, tally) -> tuple[float, ...]:
    """As `_ranked`, first come first served: the jobs of a chunk are all done within its call."""
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
