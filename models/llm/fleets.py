"""What a cluster is made of: instances with their roles, the links between them, and when they are up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import controllers, plans
from openqueues.models.llm.hardware import Hardware, hardware_law
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy

ROLES = ("mixed", "prefill", "decode")
TRANSFERS = ("whole", "layers")
LAYERS = 80
"""Of a model whose KV cache moves by layers: those of Llama-2-70B."""


@dataclass(frozen=True)
class Instance:
    """`count` servers alike; None is what serve takes by default, and the policy of the cluster."""

    hardware: str | Hardware
    count: int = 1
    role: str = "mixed"
    """prefill computes prompts and the first token only, decode the rest; mixed both."""
    model: int = 0
    """The number of the language model, for requests that ask for one."""
    kv_tokens: int | None = None
    max_batch: int | None = None
    token_budget: int | None = None
    policy: str | None = None
    price_per_hour: float | None = None


@dataclass(frozen=True)
class Cluster:
    """Instances, numbered in the order given, and how KV caches move between them."""

    instances: Sequence[Instance]
    transfer_bytes_per_s: float = math.inf
    """Of the link of each instance that sends KV caches, one at a time."""
    transfer: str = "whole"
    """whole: the KV cache moves after the prompt was computed; layers: each of LAYERS layers as soon as it is there, so
    that all but the last, or as much as took longer than the prompt, has moved by then."""
    events: Sequence[tuple[float, int, str]] = ()
    """(time in s, number of an instance, "up" or "down"): all are up at first."""
    control: str | None = None
    """A controller (controllers/) that changes the roles of the instances that have one."""
    control_every_s: float = 10.0
    switch_s: float = 0.0
    """Time from when an instance that changes its role is empty until it has changed."""

    def __post_init__(self):
        for name, least in (("control_every_s", 1e-6), ("switch_s", 0.0)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and least <= value < math.inf):
                raise InputError(f"{name} is {value}: it must be a finite number of at least {least:g}.")
        if self.transfer not in TRANSFERS:
            raise unknown("transfer", str(self.transfer), TRANSFERS)
        if not (isinstance(self.transfer_bytes_per_s, int | float) and self.transfer_bytes_per_s > 0):
            raise InputError(f"transfer_bytes_per_s is {self.transfer_bytes_per_s}: it must be a number above 0.")
        if not self.instances:
            raise InputError("the cluster has no instances: give at least one.")
        for place, one in enumerate(self.instances):
            where = f"instance {place} of the cluster"
            if one.role not in ROLES:
                raise unknown(f"role of {where}", str(one.role), ROLES)
            plans.whole(f"count of {where}", one.count, 1)
            plans.whole(f"model of {where}", one.model, 0)
            price = one.price_per_hour
            if price is not None and not (isinstance(price, int | float) and 0 <= price < math.inf):
                raise InputError(f"price_per_hour of {where} is {price}: it must be a finite number of at least 0.")

        for event in self.events:
            time, k, what = event if len(event) == 3 else (None, None, None)
            right = isinstance(time, int | float) and 0 <= time < math.inf and what in ("up", "down")
            if not (right and isinstance(k, int) and 0 <= k < len(self.each)):
                raise InputError(
                    f"the cluster has the event {event}: give (time in s, number of an instance from 0 to "
                    f"{len(self.each) - 1}, 'up' or 'down')."
                )

    @property
    def each(self) -> list[Instance]:
        """The instances one by one."""
        return [one for one in self.instances for _ in range(int(one.count))]


def price(one: Instance) -> float:
    return hardware_law(one.hardware).price_per_hour if one.price_per_hour is None else float(one.price_per_hour)


def link_ms(one: Instance, cluster: Cluster) -> float:
    """Time to send the KV of a token."""
    if one.role == "mixed" or math.isinf(cluster.transfer_bytes_per_s):
        return 0.0
    law = hardware_law(one.hardware)
    if not law.kv_bytes_per_token > 0:
        raise InputError(
            f"moving KV caches needs kv_bytes_per_token, and hardware '{law.name}' has none: give it, or leave "
            "transfer_bytes_per_s infinite."
        )
    return 1000.0 * law.kv_bytes_per_token / cluster.transfer_bytes_per_s


def up_s(cluster: Cluster, start: float, end: float) -> np.ndarray:
    """How long each instance is up from `start` to `end`, in s."""
    up_since = dict.fromkeys(range(len(cluster.each)), start)
    total = np.zeros(len(up_since))
    for time, k, what in sorted(cluster.events, key=lambda event: event[0]):
        time = min(max(time, start), end)
        if what == "up":
            up_since.setdefault(k, time)
        elif k in up_since:
            total[k] += time - up_since.pop(k)
    for k, time in up_since.items():
        total[k] += end - time
    return total


def check_control(control: Policy, requests: Requests, each: list[Instance]) -> None:
    if controllers.FORECASTS & set(control.sees) and requests.predicted_output_tokens is None:
        raise InputError(
            f"controller '{control.name}' looks at predictions, but the requests have none: give "
            "predicted_output_tokens or a law of predictions."
        )
    if len({one.model for one in each}) > 1:
        raise InputError("a controller changes the roles of instances of one model: give all the same model.")
    if {"prefill", "decode"} - {one.role for one in each}:
        raise InputError("a controller needs at least one instance of role prefill and one of role decode.")
