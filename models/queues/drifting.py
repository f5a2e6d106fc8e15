"""One server whose predictions go wrong from time to time, and a monitor that decides when to use them.

A monitor is a policy file of the shape "decision". Its columns:

    predicted, size   of the job that has just ended (jobs without a prediction are not shown)
    trust             what it said last; 1 at the start
    memory            a vector of 8 numbers of its own, 0 at the start, to read and to write
    wrong             the probability that a prediction made now is wrong, which only an oracle knows

`decide` returns a number: predictions are used while it is above 1/2, and all jobs are served blindly else. A
monitor is asked whenever a job with a prediction ends, and its answer holds for all jobs. An oracle, which is
a policy that sees `wrong`, is asked once for each job, when it arrives (so `size` is NaN), and its answer
holds for this job's prediction as long as the job is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.exponential import fill_exponential
from openqueues.models.laws import JointLaw, SizeLaw
from openqueues.models.policies import Policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import kernel
from openqueues.models.queues.replication import CHUNK, WARM_UP
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

COLUMNS = ("predicted", "size", "trust", "memory", "wrong")
DRIFTS = ("none", "sudden", "gradual", "always")
WRONGS = ("independent", "inverted")
FALLBACKS = ("fcfs", "gittins")
_KERNEL = Path(__file__).parent / "drifting_kernel.py"


class Watched:
    """One server, its jobs and the monitor; feed it chunks of arrivals, and it gives back the completed jobs.

    `blind`: (scale, power) of the rank scale * age**power of a job that is served without a prediction.
    """

    def __init__(self, policy: Policy, theta: tuple[Any, ...], blind: tuple[float, float]) -> None:
        if policy.shape != "decision":
            raise InputError(
                f"policy '{policy.name}' has a rank and decides nothing: a monitor has SHAPE = 'decision'."
            )
        self.policy = policy
        self._serve = kernel([policy], [_KERNEL], columns=COLUMNS)
        self._theta = theta or (0.0,)
        self._blind = blind
        self._clock = np.array([0.0, 1.0, 0.0, 0.0])
        self._memory = np.zeros(8)
        self._present = 0
        self._jobs = np.empty((0, 4))
        self._done = np.empty((0, 3))

    @property
    def now(self) -> float:
        """Time of the last arrival."""
        return self._clock[0]

    @property
    def misjudged(self) -> float:
        """Arrivals at which predictions were used though most were wrong, or not used though most were right."""
        return self._clock[3]

    @property
    def work(self) -> float:
        """Work in the system at the last event."""
        jobs = self._jobs[: self._present]
        return float((jobs[:, 1] - jobs[:, 3]).sum())

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, none, drain=True)

    def serve(
        self,
        gaps: np.ndarray,
        sizes: np.ndarray,
        predictions: np.ndarray,
        wrong: np.ndarray,
        drain: bool = False,
    ) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; a prediction of NaN is none.

        Arguments (n,). Returns the completed jobs, (m, 3): response time, size, arrival; valid until the next
        call. Raises InputError when the monitor does not return a number.
        """
        room = self._present + len(gaps)
        if room > len(self._jobs):
            larger = np.empty((2 * room, 4))
            larger[: self._present] = self._jobs[: self._present]
            self._jobs, self._done = larger, np.empty((2 * room, 3))
        completed, self._present = self._serve(
            self._theta,
            gaps,
            sizes,
            predictions,
            wrong,
            *self._blind,
            self._jobs,
            self._clock,
            self._memory,
            self._present,
            "wrong" in self.policy.sees,
            drain,
            self._done,
        )
        if completed < 0:
            raise InputError(
                f"policy '{self.policy.name}': decide did not return a number; it must return the trust, 0 or 1."
            )
        return self._done[:completed]


def simulate(
    joint: JointLaw,
    load: float,
    policy: Policy,
    seed: int,
    jobs: int,
    *,
    drift: str = "none",
    period: int = 1000,
    wrong: str = "independent",
    unknown_share: float = 0.0,
    fallback: str = "gittins",
) -> dict[str, float]:
    """One replication of M/G/1 with drifting predictions: `jobs` counted arrivals after a tenth to warm up.

    The predictor drifts by the count of arrivals, with the given period. In the first half of a period it is
    good: its predictions follow `joint`. In the second half, `sudden`: every prediction is wrong; `gradual`:
    the share of wrong ones rises from 0 to 1, and the predictor is repaired at the end. `none` and `always`
    do not change. A wrong prediction is a fresh number from the law of the sizes (`independent`) or the size
    at the opposite quantile (`inverted`). `unknown_share` of the jobs have no prediction. `fallback` is the
    blind rank: fcfs, or gittins (the inverse hazard rate: least attained service first for Weibull sizes of
    shape below one, first come first served for exponential sizes).

    Returns mean_response, second_moment, p99, completed_share, misjudged (share of arrivals at which trust is
    misplaced) and unstable. Raises InputError for a bad argument.
    """
    _check(load, jobs, drift, period, wrong, unknown_share)
    sizes_law = joint.sizes
    watched = Watched(policy, resolve(policy, joint, load), blind_rank(sizes_law, fallback))
    source = streams(seed)
    scale = sizes_law.mean / load
    tally, started, misjudged, square, number = Tally(), 0.0, 0.0, 0.0, 0
    room = np.empty((3, CHUNK))
    warm = int(WARM_UP * jobs)
    for counted, length in ((False, warm), (True, jobs)):
        for first in range(0, length, CHUNK):
            gaps, sizes, predictions = room[:, : min(CHUNK, length - first)]
            fill_exponential(source.gaps, gaps)
            gaps *= scale
            sizes_law.fill(source.sizes, sizes)
            joint.fill_predictions(source.predictions, sizes, predictions)
            uniform = source.routing.random((len(gaps), 3))
            share = wrong_share(drift, period, number + np.arange(len(gaps)))
            number += len(gaps)
            other = sizes_law.ppf(uniform[:, 1]) if wrong == "independent" else sizes_law.ppf(sizes_law.sf(sizes))
            predictions = np.where(uniform[:, 0] < share, other, predictions)
            predictions[uniform[:, 2] < unknown_share] = math.nan
            done = watched.serve(gaps, sizes, predictions, share)
            square += float(np.square(sizes).sum())
            if counted:
                tally.add(done, started)
        if not counted:
            started, misjudged = watched.now, watched.misjudged
    in_time, left, misjudged = tally.sums[0], watched.work, watched.misjudged - misjudged
    tally.add(watched.drain(), started)
    count, total, second, _ = tally.sums
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        "p99": tally.quantile(0.99),
        "completed_share": in_time / count,
        "misjudged": misjudged / jobs,
        "unstable": float(left > 3.0 * math.sqrt(square)),
    }


def wrong_share(drift: str, period: int, number: np.ndarray) -> np.ndarray:
    """The probability that the prediction of the arrival with this number (from 0) is wrong."""
    if drift in ("none", "always"):
        return np.full(len(number), float(drift == "always"))
    phase = (number % period) / period
    return (phase >= 0.5).astype(float) if drift == "sudden" else np.maximum(2.0 * phase - 1.0, 0.0)


def blind_rank(sizes: SizeLaw, fallback: str) -> tuple[float, float]:
    """(scale, power): the rank scale * age**power of a job whose prediction is not used.

    For `gittins` it is the inverse hazard rate age**(1-k) s**k / k of Weibull sizes of scale s and shape
    k <= 1, whose Gittins index it is since the hazard rate falls (Aalto, Ayesta, Righter 2009). For `fcfs` it
    is the mean size at every age.
    """
    if fallback not in FALLBACKS:
        raise unknown("fallback", fallback, FALLBACKS)
    name, shape = sizes.spec.partition(":")[0], getattr(sizes, "shape", 1.0)
    if fallback == "fcfs" or name == "exponential":
        return sizes.mean, 0.0
    if name != "weibull" or shape > 1:
        raise InputError(
            f"fallback 'gittins' is written for exponential sizes and Weibull sizes of shape up to 1, not for "
            f"'{sizes.spec}': use fallback 'fcfs'."
        )
    return sizes.scale**shape / shape, 1.0 - shape


def read_point(point: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `simulate` that a point sets; InputError for a key that is not known."""
    keys = {"drift": "drift", "period": "period", "wrong": "wrong", "unknown": "unknown_share", "fallback": "fallback"}
    for key in point:
        if key not in ("sizes", "predictions", "load", *keys):
            raise unknown("parameter", key, ["sizes", "predictions", "load", *keys])
    return {name: point[key] for key, name in keys.items() if key in point}


def _check(load, jobs, drift, period, wrong, unknown_share) -> None:
    if not (isinstance(load, int | float) and load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    if drift not in DRIFTS:
        raise unknown("drift", str(drift), DRIFTS)
    if wrong not in WRONGS:
        raise unknown("kind of wrong predictions", str(wrong), WRONGS)
    if not (isinstance(period, int | float) and 2 <= period < math.inf and period == int(period)):
        raise InputError(f"period is {period}: it must be a whole number of jobs, at least 2.")
    if not (isinstance(unknown_share, int | float) and 0 <= unknown_share <= 1):
        raise InputError(f"unknown is {unknown_share}: it must be a share of the jobs, from 0 to 1.")
