"""One server with its jobs, fed chunk by chunk: the state of a kernel between two calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import COLUMNS, SHAPES, Policy
from openqueues.models.queues.compiled import HEAP_WIDTH, serve_for


class Server:
    """One server with its jobs; feed it chunks of arrivals, and it gives back the completed jobs.

    `theta` holds the values of the policy's parameters in the order of `policy.parameters`.
    """

    def __init__(self, policy: Policy, theta: tuple[Any, ...] = ()) -> None:
        if policy.shape == "decision":
            raise InputError(f"policy '{policy.name}' has no rank: it cannot serve jobs at a single server.")
        self.policy = policy
        self.theta = theta or (0.0,)
        self.clock = np.zeros(11)
        self.count = np.zeros(6, np.int64)
        if policy.shape == "falling":
            self.clock[1] = math.inf
        if policy.shape != "sharing":
            check_rank(policy, self.theta)
        self._compiled = serve_for(policy)
        heap = (HEAP_WIDTH[policy.shape],)
        self._columns = [(heap, np.float64)]
        if policy.shape == "general":
            self._columns += [((8,), np.float64), ((), np.int64), ((), np.int64), ((5,), np.float64)]
        self._arrays = [np.empty((0, *columns), kind) for columns, kind in self._columns]
        self._done = np.empty((0, 3))

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
        if self.policy.shape == "falling":
            return self.clock[3] + (self.clock[1] - self.clock[0] if self.count[1] else 0.0)
        return self.clock[3]

    def drain(self) -> np.ndarray:
        """Serve on without arrivals until the system is empty; returns as `serve` does."""
        none = np.empty(0)
        return self.serve(none, none, none, drain=True)

    def serve(self, gaps: np.ndarray, sizes: np.ndarray, predictions: np.ndarray, drain: bool = False) -> np.ndarray:
        """Serve the arrivals, each `gaps` after the one before; with `drain`, on until the system is empty.

        Arguments (n,), in one unit of time. Returns the completed jobs, (m, 3): response time, size, arrival;
        valid until the next call. Raises InputError when the policy's rank is not a number.
        """
        present = self.count[2] if self.policy.shape == "general" else self.count[0] + self.count[1]
        room = int(present) + len(gaps)
        if room > len(self._done):
            self._grow(2 * room)
        completed = self._compiled(
            self.theta, gaps, sizes, predictions, *self._arrays, self.clock, self.count, drain, self._done
        )
        if completed < 0:
            job = dict(zip(("arrival", "size", "predicted", "age"), self.clock[7:11], strict=True))
            seen = ", ".join(f"{name}={job[name]:g}" for name in COLUMNS if name in self.policy.sees)
            raise InputError(
                f"policy '{self.policy.name}' returned a rank that is not a number for {seen or 'a job'}: "
                "rank must return a number."
            )
        return self._done[:completed]

    def _grow(self, capacity: int) -> None:
        """Make room for `capacity` jobs; what is in use keeps its place."""
        for k, (columns, kind) in enumerate(self._columns):
            larger = np.empty((capacity, *columns), kind)
            larger[: len(self._arrays[k])] = self._arrays[k]
            self._arrays[k] = larger
        self._done = np.empty((capacity, 3))


def check_rank(policy: Policy, theta: tuple[Any, ...]) -> None:
    """Call the policy's rank (and turn) in plain Python once or twice: what it returns must be a number."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    values = dict(zip(policy.parameters, theta, strict=False))
    for age in (0.0, 0.5):
        values.update(dict(zip(COLUMNS, (1.0, 1.25, 2.0, age), strict=True)))
        for function in SHAPES[policy.shape]:
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
                raise InputError(f"policy '{policy.name}': {function} returned {result!r}; it must return a number.")
