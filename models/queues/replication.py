"""What every replication does: draw arrivals chunk by chunk, serve them, and turn what was counted into metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from openqueues.models.exponential import fill_exponential
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

CHUNK = 1 << 14  # jobs drawn at a time: small enough for the cache, large enough to hide the calls
WARM_UP = 0.1  # jobs simulated before the counted ones, as a share of these
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def chunks(
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


def run(system: Any, arrivals: Iterable[tuple], tally: Tally) -> tuple[float, ...]:
    """Fill the tally; (time, area of number, area of work, work left, sum of squared sizes, jobs done in time).

    system: what has serve, drain, now, areas and work as a Server has; arrivals: (counted, gaps, sizes, and what
    else `serve` takes). Times and areas are from the end of the warm-up to the last arrival, which ends the time
    to be done in.
    """
    started, areas, square = 0.0, (0.0, 0.0), 0.0
    for counted, gaps, sizes, *others in arrivals:
        done = system.serve(gaps, sizes, *others)
        square += float(np.square(sizes).sum())  # a dot product would start the threads of a BLAS
        if counted:
            tally.add(done, started)
        else:
            started, areas = system.now, system.areas
    number, work = (end - begin for end, begin in zip(system.areas, areas, strict=True))
    result = system.now - started, number, work, system.work, square, tally.sums[0]
    tally.add(system.drain(), started)
    return result


def metrics(tally: Tally, result: tuple[float, ...], spread: float = 0.0) -> dict[str, float]:
    """The metrics of openqueues.models.queues.simulate from a tally and what `run` returned.

    spread: variance that the work left may have beyond that of the work that came in.
    """
    elapsed, area_number, area_work, left, square, in_time = result
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
        "unstable": float(left > 3.0 * math.sqrt(square + spread)),
    }
