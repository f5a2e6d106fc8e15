"""Parallel queues behind a dispatcher: n servers of speed 1, each with a queue of its own and a local policy.

A dispatch policy is a decision: `decide(...)` gives a score of a queue that is asked, and the job joins the queue
of lowest score, ties broken at random. Its columns (`COLUMNS`) speak of the arriving job (size, predicted) and of
the queue that is asked:

    count           jobs there, the one in service included
    work            what these still need (true sizes), predicted_work  what their predictions say that they need:
                    prediction less age, but not less than 0
    same_class      jobs there whose prediction equals the arrival's: those of its class where predictions are bits
    shorter, longer jobs there whose prediction is below, above the arrival's
    ahead           predicted work of those jobs whose predicted remaining work is at most the arrival's prediction
    turn            0 for the queue whose turn it is in cyclic order, 1 for the next one, up to n - 1

Two entries of its PARAMETERS are orders to this model and not arguments of decide: `choices` ("point": as many
queues as the point says; "all": every queue) and `service` ("point", or the local policy to use instead).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.exponential import fill_exponential
from openqueues.models.policies import Policy
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import compiled
from openqueues.models.queues.replication import CHUNK, QUANTILES, WARM_UP
from openqueues.models.queues.server import check_rank
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams

COLUMNS = ("size", "predicted", "count", "work", "predicted_work", "same_class", "shorter", "longer", "ahead", "turn")
ORDERS = {"choices": ("point", "all"), "service": ()}
ORACLE = {"size", "work"}
PREDICTED = {"predicted", "predicted_work", "same_class", "shorter", "longer", "ahead"}
WARM_UP_PER_QUEUE = 500  # a queue needs its own time to settle, however few jobs are counted
_KERNEL_COLUMNS = ("size", "predicted", "arrival", "age", *COLUMNS[2:])
_HERE = Path(__file__).parent
_ROOM = 8  # jobs that a queue has room for at first


def simulate(
    joint: Any, load: float, queues: int, choices: int, policy: str | Policy, service: str, seed: int, jobs: int
) -> dict[str, float]:
    """One replication: `jobs` counted arrivals after a tenth as many, or 500 a queue if that is more, to warm up.

    Up to as many follow until the counted jobs have left.

    joint: a JointLaw of sizes and predictions; arrivals are Poisson with rate queues * load / mean size; an arrival
    asks `choices` distinct queues chosen at random. policy: the dispatch policy, a path or a Policy; service: the
    local policy of every queue, one whose rank never rises in service. Times are in the law's unit.
    Returns mean_response, second_moment, p50, p90, p99, p999 (of the response time), mean_slowdown, completed_share
    (of the counted jobs, by the last arrival), and unstable (0 or 1). Raises InputError for what cannot be run.
    """
    if not (isinstance(load, int | float) and load > 0 and math.isfinite(load)):
        raise InputError(f"load is {load}: it must be a positive number.")
    if jobs < 1:
        raise InputError(f"jobs is {jobs}: at least one job must be simulated.")
    farm = Farm(policy, service, queues, choices, joint, load)
    warm = max(int(WARM_UP * jobs), WARM_UP_PER_QUEUE * queues)
    chunks = _chunks(joint, load, queues, choices, seed)
    for columns in chunks(warm):
        farm.serve(*columns)
    farm.catch_up(farm.now)
    tally, started, before, square = Tally(), farm.now, farm.work(), 0.0
    for columns in chunks(jobs):
        square += float(np.square(columns[1]).sum())
        tally.add(farm.serve(*columns), started)
    ended = farm.now
    tally.add(farm.catch_up(ended), started)
    left, unfinished = farm.work(), farm.present(started)
    # The counted jobs that are still there meet later arrivals, as all others did: else those that wait the longest
    # would be done too soon.
    if not farm.fifo:
        for columns in chunks(warm):
            if tally.sums[0] >= jobs:
                break
            done = farm.serve(*columns)
            tally.add(done[done[:, 2] <= ended], started)
        done = farm.catch_up(math.inf)
        tally.add(done[done[:, 2] <= ended], started)
    count, total, second, slowdown = tally.sums
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        **{name: tally.quantile(q) for name, q in QUANTILES.items()},
        "mean_slowdown": slowdown / count,
        "completed_share": 1.0 - unfinished / count,
        # The work in a stable system goes up and down; what it gains is less than the standard deviation of what
        # has come in, unless it drifts.
        "unstable": float(left - before > 3.0 * math.sqrt(square)),
    }


def _chunks(joint: Any, load: float, queues: int, choices: int, seed: int) -> Callable[[int], Iterator[tuple]]:
    """A function that gives the next so many jobs, chunk by chunk: gaps, sizes, predictions and uniforms for routing.

    A chunk is valid until the next. Whoever looks at them: the draws are the same for every policy.
    """
    source, scale = streams(seed), joint.sizes.mean / (load * queues)
    room, routing = np.empty((3, CHUNK)), np.empty((CHUNK, choices + 1))

    def chunks(length: int) -> Iterator[tuple]:
        for first in range(0, length, CHUNK):
            here = min(CHUNK, length - first)
            gaps, sizes, predictions = room[:, :here]
            fill_exponential(source.gaps, gaps)
            gaps *= scale
            joint.sizes.fill(source.sizes, sizes)
            joint.fill_predictions(source.predictions, sizes, predictions)
            source.routing.random(out=routing[:here])
            yield gaps, sizes, predictions, routing[:here]

    return chunks


class Farm:
    """n queues with their jobs; feed it chunks of arrivals, and it gives back completed jobs.

    joint and load only serve to find the policies' parameters where these are `optimal`. fifo: whether the queues
    serve first come first served, so that a job's end is known when it joins.
    """

    def __init__(self, policy: str | Policy, service: str, queues: int, choices: int, joint: Any, load: float) -> None:
        for name, value, most in (("queues", queues, 10**6), ("choices", choices, queues)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"{name} is {value!r}: it must be a whole number from 1 to {most}.")
        self.dispatch, everyone, own = orders_of(policy)
        self.service = _local(service if own == "point" else own)
        self._theta = self._parameters(joint, load)
        self._needs = _needs(self.dispatch)
        self._everyone = everyone or choices == queues
        self.fifo = self.service.name == "fcfs"
        self._kernel = _kernel(self.dispatch, self.service)
        self._room = np.empty((queues, _ROOM, 4 if self.fifo else 5))
        self._numbers = np.zeros((2, queues), np.int64)  # of a ring its head and length; of a heap its length
        self._jobs = np.zeros((queues, 6))
        self._jobs[:, 0] = math.inf
        self._clock, self._count = np.zeros(1), np.zeros(3, np.int64)
        self._scores, self._chosen = np.empty(queues), np.zeros(queues, np.int64)
        self._done = np.empty((0, 3))
        self._given = 0

    @property
    def now(self) -> float:
        """Time of the last arrival."""
        return float(self._clock[0])

    def serve(self, gaps: np.ndarray, sizes: np.ndarray, predictions: np.ndarray, routing: np.ndarray) -> np.ndarray:
        """Send the arrivals, each `gaps` after the one before, to their queues.

        Arguments (m,), routing (m, choices + 1) uniform in [0, 1). Returns (rows, 3): response time, size and
        arrival of jobs whose end is known by now: with first come first served all that arrived, else those seen to
        have left; valid until the next call. Raises InputError when a score or a rank is not a number.
        """
        return self._run(-math.inf, gaps, sizes, predictions, routing)

    def catch_up(self, until: float) -> np.ndarray:
        """Serve every queue up to the time `until`, at least `now`, without arrivals; returns as `serve` does."""
        none = np.empty(0)
        # An idle server's completion is at infinity, so all that ends must end before.
        return self._run(min(until, sys.float_info.max), none, none, none, np.empty((0, 1)))

    def work(self) -> float:
        """Work left in all queues at the last arrival, once they were brought up to it by `catch_up(now)`."""
        if self.fifo:
            heads, lengths = self._numbers
            last = (heads + lengths - 1) & (self._room.shape[1] - 1)
            ends = self._room[np.arange(len(heads)), last, 0][lengths > 0]
            return float(np.maximum(ends - self.now, 0.0).sum())
        served = self._jobs[np.isfinite(self._jobs[:, 0]), 0] - self.now
        rows = self._waiting()
        return float(np.maximum(served, 0.0).sum() + (rows[:, 2] - rows[:, 4]).sum())

    def present(self, since: float) -> int:
        """How many jobs that arrived after `since` are still there at the last arrival, as for `work`."""
        if self.fifo:
            heads, lengths = self._numbers
            places = np.arange(self._room.shape[1])
            rows = self._room[((places - heads[:, None]) & (len(places) - 1)) < lengths[:, None]]
            return int(np.count_nonzero((rows[:, 1] > since) & (rows[:, 0] > self.now)))
        served = self._jobs[np.isfinite(self._jobs[:, 0]), 2]
        return int(np.count_nonzero(served > since) + np.count_nonzero(self._waiting()[:, 1] > since))

    def _waiting(self) -> np.ndarray:
        return self._room[np.arange(self._room.shape[1]) < self._numbers[0][:, None]]

    def _parameters(self, joint: Any, load: float) -> tuple[Any, ...]:
        own = resolve(self.dispatch, joint, load) or (0.0,)
        _check_decide(self.dispatch)
        if self.service.name == "fcfs":
            return own
        local = resolve(self.service, joint, load) or (0.0,)
        check_rank(self.service, local)
        return own, local

    def _run(self, until, gaps, sizes, predictions, routing) -> np.ndarray:
        known = self._count[2] if self.fifo else self._given
        room = int(self._count[2] - known) + len(gaps)
        if room > len(self._done):
            self._done = np.empty((2 * room, 3))
        self._count[0] = self._count[1] = 0
        state = -1
        while state:
            if self.fifo:
                arguments = gaps, sizes, predictions, routing, self._room, *self._numbers
            else:
                arguments = until, gaps, sizes, predictions, routing, self._room, self._numbers[0], self._jobs
            state = self._kernel(
                *(self._theta, self._needs, self._everyone, *arguments, self._clock, self._count),
                *(self._scores, self._chosen, self._done),
            )
            if state < 0:
                policy, what = (self.dispatch, "score") if state == -1 else (self.service, "rank")
                raise InputError(
                    f"policy '{policy.name}' returned a {what} that is not a number: it must return a number."
                )
            if state:
                self._grow()
        self._given += int(self._count[1])
        return self._done[: self._count[1]]

    def _grow(self) -> None:
        """Double the room of every queue; jobs in a ring move so that it begins at its first row."""
        old = self._room
        self._room = np.empty((old.shape[0], 2 * old.shape[1], old.shape[2]))
        if self.fifo:
            order = (self._numbers[0][:, None] + np.arange(old.shape[1])) & (old.shape[1] - 1)
            old = np.take_along_axis(old, order[:, :, None], axis=1)
            self._numbers[0] = 0
        self._room[:, : old.shape[1]] = old


def fluid_columns(policy: str | Policy) -> bool:
    """Whether a dispatch policy looks at nothing but numbers of jobs by class, so that it has a fluid limit."""
    policy = policy if isinstance(policy, Policy) else read_policy(policy)
    return set(policy.sees) <= {"count", "same_class", "shorter", "longer"}


def orders_of(policy: str | Policy) -> tuple[Policy, bool, str]:
    """(the policy without its orders, whether it asks all queues, its own local policy or "point").

    Raises InputError for a policy that is no dispatcher, or that sees more than it says.
    """
    policy = policy if isinstance(policy, Policy) else read_policy(policy)
    if policy.shape != "decision":
        raise InputError(
            f"policy '{policy.name}' is no dispatcher: give it SHAPE = 'decision' and decide(...), a queue's score."
        )
    for column in policy.sees:
        if column not in COLUMNS:
            raise unknown(f"column in SEES of policy '{policy.name}'", column, COLUMNS)
    least = "oracle" if ORACLE & set(policy.sees) else "predictions" if PREDICTED & set(policy.sees) else "blind"
    if least == "oracle" and policy.information != "oracle":
        raise InputError(f"policy '{policy.name}' sees true sizes: write INFORMATION = 'oracle' in its file.")
    if least == "predictions" and policy.information == "blind":
        raise InputError(f"policy '{policy.name}' sees predictions: write INFORMATION = 'predictions' in its file.")
    parameters = dict(policy.parameters)
    choices, service = (parameters.pop(name, "point") for name in ORDERS)
    if choices not in ORDERS["choices"]:
        raise unknown(f"value of 'choices' of policy '{policy.name}'", str(choices), ORDERS["choices"])
    return replace(policy, parameters=parameters), choices == "all", service


def _local(name: str) -> Policy:
    service = read_policy(name)
    if service.shape != "falling":
        raise InputError(
            f"service '{name}' has SHAPE = '{service.shape}': a queue behind the dispatcher needs a policy whose rank "
            "never rises in service, such as fcfs, spjf, pspjf or sprpt."
        )
    return service


def _needs(policy: Policy) -> int:
    state = set(policy.sees) - {"size", "predicted", "turn"}
    return 0 if not state else 1 if state == {"count"} else 2


def _kernel(dispatch: Policy, service: Policy):
    templates = [_HERE / "dispatching_sample.py"]
    if service.name == "fcfs":
        return compiled.kernel([dispatch], [*templates, _HERE / "dispatching_fifo.py"], columns=_KERNEL_COLUMNS)
    templates.append(_HERE / "dispatching_ranked.py")
    return compiled.kernel([dispatch, service], templates, 5, service.newest_first, _KERNEL_COLUMNS)


def decide_in_python(policy: Policy):
    """The policy's decide as a plain function of keyword columns; parameters are bound."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    values = {name: float(value) for name, value in policy.parameters.items()}

    def score(**columns: float) -> float:
        return scope["decide"](*(values[name] if name in values else columns[name] for name in policy.arguments))

    return score


def _check_decide(policy: Policy) -> None:
    """Call decide in plain Python: what it returns must be a number."""
    for value in (0.0, 2.0):
        try:
            result = decide_in_python(policy)(**dict.fromkeys(COLUMNS, value))
        except Exception as error:
            raise InputError(
                f"policy '{policy.name}': decide raised {type(error).__name__}: {error}; it must return a number."
            ) from None
        number = isinstance(result, int | float | np.number) and not isinstance(result, bool | np.bool_)
        if not number or math.isnan(result):
            raise InputError(f"policy '{policy.name}': decide returned {result!r}; it must return a number.")
