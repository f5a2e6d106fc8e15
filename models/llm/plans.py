"""What the kernel of the engine is told of one server: limits, switches of its policy, tables of the requests."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import policies, prefix, ranking, stages
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import FORECASTS, Policy

# Of each mechanism: prompts and decoding in one step, finish a batch first, pages, tokens of prompts in a step.
MECHANISMS = {
    "fastertransformer": (False, True, False, None),
    "orca": (True, False, False, None),
    "vllm": (False, False, True, 4096),
    "sarathi": (True, False, True, 512),
}
MEMORY = ("recompute", "swap", "tail")
PREEMPT = (False, True, "batch")
RESERVE = ("max", "pow2", "oracle")
DEFAULT_BATCH = 128
_MOST_REQUESTS = 1 << 25  # a request's number shares an integer with a step's
NO_LIMIT = 1 << 60
_NO_TREE = (np.zeros((0, 5), np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), 0)


@dataclass(frozen=True, eq=False)
class Plan:
    """What the kernel is told of one server, checked."""

    policy: Policy
    """With its own parameters only."""
    setting: tuple[int, ...]
    """Limits and switches in the order in which the kernel's `serve` takes them apart, and the blocks of the cache."""
    constants: np.ndarray
    reserved: np.ndarray
    """(n,) blocks that each request reserves, 0 with pages."""
    tree: tuple[np.ndarray, np.ndarray, np.ndarray]
    """tree, path_start and path of the prefix cache."""


def planned(
    requests: Requests,
    hardware: Hardware,
    policy: str | Policy,
    *,
    kv_tokens: int | None,
    max_batch: int | None,
    token_budget: int | None,
    block_tokens: int,
    watermark: float,
    programs: Programs | None = None,
) -> Plan:
    """What serve tells its kernel. Raises InputError as it does, but for requests that do not fit.

    programs: those whose stages the requests are.
    """
    order = policies.policy(policy) if isinstance(policy, str) else policy
    if order.shape == "rounds":
        raise InputError(
            f"policy '{order.name}' plans whole iterations (SHAPE = 'rounds'), which only a single engine carries out: "
            "give a policy that ranks the requests."
        )
    switch, order = _switches(order)
    mixed, drain, paged, default_budget = MECHANISMS[switch["mechanism"]]
    check_seen(order, requests)
    stages.check(programs, order, switch["mechanism"])
    n = len(requests)
    if n >= _MOST_REQUESTS:
        raise InputError(f"there are {n} requests: the engine takes at most {_MOST_REQUESTS - 1}.")
    block = whole("block_tokens", block_tokens, 1)
    most = whole("max_batch", hardware.max_batch or DEFAULT_BATCH if max_batch is None else max_batch, 1)
    budget = default_budget if token_budget is None else whole("token_budget", token_budget, 1)
    capacity = whole("kv_tokens", hardware.kv_tokens if kv_tokens is None else kv_tokens, 0)
    if not 0 <= watermark < 1:
        raise InputError(f"watermark is {watermark:g}: it must be a share of the blocks, from 0 to below 1.")
    total = capacity // block if capacity else NO_LIMIT // block
    spare = int(watermark * total) if paged and capacity else 0
    moves = programs is not None and hardware.kv_bytes_per_token > 0 and hardware.swap_bytes_per_s > 0
    swap_ms = _swap_ms(hardware) if switch["memory"] == "swap" or moves else 0.0
    shares = switch["prefix_cache"]
    *tree, node_blocks = prefix.tables(requests, block) if shares else _NO_TREE
    timed = bool(policies.MOVING & set(order.sees) or set(policies.RANK_STATE) & set(order.arguments))
    falls = order.shape == "falling order" and not timed and not policies.SHIFTING & set(order.arguments)
    renews = bool(switch["preempt"]) and "estimate" in order.sees and len(requests.refreshed) > 0
    settled = (
        falls
        and programs is None
        and not (renews or mixed or shares or switch["memory"] == "tail" or "running" in order.sees)
    )
    asks = policies.arguments_of(order, "admit") is not None
    setting = (
        block,
        most,
        budget or NO_LIMIT,
        spare,
        mixed,
        drain,
        PREEMPT.index(switch["preempt"]),
        paged,
        (bool(switch["preempt"]) and not falls) or timed or asks,
        timed,
        2 if settled else int(falls),
        renews,
        asks,
        "peak_tokens" in order.sees,
        MEMORY.index(switch["memory"]),
        shares,
        node_blocks,
        shares and "cached" in order.sees,
        "picks" in order.arguments,
        10 * int(requests.input_tokens.sum() + requests.output_tokens.sum()),
        total,
    )
    values = tuple(float(value) for value in order.parameters.values())
    return Plan(
        order,
        tuple(int(value) for value in setting),
        _constants(hardware, swap_ms, values),
        _reserved(requests, switch["reserve"], paged, block, total),
        tuple(tree),
    )


def _switches(policy: Policy) -> tuple[dict[str, Any], Policy]:
    """The engine's switches that a policy sets, and the policy with its own parameters only."""
    switch = {key: policy.parameters.get(key, value) for key, value in policies.SWITCHES.items()}
    for key, known in (("mechanism", MECHANISMS), ("memory", MEMORY), ("reserve", RESERVE)):
        if switch[key] not in known:
            raise unknown(f"{key} of policy '{policy.name}'", str(switch[key]), known)
    if not any(switch["preempt"] is known for known in PREEMPT[:2]) and switch["preempt"] != PREEMPT[2]:
        raise InputError(f"policy '{policy.name}': preempt is {switch['preempt']}: it must be true, false or batch.")
    _, drain, paged, _ = MECHANISMS[switch["mechanism"]]
    if drain and switch["preempt"]:
        raise InputError(f"policy '{policy.name}': fastertransformer finishes its batch, so preempt must be false.")
    if not isinstance(switch["prefix_cache"], bool):
        raise InputError(f"policy '{policy.name}': prefix_cache is {switch['prefix_cache']}: it must be true or false.")
    if switch["prefix_cache"] and not (paged and switch["memory"] == "recompute"):
        raise InputError(
            f"policy '{policy.name}': prefix_cache needs mechanism vllm or sarathi, and memory=recompute: what a "
            "preempted request shares stays cached anyway."
        )
    if not paged and switch["memory"] != "recompute":
        raise InputError(
            f"policy '{policy.name}': memory={switch['memory']} needs pages: use it with mechanism vllm or sarathi."
        )
    own = {key: value for key, value in policy.parameters.items() if key not in policies.SWITCHES}
    for key, value in own.items():
        if not isinstance(value, int | float):
            raise InputError(f"policy '{policy.name}': {key} is '{value}', but it must be a number.")
    if len(own) > ranking.MOST_PARAMETERS:
        raise InputError(
            f"policy '{policy.name}' has {len(own)} parameters: the engine takes {ranking.MOST_PARAMETERS}."
        )
    return switch, replace(policy, parameters=own)


def check_seen(policy: Policy, requests: Requests) -> None:
    """Raise InputError for a policy that looks at predictions which the requests lack or which only rank them."""
    seen = FORECASTS & set(policy.sees)
    if requests.predicted_output_tokens is None and seen:
        raise InputError(
            f"policy '{policy.name}' looks at predictions, but the requests have none: "
            "give predicted_output_tokens or a law of predictions."
        )
    if requests.rank_only and seen - {"score"}:
        raise InputError(
            f"policy '{policy.name}' takes predictions for numbers of tokens (it sees {', '.join(sorted(seen))}), but "
            "those of the requests only say which answer is longer: use a policy that sees 'score', such as ltr or "
            "spjf, or predict tokens."
        )


def whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value >= least:
        raise InputError(f"{name} is {value}: it must be a whole number of at least {least}.")
    if value != math.floor(value):
        raise InputError(f"{name} is {value}: it must be a whole number of at least {least}.")
    return int(value)


def check_fits(requests: Requests, plan: Plan, capacity: int) -> None:
    """Raise InputError for a request that can never fit."""
    check_blocks(requests, plan.setting[0], plan.setting[3], plan.setting[-1], capacity)


def check_blocks(requests: Requests, block: int, spare: int, total: int, capacity: int) -> None:
    """Raise InputError for a request that never fits into total - spare blocks of `block` tokens."""
    needed = -(-(requests.input_tokens + requests.output_tokens) // block)
    i = int(np.argmax(needed))
    if needed[i] + spare > total:
        kept = f", of which the watermark keeps {spare} free" if spare else ""
        raise InputError(
            f"request {i} can never fit: its {requests.input_tokens[i]} input and {requests.output_tokens[i]} "
            f"output tokens take {needed[i]} blocks of {block} tokens, and the KV cache of {capacity} tokens has "
            f"{total}{kept}: raise kv_tokens or leave the request out."
        )


def _reserved(requests: Requests, rule: str, paged: bool, block: int, total: int) -> np.ndarray:
    """Blocks that each request reserves, (n,), 0 with pages."""
    tokens = requests.input_tokens + requests.output_tokens
    if paged:
        return np.zeros(len(tokens), np.int64)
    longest = int(requests.output_tokens.max())
    if rule == "max":
        tokens = requests.input_tokens + longest
    elif rule == "pow2":
        answer = 2 ** np.ceil(np.log2(requests.output_tokens)).astype(np.int64)
        tokens = requests.input_tokens + np.minimum(answer, longest)
    return np.minimum(-(-tokens // block), total)


def _swap_ms(hardware: Hardware) -> float:
    """Time to move the KV of one token between accelerator and host."""
    if not (hardware.kv_bytes_per_token > 0 and hardware.swap_bytes_per_s > 0):
        raise InputError(
            f"memory=swap needs kv_bytes_per_token and swap_bytes_per_s, and hardware '{hardware.name}' has not both: "
            "give them or use memory=recompute."
        )
    return 1000.0 * hardware.kv_bytes_per_token / hardware.swap_bytes_per_s


def rows(requests: Requests) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's tables job (n, 15) and real (n, 10), see state_kernel.py."""
    n = len(requests)
    job, real = np.zeros((n, 15), np.int64), np.full((n, 10), np.nan)
    job[:, 0], job[:, 1] = requests.input_tokens, requests.output_tokens
    real[:, 0] = real[:, 9] = requests.arrival_s * 1000.0
    if requests.predicted_output_tokens is not None:
        real[:, 1] = requests.predicted_output_tokens
    real[:, 2], real[:, 3], real[:, 4] = requests.kind, requests.deadline_s, requests.price
    return job, real


def _constants(hardware: Hardware, swap_ms: float, values: tuple[float, ...]) -> np.ndarray:
    """What the kernel reads as `constants`: coefficients, swap, policy, table."""
    line, table_tokens, table_ms = hardware.coefficients()
    own = values + (0.0,) * (ranking.MOST_PARAMETERS - len(values))
    return np.concatenate([line, [swap_ms], own, [len(table_tokens)], table_tokens, table_ms]).astype(np.float64)
