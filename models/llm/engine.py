"""The engine: requests served iteration by iteration by one replica of a language model.

In each iteration the server computes prompts (prefill), one more token for requests that run (decode), or both,
and the hardware law says how long that takes. Policies order the requests; mechanisms are switches:

    fastertransformer   a batch of whole prompts, then decoding until all of them are done; the KV cache is
                        reserved for the longest possible answer (Vidur's FasterTransformer)
    orca                whole prompts join the decoding batch in any iteration; reserved as above (Yu et al. 2022)
    vllm                iterations of whole prompts whenever one can be admitted, else decoding; pages of
                        `block_tokens`; a prompt is admitted if `watermark` of the blocks stay free and the
                        prompts of the iteration have at most `token_budget` tokens (vLLM v0 as in Vidur)
    sarathi             iterations of at most `token_budget` tokens: one of each request that decodes, then the
                        prompt that was begun, then new prompts in chunks (Sarathi-Serve as in Vidur)

Conventions, the same for all mechanisms:

*   A prefill ends with the first output token. A decoding request with `made` tokens attends to input + made
    tokens in a step and holds as many after it, when it has made one more: the last token made is never in the
    cache. It finishes at the end of the step that makes its last token.
*   The running requests take the blocks for the tokens of a step before it. While they need more than are free,
    the worst of them is preempted: the order is (rank, number by arrival). It goes back to the waiting ones, keeps
    the tokens it has made, and its next prefill computes prompt and made tokens and makes one more.
*   `memory` says what becomes of its KV: recompute (dropped), swap (moved to the host and back, each way at
    swap_bytes_per_s and added to the iteration), tail (kept, but for as many of the last blocks as others need;
    those of waiting requests are taken before any more is preempted).
*   Waiting requests are admitted in the order of rank until the first that is blocked by the batch size, memory
    or the token budget; one that was preempted in this iteration is blocked. The first prompt of an iteration may
    exceed vLLM's token budget. With preempt=true a request blocked by batch size or memory takes the place of
    running requests that rank behind it, the worst first, if all of them together are enough; with preempt=batch
    only where the batch is full.

*   With prefix_cache a prompt's full prefix blocks are cached in a tree (prefix_kernel.py). Tokens found there are
    resident and attended to, but not computed again; shared tokens count once as resident, and those that nobody
    holds not at all.

Between two events that can change the plan the kernel jumps over all iterations at once (engine_kernel.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm import policies, prefix, ranking
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import FORECASTS, Policy

_HERE = Path(__file__).parent
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
_NO_LIMIT = 1 << 60
_NO_TREE = (np.zeros((0, 5), np.int64), np.zeros(1, np.int64), np.zeros(0, np.int64), 0)
_COUNTS = {
    "iterations": 13,
    "preemptions": 14,
    "recomputed_tokens": 15,
    "swapped_tokens": 16,
    "peak_kv_tokens": 17,
    "reused_tokens": 20,
}


@dataclass(frozen=True, eq=False)
class Served:
    """What came out: arrays of one value a request, in the order of the requests, and totals.

    Resident tokens are those whose KV is on the accelerator while an iteration runs, with those that it writes.
    """

    first_token_s: np.ndarray
    """When the first output token was made, in the clock of the arrivals."""
    finish_s: np.ndarray
    preemptions_of: np.ndarray
    """int64, how often each request was preempted."""
    iterations: int
    preemptions: int
    recomputed_tokens: int
    """Tokens whose KV was dropped and computed again."""
    swapped_tokens: int
    """Tokens moved to the host; all of them came back."""
    peak_kv_tokens: int
    reused_tokens: int
    """Prompt tokens found in the prefix cache, which had not to be computed."""
    mean_kv_tokens: float
    """Resident tokens, averaged over the makespan."""
    mean_batch: float
    """Requests computed in an iteration, on average over the iterations."""
    makespan_s: float
    """From the first arrival to the last completion."""
    busy_s: float
    """Time in iterations."""
    output_tokens: int


def serve(
    requests: Requests,
    hardware: Hardware,
    policy: str | Policy,
    *,
    kv_tokens: int | None = None,
    max_batch: int | None = None,
    token_budget: int | None = None,
    block_tokens: int = 16,
    watermark: float = 0.01,
    seed: int = 0,
) -> Served:
    """Serve all requests and return what came out.

    policy: `name[:key=value,...]` or a file, see models/llm/policies. Every policy also takes mechanism, memory
    (recompute, swap or tail), preempt (true, false or batch), prefix_cache (true or false) and reserve (max, pow2
    or oracle: tokens of answer that orca and fastertransformer reserve). kv_tokens: capacity of the KV cache
    (default: the hardware's; 0: no limit). max_batch: most requests that run at once (default: the hardware's,
    else 128). token_budget: prompt tokens of a step (default: 4096 for vllm, 512 for sarathi, else no limit).
    watermark: share of the blocks that an admission must leave free, in the mechanisms with pages. seed: of
    policies that draw random numbers; none of the built-in ones does.

    Raises InputError for a setting that makes no sense, a policy that sees what the requests lack, a request that
    can never fit, and a policy that breaks its rules.
    """
    order = policies.policy(policy) if isinstance(policy, str) else policy
    switch, order = _switches(order)
    mixed, drain, paged, default_budget = MECHANISMS[switch["mechanism"]]
    _check_seen(order, requests)
    n = len(requests)
    if n >= _MOST_REQUESTS:
        raise InputError(f"there are {n} requests: the engine takes at most {_MOST_REQUESTS - 1}.")
    block = _whole("block_tokens", block_tokens, 1)
    most = _whole("max_batch", hardware.max_batch or DEFAULT_BATCH if max_batch is None else max_batch, 1)
    budget = default_budget if token_budget is None else _whole("token_budget", token_budget, 1)
    capacity = _whole("kv_tokens", hardware.kv_tokens if kv_tokens is None else kv_tokens, 0)
    if not 0 <= watermark < 1:
        raise InputError(f"watermark is {watermark:g}: it must be a share of the blocks, from 0 to below 1.")
    total = capacity // block if capacity else _NO_LIMIT // block
    spare = int(watermark * total) if paged and capacity else 0
    reserved = _fit(requests, switch["reserve"], paged, capacity, block, total, spare)
    swap_ms = _swap_ms(hardware) if switch["memory"] == "swap" else 0.0

    shares = switch["prefix_cache"]
    *tree, node_blocks = prefix.tables(requests, block) if shares else _NO_TREE
    timed = bool(policies.MOVING & set(order.sees) or set(policies.RANK_STATE) & set(order.arguments))
    falls = order.shape == "falling order" and not timed
    asks = policies.arguments_of(order, "admit") is not None
    restless = (bool(switch["preempt"]) and not falls) or timed or asks
    renews = bool(switch["preempt"]) and "estimate" in order.sees and len(requests.refreshed) > 0
    setting = (
        *(
            block,
            most,
            budget or _NO_LIMIT,
            spare,
            mixed,
            drain,
            PREEMPT.index(switch["preempt"]),
            paged,
            restless,
            timed,
            falls,
        ),
        *(renews, asks, "peak_tokens" in order.sees, MEMORY.index(switch["memory"])),
        *(shares, node_blocks, shares and "cached" in order.sees, "picks" in order.arguments),
        10 * int(requests.input_tokens.sum() + requests.output_tokens.sum()),
    )
    job, real = _rows(requests, reserved)
    values = tuple(float(value) for value in order.parameters.values())
    count, clock = _kernel()(
        ranking.rank_of(order),
        ranking.admit_of(order),
        job,
        real,
        _constants(hardware, swap_ms, values),
        np.ascontiguousarray(requests.refreshed_start, dtype=np.int64),
        np.ascontiguousarray(requests.refreshed, dtype=np.float64),
        *tree,
        int(requests.refresh_every) if len(requests.refreshed) else 0,
        tuple(int(value) for value in setting),
        total,
    )
    _check_end(count, clock, order, requests, job, total)
    makespan_ms = clock[0] - real[0, 0]
    return Served(
        first_token_s=real[:, 5] / 1000.0,
        finish_s=real[:, 6] / 1000.0,
        preemptions_of=job[:, 7].copy(),
        **{name: int(count[place]) for name, place in _COUNTS.items()},
        mean_kv_tokens=float(clock[3] / makespan_ms),
        mean_batch=float(clock[4] / count[13]),
        makespan_s=float(makespan_ms / 1000.0),
        busy_s=float(clock[2] / 1000.0),
        output_tokens=int(requests.output_tokens.sum()),
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


def _check_seen(policy: Policy, requests: Requests) -> None:
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


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value >= least:
        raise InputError(f"{name} is {value}: it must be a whole number of at least {least}.")
    if value != math.floor(value):
        raise InputError(f"{name} is {value}: it must be a whole number of at least {least}.")
    return int(value)


def _fit(requests, rule, paged, capacity, block, total, spare) -> np.ndarray:
    """Blocks that each request reserves, (n,), 0 with pages. Raises InputError for one that can never fit."""
    tokens = requests.input_tokens + requests.output_tokens
    if capacity:
        needed = -(-tokens // block)
        i = int(np.argmax(needed))
        if needed[i] + spare > total:
            kept = f", of which the watermark keeps {spare} free" if spare else ""
            raise InputError(
                f"request {i} can never fit: its {requests.input_tokens[i]} input and {requests.output_tokens[i]} "
                f"output tokens take {needed[i]} blocks of {block} tokens, and the KV cache of {capacity} tokens has "
                f"{total}{kept}: raise kv_tokens or leave the request out."
            )
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


def _rows(requests: Requests, reserved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's tables job (n, 14) and real (n, 10), see state_kernel.py."""
    n = len(requests)
    job, real = np.zeros((n, 14), np.int64), np.full((n, 10), np.nan)
    job[:, 0], job[:, 1], job[:, 6] = requests.input_tokens, requests.output_tokens, reserved
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


@cache
def _kernel() -> Callable:
    from openqueues.models.queues.compiled import kernel

    files = ("timing.py", "state_kernel.py", "prefix_kernel.py", "memory_kernel.py", "engine_kernel.py")
    return kernel([], [_HERE / file for file in files], heap_width=2)


def _check_end(count, clock, policy: Policy, requests: Requests, job: np.ndarray, total: int) -> None:
    """Raise InputError for a policy that broke a rule, RuntimeError where the engine lost tokens or blocks."""
    failed = int(count[11])
    if failed > 0:
        i = failed - 1
        raise InputError(
            f"policy '{policy.name}' gives request {i} (arrival {requests.arrival_s[i]:g} s, "
            f"{requests.input_tokens[i]} input tokens) a rank that is not a number: ranks must be numbers or infinite."
        )
    if failed == -2:
        raise InputError(
            f"policy '{policy.name}' preempts without end ({int(count[14])} times for {len(requests)} requests): "
            "a running request must not rank behind those that it took the place of."
        )
    if failed < 0:
        raise InputError(
            f"policy '{policy.name}' admits none of the {int(count[5])} requests that wait while nothing runs and none "
            "is to come: admit one then."
        )
    whole = count[0] + count[9] == total and not count[[1, 10, 18]].any() and count[12] == len(requests)
    if not (whole and np.array_equal(job[:, 2], requests.output_tokens)):
        raise RuntimeError("the engine lost requests, tokens or blocks: please report this.")
