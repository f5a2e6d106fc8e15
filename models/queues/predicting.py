"""One server where predictions cost something: a policy decides for each job what is to be learnt about it.

What the policy may answer, and what it is asked, is said in predicting_kernel.py. `Predicting` serves jobs chunk by
chunk as `Server` does; `simulate` is one replication of an M/G/1 queue, also with a load that changes over time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.exponential import fill_exponential
from openqueues.models.policies import Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.compiled import kernel
from openqueues.models.queues.server import Server
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

COLUMNS = ("queue", "predicting", "load", "cost", "step", "long", "age", "draw")
"""What `decide` may see: other jobs in the system and those of them at the prediction station, the current load,
the cost of a full prediction, the step (0 arrival, 1 after the bit, 2 at the limit), the bit (1 for long, 0 before it
is made), the service had so far, and a number that is uniform on [0, 1] and the job's own."""
MODELS = ("external", "server", "in-service")
PARAMETERS = {
    "cost1": "cheap", "cost2": "full", "cost": "full", "model": "model", "window": "window",
    "threshold": "threshold", "limit": "limit",
}  # fmt: skip
"""Parameters of policies that say what belongs to `Costs`."""
CHUNK = 1 << 13
WARM_UP = 0.1
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Costs:
    """What predictions cost, in the unit of the sizes.

    model: `external`, a price added to the response time; `server`, time of the server; `in-service`, the next
    `window` of the job's service takes that much longer, in proportion if less of it is left. cheap, full: of
    the bit and of the full prediction. threshold: the bit says whether the cheap prediction is at least
    this. limit: the service after which the answer `later` is asked about again. rate: speed of the server.
    stations: servers at the prediction station, each of which takes station_time for a prediction.
    """

    model: str = "external"
    cheap: float = 0.0
    full: float = 0.0
    window: float = 0.5
    threshold: float = math.inf
    limit: float = math.inf
    rate: float = 1.0
    stations: int = 1
    station_time: float = 0.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise unknown("model of costs", str(self.model), MODELS)
        for name in ("cheap", "full", "threshold", "limit", "station_time"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be a number of at least 0.")
        for name in ("cheap", "full", "station_time"):
            if math.isinf(getattr(self, name)):
                raise InputError(f"{name} is infinite: a prediction must have a finite cost.")
        for name in ("window", "rate"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < math.inf:
                raise InputError(f"{name} is {value}: it must be a finite number above 0.")
        if isinstance(self.stations, bool) or self.stations not in range(1, 1001):
            raise InputError(f"stations is {self.stations}: it must be a whole number from 1 to 1000.")

    def of(self, policy: Policy, theta: tuple[Any, ...]) -> Costs:
        """With what the policy's own parameters say: costs, model, window, threshold and limit."""
        values = dict(zip(policy.parameters, theta, strict=False))
        told = {ours: values[name] for name, ours in PARAMETERS.items() if name in values}
        if "model" in told:
            told["model"] = MODELS[int(told["model"])]
        return replace(self, **told)

    def given_to(self, policy: Policy) -> Policy:
        """The policy with these costs, model and window as its parameters, where it has such."""
        mine = {name: getattr(self, ours) for name, ours in PARAMETERS.items() if ours not in ("threshold", "limit")}
        told = {name: mine[name] for name in policy.parameters if name in mine}
        return replace(policy, parameters={**policy.parameters, **told})

    @property
    def numbers(self) -> np.ndarray:
        """As the kernel takes them."""
        return np.array(
            [
                MODELS.index(self.model), self.cheap, self.full, self.window, self.limit, self.rate,
                self.station_time,
            ]
        )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


class Predicting:
    """The server and its jobs. The cheap predictions are drawn from the law of the full ones, given the size.

    `theta` are the values of the policy's parameters, which go before `costs`.
    """

    def __init__(
        self, policy: Policy, theta: tuple[Any, ...], joint: Any, load: float, seed: int, costs: Costs | None = None
    ) -> None:
        self._policy, self._joint, self._load = policy, joint, load
        self.costs = (costs or Costs()).of(policy, theta)
        self._theta = theta or (0.0,)
        self._cheap, self._uniform = streams(seed).routing.spawn(2)
        template = [_HERE / "predicting_kernel.py"]
        self._kernel = kernel([policy], template, heap_width=3, columns=COLUMNS)
        self.clock = np.array([0.0, math.inf, 0.0, 0.0, 0.0, 0.0])
        self.count = np.array([0, -1, 0, 0, 0])
        self._stations = np.zeros(self.costs.stations)
        self._shapes = [((3,), np.float64), ((13,), np.float64), ((), np.int64), ((3,), np.float64)]
        self._arrays = [np.empty((0, *shape), kind) for shape, kind in self._shapes]
        self._done = np.empty((0, 5))

    @property
    def now(self) -> float:
        """Time of the last arrival."""
        return self.clock[0]

    @property
    def areas(self) -> tuple[float, float]:
        """Integrals over time of the number in the system and of the sizes left in it, up to the last arrival."""
        return self.clock[4], self.clock[5]

    @property
    def work(self) -> float:
        """Sizes left in the system just after the last arrival."""
        return self.clock[3]

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, drain=True)

    def serve(
        self,
        gaps: np.ndarray,
        sizes: np.ndarray,
        predictions: np.ndarray,
        drain: bool = False,
        loads: np.ndarray | None = None,
    ) -> np.ndarray:
        """Serve arrivals as `Server.serve`; `loads` are what the policy sees, by default the load.

        Returns (m, 5): response time and price, size, arrival, price, whether a full prediction was made.
        Raises InputError when the policy's answer is not valid at that step.
        """
        n = len(gaps)
        room = int(self.count[2] - self.count[3]) + n
        if room > len(self._done):
            self._grow(2 * room)
        longs = np.zeros(n)
        if n and self.costs.threshold < math.inf:
            self._joint.fill_predictions(self._cheap, sizes, longs)
            longs = (longs >= self.costs.threshold).astype(float)
        if loads is None:
            loads = np.full(max(n, 1), self._load)
        heap, jobs, free, sent = self._arrays
        completed = self._kernel(
            self._theta, self.costs.numbers, gaps, sizes, predictions, longs, self._uniform.random(n), loads,
            heap, jobs, free, sent, self._stations, self.clock, self.count, drain, self._done,
        )  # fmt: skip
        if completed < 0:
            raise InputError(
                f"policy '{self._policy.name}' gave an answer that is not possible: decide must return a rank of at "
                "least 0, -1 (bit, on arrival), -2 (predict), -3 (later, before the limit) or -4 (station)."
            )
        return self._done[:completed]

    def _grow(self, capacity: int) -> None:
        """Make room for `capacity` jobs; what is in use keeps its place."""
        for k, (shape, kind) in enumerate(self._shapes):
            larger = np.empty((capacity, *shape), kind)
            larger[: len(self._arrays[k])] = self._arrays[k]
            self._arrays[k] = larger
        self._done = np.empty((capacity, 5))


def simulate(
    joint: Any,
    load: float,
    policy: str | Policy,
    seed: int,
    jobs: int,
    costs: Costs | None = None,
    swing: float = 0.0,
    period: float = 1000.0,
) -> dict[str, float]:
    """One replication: `jobs` counted arrivals after a tenth as many to warm up.

    The policy decides about predictions, or ranks jobs whose predictions are free. Where it has costs among its
    parameters, `costs` go before them. The load is
    load * (1 + swing) in the first half of each `period` and load * (1 - swing) in the second.
    Returns mean_cost (response time and prices of a job), mean_response, p99 (of the cost), mean_price,
    predicted_share, completed_share (by the last arrival) and unstable (0 or 1).
    """
    if not _is_number(load) or not 0 < load < math.inf:
        raise InputError(f"load is {load}: it must be a positive number.")
    if not _is_number(swing) or not 0 <= swing < 1:
        raise InputError(f"swing is {swing}: it must be at least 0 and below 1.")
    if not _is_number(period) or not 0 < period < math.inf:
        raise InputError(f"period is {period}: it must be a finite number above 0.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    policy = policy if isinstance(policy, Policy) else read_policy(policy)
    policy = costs.given_to(policy) if costs else policy
    theta = resolve(policy, joint, load)
    decides = policy.shape == "decision"
    server = Predicting(policy, theta, joint, load, seed, costs) if decides else Server(policy, theta)
    tally, extra, square = Tally(), np.zeros(2), 0.0
    warm, started = int(WARM_UP * jobs), 0.0

    def note(done):
        tally.add(done, started)
        if decides:
            extra[:] += done[done[:, 2] > started, 3:].sum(axis=0)

    for counted, arrivals in _chunks(joint, load, seed, warm, jobs, swing, period):
        *given, loads = arrivals
        done = server.serve(*given, loads=loads) if decides else server.serve(*given)
        square += float(np.square(given[1]).sum())
        if counted:
            note(done)
        else:
            started = server.now
    left, in_time = server.work, tally.sums[0]
    note(server.drain())
    count, total = tally.sums[:2]
    price, predicted = extra / count
    return {
        "mean_cost": total / count,
        "mean_response": total / count - price,
        "p99": tally.quantile(0.99),
        "mean_price": price,
        "predicted_share": predicted,
        "completed_share": in_time / count,
        # As in single.py; a swing of the load adds the work that comes in beyond the mean in half a period.
        "unstable": float(left > 3.0 * math.sqrt(square) + 0.5 * swing * load * period),
    }


def _chunks(
    joint: Any, load: float, seed: int, warm: int, jobs: int, swing: float, period: float
) -> Iterator[tuple[bool, tuple[np.ndarray, ...]]]:
    """(counted, (gaps, sizes, predictions, loads)), chunk by chunk; without swing the jobs of single.py."""
    source = streams(seed)
    mean_gap = joint.sizes.mean / load
    work, now = 0.0, 0.0
    for counted, length in ((False, warm), (True, jobs)):
        for first in range(0, length, CHUNK):
            gaps, sizes, predictions = np.empty((3, min(CHUNK, length - first)))
            fill_exponential(source.gaps, gaps)
            joint.sizes.fill(source.sizes, sizes)
            joint.fill_predictions(source.predictions, sizes, predictions)
            gaps *= mean_gap
            loads = np.full(len(gaps), float(load))
            if swing:
                # `work` runs as time would at the mean rate; in each period it passes as much as time does.
                upto = work + np.cumsum(gaps)
                whole, part = np.divmod(upto, period)
                high = 0.5 * period * (1 + swing)
                busy = part < high
                times = whole * period + np.where(busy, part / (1 + swing), 0.5 * period + (part - high) / (1 - swing))
                gaps = np.diff(times, prepend=now)
                loads *= np.where(busy, 1 + swing, 1 - swing)
                work, now = upto[-1], times[-1]
            yield counted, (gaps, sizes, predictions, loads)
