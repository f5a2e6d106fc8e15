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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import plans, policies, ranking, stages
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy

_HERE = Path(__file__).parent
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
    """Resident tokens, averaged over the makespan; nan if that is 0: all at once, no second token, prompts for free."""
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
    policies that draw random numbers. A policy that plans its iterations itself (rounds.py) takes no switches.

    Raises InputError for a setting that makes no sense, a policy that sees what the requests lack, a request that
    can never fit, and a policy that breaks its rules.
    """
    policy = policies.policy(policy) if isinstance(policy, str) else policy
    if policy.shape == "rounds":
        from openqueues.models.llm import rounds

        limits = {"kv_tokens": kv_tokens, "max_batch": max_batch, "token_budget": token_budget}
        limits |= {"block_tokens": block_tokens, "watermark": watermark}
        return rounds.serve(requests, hardware, policy, seed=seed, **limits)
    plan = plans.planned(
        requests,
        hardware,
        policy,
        kv_tokens=kv_tokens,
        max_batch=max_batch,
        token_budget=token_budget,
        block_tokens=block_tokens,
        watermark=watermark,
    )
    order, total = plan.policy, plan.setting[-1]
    plans.check_fits(requests, plan, hardware.kv_tokens if kv_tokens is None else kv_tokens)
    job, real = plans.rows(requests)
    job[:, 6] = plan.reserved
    count, clock = _kernel()(
        ranking.rank_of(order),
        ranking.admit_of(order),
        job,
        real,
        plan.constants,
        np.ascontiguousarray(requests.refreshed_start, dtype=np.int64),
        np.ascontiguousarray(requests.refreshed, dtype=np.float64),
        *plan.tree,
        int(requests.refresh_every) if len(requests.refreshed) else 0,
        stages.of_requests(requests, order),
        plan.setting[:-1],
        total,
    )
    _check_end(count, clock, order, requests, job, total)
    makespan_ms = clock[0] - real[0, 0]
    return Served(
        first_token_s=real[:, 5] / 1000.0,
        finish_s=real[:, 6] / 1000.0,
        preemptions_of=job[:, 7].copy(),
        **{name: int(count[place]) for name, place in _COUNTS.items()},
        mean_kv_tokens=float(clock[3] / makespan_ms) if makespan_ms > 0 else np.nan,
        mean_batch=float(clock[4] / count[13]),
        makespan_s=float(makespan_ms / 1000.0),
        busy_s=float(clock[2] / 1000.0),
        output_tokens=int(requests.output_tokens.sum()),
    )


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
