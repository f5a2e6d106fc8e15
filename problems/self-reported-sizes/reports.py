"""Jobs that report their own sizes, some of them strategically: one run, and the search for an equilibrium.

Every job has an estimate of its size and reports the estimate times a factor. Honest jobs report with factor 1.
Strategic jobs choose one of FACTORS by the band that their estimate falls into; a share TESTERS of the strategic
jobs, drawn at random, is used to try other factors while everybody else keeps to the present ones.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from openqueues.models.exponential import fill_exponential
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import Server
from openqueues.models.queues.replication import CHUNK, WARM_UP
from openqueues.models.streams import streams

FACTORS = (0.125, 0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0, 8.0)
TRUTH = FACTORS.index(1.0)
BANDS = (0.5, 0.9)  # the short half of the estimates, the next two fifths, the long tenth
TESTERS = 0.1
ROUNDS = 24  # revisions of one band's factor, at most
CERTAIN = 3.0  # standard errors by which a deviation must pay
WORTH = 0.01  # and the least relative gain that makes a job deviate


@dataclass(frozen=True)
class System:
    """What a replication is about: equal seeds give equal jobs, whatever is reported."""

    joint: object
    load: float
    policy: object
    strategic: float
    seed: int
    jobs: int


@dataclass
class Run:
    """Mean response times of one run: of all jobs, of the honest ones, and of each tester."""

    mean_response: float
    second_moment: float
    honest: float
    completed_share: float
    unstable: float
    band: np.ndarray  # of every counted tester, in the order of arrival
    response: np.ndarray


@cache
def edges_of(joint):
    """The estimates that bound the bands: quantiles of a fixed large sample, so that all replications agree."""
    rng = streams(20_26)
    _, estimates = joint.sample(rng.sizes, rng.predictions, 200_000)
    return np.quantile(estimates, BANDS)


def run(system, edges, factors, tried=None):
    """One run: the strategic jobs of band b report with FACTORS[factors[b]], the testers with FACTORS[tried]."""
    source, scale = streams(system.seed), system.joint.sizes.mean / system.load
    server = Server(system.policy, resolve(system.policy, system.joint, system.load))
    chosen = np.array(FACTORS)[list(factors)]
    room = np.empty((3, CHUNK))
    pending = np.empty((0, 4))  # arrival, kind, band, response of the jobs that are still there
    sums, started, square, clock = np.zeros(5), math.inf, 0.0, 0.0
    tested = []
    warm = int(WARM_UP * system.jobs)

    def add(done):
        """Give the jobs that are done to the sums; the others stay."""
        nonlocal pending
        where = np.searchsorted(pending[:, 0], done[:, 2])
        pending[where, 3] = done[:, 0]
        ended = ~np.isnan(pending[:, 3])
        rows = pending[ended & (pending[:, 0] > started)]
        pending = pending[~ended]
        response, honest = rows[:, 3], rows[:, 1] == 0
        sums[:] += (
            len(rows),
            response.sum(),
            np.square(response).sum(),
            honest.sum(),
            response[honest].sum(),
        )
        tested.append(rows[rows[:, 1] == 2])

    for counted, length in ((False, warm), (True, system.jobs)):
        for first in range(0, length, CHUNK):
            gaps, sizes, estimates = room[:, : min(CHUNK, length - first)]
            fill_exponential(source.gaps, gaps)
            gaps *= scale
            system.joint.sizes.fill(source.sizes, sizes)
            system.joint.fill_predictions(source.predictions, sizes, estimates)
            uniform = source.routing.random((len(gaps), 2))
            kind = np.where(uniform[:, 0] < system.strategic, np.where(uniform[:, 1] < TESTERS, 2.0, 1.0), 0.0)
            band = np.searchsorted(edges, estimates, side="right")
            factor = np.where(kind == 0, 1.0, chosen[band])
            if tried is not None:
                factor[kind == 2] = FACTORS[tried]
            gaps_sum = np.cumsum(np.concatenate(([clock], gaps)))[1:]
            clock = gaps_sum[-1]
            rows = np.column_stack((gaps_sum, kind, band, np.full(len(gaps), math.nan)))
            pending = np.concatenate((pending, rows))
            square += float(np.square(sizes).sum())
            add(server.serve(gaps, sizes, estimates * factor))
        if not counted:
            started = server.now
    in_time, left = sums[0], server.work
    add(server.drain())
    count, total, second, honest, honest_total = sums
    rows = np.concatenate(tested)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return Run(
        mean_response=total / count,
        second_moment=second / count,
        honest=honest_total / honest if honest else total / count,
        completed_share=in_time / count,
        unstable=float(left > 3.0 * math.sqrt(square)),
        band=rows[:, 2].astype(int),
        response=rows[:, 3],
    )


def deviations(system, edges, factors):
    """(relative gain, whether it is certain) of every band from every factor: two arrays (bands, FACTORS).

    The same testers meet the same jobs in every run, so gains are differences job by job.
    """
    at_rest = run(system, edges, factors)
    gains, certain = np.zeros((2, len(BANDS) + 1, len(FACTORS)))
    for tried in range(len(FACTORS)):
        if all(factor == tried for factor in factors):
            continue
        other = run(system, edges, factors, tried)
        for band in range(len(BANDS) + 1):
            mine = at_rest.band == band
            saved = at_rest.response[mine] - other.response[mine]
            if len(saved) < 2 or factors[band] == tried:
                continue
            gains[band, tried] = saved.mean() / at_rest.response[mine].mean()
            certain[band, tried] = saved.mean() > CERTAIN * saved.std(ddof=1) / math.sqrt(len(saved))
    return gains, certain.astype(bool), at_rest


def best_deviation(gains, certain):
    """(gain, band, factor) of the deviation that pays most, gain 0 where none surely pays WORTH."""
    pays = np.where(certain & (gains > WORTH), gains, 0.0)
    band, factor = np.unravel_index(np.argmax(pays), pays.shape)
    return float(pays[band, factor]), int(band), int(factor)


def search(system):
    """Best responses from the truth on, the band that gains most at a time, until none gains or a state returns.

    Returns (gain from the truth, truthful run, last factors, gain from these, runs in which nobody tests: one at
    an equilibrium, else those of the cycle's states).
    """
    edges = edges_of(system.joint)
    factors = (TRUTH,) * (len(BANDS) + 1)
    seen, runs = [], []
    first = None
    while True:
        gains, certain, at_rest = deviations(system, edges, factors)
        gain, band, factor = best_deviation(gains, certain)
        first = first or (gain, at_rest)
        seen.append(factors)
        runs.append(at_rest)
        if gain == 0.0:
            return *first, factors, 0.0, [at_rest]
        other = (*factors[:band], factor, *factors[band + 1 :])
        if other in seen:
            return *first, factors, gain, runs[seen.index(other) :]
        if len(seen) == ROUNDS:
            return *first, factors, gain, [at_rest]
        factors = other
