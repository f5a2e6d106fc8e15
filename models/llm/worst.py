"""The search for bad instances of unit-time requests that share a KV cache: where a policy is far from the optimum.

Differential evolution over whole numbers (slots of arrival, prompts, outputs, ends of predicted intervals) maximises
the ratio of a policy's total latency to the optimum in hindsight, which the tree search of hindsight.py proves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError
from openqueues.models.llm.hindsight import optimum
from openqueues.models.llm.unit_time import serve_slots
from openqueues.models.search import largest
from openqueues.models.spec import check_keys, parse_spec

MOST_REQUESTS = 10
NODES = 300_000
"""Starts tried for a proof; instances that need more are passed over."""
MOVES = 100
_LISTS = ("arrivals", "prompts", "outputs", "lower", "upper")


@dataclass(frozen=True)
class Requests:
    """A memory of so many tokens and a handful of requests, in the order of their arrival slots.

    lower and upper are the ends of the interval that the output is predicted to lie in; policies that look at one
    number see the upper end, since those that look ahead must not be told too little.
    """

    memory: int
    arrivals: tuple[int, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    lower: tuple[int, ...]
    upper: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Requests:
        """The requests that a text like `requests:memory=9,arrivals=0|1,prompts=1|1,outputs=8|1` says.

        lower and upper are the outputs unless given. InputError for anything else.
        """
        name, given = parse_spec(text, "instance")
        form = "requests:memory=9,arrivals=0|1,prompts=1|1,outputs=8|1"
        if name != "requests":
            raise InputError(f"instance '{text}' is malformed: write it like {form}.")
        check_keys(given, dict.fromkeys(("memory", *_LISTS)), "instance 'requests'")
        for key in ("memory", *_LISTS[:3]):
            if key not in given:
                raise InputError(f"instance '{text}' has no {key}: write it like {form}.")
        read = {key: _whole(key, str(value)) for key, value in given.items()}
        lists = {key: read.get(key, read["outputs"]) for key in _LISTS}
        if len(read["memory"]) != 1 or len({len(values) for values in lists.values()}) != 1:
            raise InputError(f"instance '{text}' must have one memory and lists of one length: write it like {form}.")
        for low, output, high in zip(lists["lower"], lists["outputs"], lists["upper"], strict=True):
            if not 1 <= low <= output <= high:
                raise InputError(f"instance '{text}': the output {output} must lie from lower={low} to upper={high}.")
        return cls(read["memory"][0], **lists)

    @property
    def spec(self) -> str:
        """The text that `of` reads."""
        kept = _LISTS if (self.lower, self.upper) != (self.outputs, self.outputs) else _LISTS[:3]
        lists = ",".join(f"{key}={'|'.join(map(str, getattr(self, key)))}" for key in kept)
        return f"requests:memory={self.memory},{lists}"


@dataclass(frozen=True, eq=False)
class Compared:
    """A policy beside the optimum: total latencies in slots, and the slots in which each request starts and ends."""

    total: int
    optimum: int
    finish: np.ndarray
    best_start: np.ndarray

    @property
    def ratio(self) -> float:
        return self.total / self.optimum


@dataclass(frozen=True)
class Limits:
    """What is searched: so many requests, a memory, the last slot of arrival, and how far apart intervals end.

    ends: the largest ratio of the upper to the lower end. one_prompt: all prompts of an instance are equal. fill: the
    largest peak of a request as a share of the memory.
    """

    requests: int = 6
    memory: int = 16
    last_arrival: int = 0
    ends: float = 1.0
    one_prompt: bool = False
    fill: float = 1.0

    def __post_init__(self):
        def whole(name, low, high):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name.replace('_', ' ')} is {value}: it must lie between {low} and {high}.")

        whole("requests", 2, MOST_REQUESTS)
        whole("memory", 4, 200)
        whole("last_arrival", 0, 200)
        if not 1 <= self.ends < math.inf:
            raise InputError(f"ends is {self.ends}: it must be a finite number of at least 1.")
        if not 0 < self.fill <= 1 or int(self.fill * self.memory) < 2:
            raise InputError(
                f"fill is {self.fill}: it must be at most 1, and leave 2 tokens of the memory to a request."
            )

    def instance(self, z: np.ndarray) -> Requests:
        """The requests at a point of the unit cube of 4 n coordinates."""
        n, peak = self.requests, int(self.fill * self.memory)
        arrival = np.floor(z[:n] * (self.last_arrival + 0.999)).astype(int)
        place = np.full(n, z[n]) if self.one_prompt else z[n : 2 * n]
        prompt = np.floor(place**2 * (peak - 0.001)).astype(int)
        output = 1 + np.floor(z[2 * n : 3 * n] * (peak - prompt - 0.001)).astype(int)
        low = np.maximum(np.ceil(output / self.ends ** z[3 * n :] - 1e-9), 1).astype(int)
        high = np.minimum(np.floor(low * self.ends + 1e-9).astype(int), self.memory - prompt)
        order = np.argsort(arrival, kind="stable")
        lists = (tuple(values[order].tolist()) for values in (arrival, prompt, output, low, np.maximum(high, output)))
        return Requests(self.memory, *lists)


def compare(requests: Requests, policy: str, nodes: int = 20_000_000) -> Compared:
    """A policy (a file with SHAPE "decision", by its path) against the proven optimum.

    InputError for a policy that never ends, and when `nodes` starts do not prove the optimum.
    """
    found = _compare(requests, policies.policy(policy), nodes)
    if isinstance(found, str):
        raise InputError(f"{found} on the instance '{requests.spec}': give another.")
    return found


def attack_slots(
    policy: str,
    limits: Limits,
    *,
    budget: int = 2000,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Requests, Compared]:
    """The requests within the limits on which a policy is worst, and how it does; the same arguments give the same.

    budget bounds the instances looked at; report is called with their number and the largest ratio so far.
    """
    chosen = policies.policy(policy)

    def value(z) -> float:
        found = _compare(limits.instance(z), chosen, NODES)
        return 0.0 if isinstance(found, str) else found.ratio

    compare(limits.instance(np.full(4 * limits.requests, 0.5)), policy)  # says what is wrong with the policy
    dimensions = 4 * limits.requests
    found = limits.instance(largest(value, dimensions, members=2 * dimensions, budget=budget, seed=seed, report=report))
    return found, compare(found, policy)


def _compare(requests: Requests, policy: policies.Policy, nodes: int) -> Compared | str:
    arrival, prompt, output, lower, upper = (np.array(getattr(requests, key)) for key in _LISTS)
    served = serve_slots(arrival, prompt, output, upper, requests.memory, policy, lower=lower, upper=upper)
    if not served.completed.all():
        return f"policy '{policy.name}' never ends"
    total = int((served.finish - arrival).sum())
    best = optimum(arrival, prompt, output, requests.memory, moves=MOVES, nodes=nodes)
    if not best.proven:
        return f"{nodes} starts do not prove the optimum"
    return Compared(total, best.total, served.finish, best.start)


def _whole(key: str, text: str) -> tuple[int, ...]:
    try:
        values = tuple(float(part) for part in text.split("|"))
    except ValueError:
        values = ()
    if not values or any(value < 0 or value != int(value) for value in values):
        raise InputError(f"{key}={text} of an instance must be whole numbers from 0, joined by bars, as in 0|3|7.")
    return tuple(int(value) for value in values)
