"""Policies that plan each iteration from the whole state: for what a rank of each request cannot express.

A file with SHAPE = "rounds" has SEES, INFORMATION and PARAMETERS as every policy, and

    decide(view, plan, ...)   fills plan, one whole number for each of the m requests present, in order of arrival;
                              further arguments are its parameters. It is asked before each iteration:

        0          not in this iteration; what the request holds in memory stays there
        k > 0      compute k of its tokens: up to `todo` of its prompt, 1 where it decodes; where its KV is on the host,
                   that is moved back first
        EVICT -1       drop its KV, which will be computed again
        SWAP_OUT -2    move its KV to the host
        SWAP_IN -3     move it back without computing (a request with k > 0 does so by itself)

    It returns the time (s) at which it wants to be asked again if it planned no tokens, infinity for "when a request
    arrives"; after having moved or dropped KV with no arrival to come, it is asked at once.

`view` has the columns of SEES, float arrays of length m; those that it does not name are not there:

    held, host       tokens whose KV is in memory, on the host (never both)
    todo             tokens to compute until it makes its next one: input + generated - held - host
    decoding         1 if that is the last token made alone, after a prefill, and not a prompt's last chunk
    generated, left, estimate, preempted, arrival, input_tokens, output_tokens, predicted, score, kind, deadline, price
                     as for ranks (policies/__init__.py)
    last_token       s, when it made its last token; its arrival before the first
    predicted_low, predicted_high   the ends of a predicted interval of the output tokens
    request          its number
    draw             a uniform random number of its own
    note0 to note3   the policy's own, 0 at first, which it may write
    finished         (up to 1000,) in place of a column: output tokens of the requests that ended lately, in any order

the state, numbers:

    now (s), iteration (how many were before), budget (most tokens of an iteration, infinite without one), max_batch
    (most requests in one), free_tokens, kv_tokens (in free blocks, in all blocks), block_tokens, spare_tokens (the
    watermark, for policies that heed it), last_step_ms, mean_step_ms (0 before the first), completed (requests)

and memory (1024,), floats of the policy that are kept, 0 at first; law, the coefficients of the hardware, for the
functions of openqueues.models.llm.planning, which a policy may import:

    step_ms(view.law, prompt_tokens, squares, decoding, attended)   the time of an iteration as in hardware.py

Conventions are those of engine.py: a prefill ends with a token; a decoding request attends to input + generated tokens
and holds as many after the step; blocks of a step are taken before it. Requests take the blocks of what they hold,
not of what they will. Evictions and moves to the host count as preemptions. A move that the iteration waits for (to
the memory for a request that it computes; to the host where the iteration needs the room) is added to its time;
others go on beside it, so that the iteration takes at least as long as all moves.

A plan that cannot be carried out ends with InputError: nothing is bent to fit.
"""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.llm import plans, policies
from openqueues.models.llm.engine import Served
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy
from openqueues.models.streams import derive_seed

_HERE = Path(__file__).parent
_RULES = {
    1: "raises an error in decide, such as an index beyond the {present} requests present",
    2: "returns a time from decide that is not a number: return the time (s) to be asked again, or infinity",
    3: "plans {said} for request {i}: an entry is a number of tokens, EVICT (-1), SWAP_OUT (-2) or SWAP_IN (-3)",
    4: "evicts request {i}, which holds nothing in memory or on the host",
    5: "swaps out request {i}, which holds nothing in memory",
    6: "swaps in request {i}, which has nothing on the host",
    7: "swaps out request {i}, but hardware '{hardware}' has no kv_bytes_per_token or no swap_bytes_per_s: give them",
    8: "plans {said} tokens of request {i}, which lacks {allowed} until it makes its next one",
    9: "plans {said} requests in an iteration, of which {i} is one too many: max_batch is {allowed}",
    10: "plans {said} tokens in an iteration, of which those of request {i} are too many: the budget is {allowed}",
    11: "needs {said} blocks of memory for its plan, and those of request {i} are not there: there are {allowed}",
    12: "plans nothing for the {said} requests present, none is to come and it names no time to be asked again",
    13: "plans nothing for the {said} requests present and asks to be asked again at once: name a later time",
    14: "only asks for time, {said} times in a row",
    15: "preempts without end ({said} times)",
}


def serve(
    requests: Requests,
    hardware: Hardware,
    policy: Policy,
    *,
    kv_tokens: int | None,
    max_batch: int | None,
    token_budget: int | None,
    block_tokens: int,
    watermark: float,
    seed: int,
) -> Served:
    """As engine.serve, which calls it, for a policy that plans its iterations; seed: of the column draw."""
    _check_columns(policy, requests)
    block = plans.whole("block_tokens", block_tokens, 1)
    most = plans.whole("max_batch", hardware.max_batch or plans.DEFAULT_BATCH if max_batch is None else max_batch, 1)
    budget = plans.NO_LIMIT if token_budget is None else plans.whole("token_budget", token_budget, 1)
    capacity = plans.whole("kv_tokens", hardware.kv_tokens if kv_tokens is None else kv_tokens, 0)
    if not 0 <= watermark < 1:
        raise InputError(f"watermark is {watermark:g}: it must be a share of the blocks, from 0 to below 1.")
    total = capacity // block if capacity else plans.NO_LIMIT // block
    spare = int(watermark * total) if capacity else 0
    plans.check_blocks(requests, block, spare, total, capacity)
    work = int(requests.input_tokens.sum() + requests.output_tokens.sum())
    swap_ms = -1.0
    if hardware.kv_bytes_per_token > 0 and hardware.swap_bytes_per_s > 0:
        swap_ms = 1000.0 * hardware.kv_bytes_per_token / hardware.swap_bytes_per_s
    line, table_tokens, table_ms = hardware.coefficients()
    # timing.py reads the table where the engine of ranks has it, behind numbers of its own.
    constants = np.concatenate([line, np.zeros(5), [len(table_tokens)], table_tokens, table_ms]).astype(np.float64)
    job, real = _rows(requests, seed)
    count, clock = _kernel()(
        decide_of(policy),
        job,
        real,
        np.array([policies.ROUND_COLUMNS.index(one) for one in policy.sees if one != "finished"], np.int64),
        constants,
        np.array([float(value) for value in policy.parameters.values()]),
        np.ascontiguousarray(requests.refreshed_start, dtype=np.int64),
        np.ascontiguousarray(requests.refreshed, dtype=np.float64),
        int(requests.refresh_every) if len(requests.refreshed) else 0,
        (block, total, most, budget, 10 * work),
        swap_ms,
        float(spare * block),
    )
    if count[5]:
        said = {"present": count[3], "i": count[6], "said": count[7], "allowed": count[8], "hardware": hardware.name}
        time = f"at {clock[0] / 1000.0:g} s, iteration {count[9]}"
        raise InputError(f"policy '{policy.name}' {_RULES[int(count[5])].format(**said)} ({time}).")
    if count[[0, 1, 3]].any() or not np.array_equal(job[:, 2], requests.output_tokens) or job[:, 3:5].any():
        raise RuntimeError("the engine lost requests, tokens or blocks: please report this.")
    makespan_ms = clock[0] - real[0, 0]
    return Served(
        first_token_s=real[:, 9] / 1000.0,
        finish_s=real[:, 10] / 1000.0,
        preemptions_of=job[:, 6].copy(),
        iterations=int(count[9]),
        preemptions=int(count[10]),
        recomputed_tokens=int(count[11]),
        swapped_tokens=int(count[12]),
        peak_kv_tokens=int(count[13]),
        reused_tokens=0,
        mean_kv_tokens=float(clock[2] / makespan_ms) if makespan_ms > 0 else np.nan,
        mean_batch=float(clock[3] / count[9]),
        makespan_s=float(makespan_ms / 1000.0),
        busy_s=float(clock[1] / 1000.0),
        output_tokens=int(requests.output_tokens.sum()),
    )


def draws(n: int, seed: int) -> np.ndarray:
    """The column draw of n requests: uniform numbers that depend on the seed and the request's number alone."""
    return np.random.Generator(np.random.PCG64(derive_seed("draw of a request", seed))).random(n)


def decide_of(policy: Policy):
    """The policy's decide behind a signature that is the same for all. Raises InputError if numba cannot compile it."""
    helpers = tuple(name for name in policies.functions(policy.source) if name != "decide")
    arguments = policies.arguments_of(policy, "decide")[2:]
    return _compiled(policy.source, policy.name, helpers, policy.sees, tuple(policy.parameters), arguments)


@lru_cache(maxsize=256)
def _compiled(source, name, helpers, sees, parameters, arguments):
    from openqueues.models.queues.compiled import load

    # Numba's cache does not see a change of what a policy imports.
    imported = b"".join((_HERE / file).read_bytes() for file in ("planning.py", "timing.py"))
    columns = [one for one in sees if one != "finished"]
    fields = [*sees, *policies.ROUND_STATE, "memory", "law"]
    values = ["_finished" if one == "finished" else f"_table[{columns.index(one)}, :m]" for one in sees]
    values += [f"_state[{place}]" for place in range(len(policies.ROUND_STATE))]
    values += ["_carray(memory, (1024,))", "_carray(law, (points,))"]
    given = [f"_theta[{parameters.index(one)}]" for one in arguments]
    lines = [
        f"# {blake2b(imported, digest_size=12).hexdigest()}",
        source,
        "from collections import namedtuple as _namedtuple",
        "from numba import carray as _carray, cfunc as _cfunc, njit as _njit, types as _types",
        f"_View = _namedtuple('_View', {' '.join(fields)!r})",
        *(f"{one} = _njit({one}, error_model='numpy', boundscheck=True)" for one in helpers),
        "_decide = _njit(decide, error_model='numpy', boundscheck=True)",
        "_floats, _ints = _types.CPointer(_types.float64), _types.CPointer(_types.int64)",
        "@_cfunc(_types.float64(_floats, _floats, _ints, *[_floats] * 4, *[_types.int64] * 4), cache=True)",
        "def serve(table, state, plan, memory, finished, law, theta, m, n, ended, points):",
        f"    _table, _state = _carray(table, ({max(len(columns), 1)}, n)), _carray(state, (12,))",
        f"    _theta, _finished = _carray(theta, ({max(len(parameters), 1)},)), _carray(finished, (ended,))",
        f"    _view = _View({', '.join(values)})",
        f"    _wish = float(_decide({', '.join(['_view', '_carray(plan, (m,))', *given])}))",
        "    _state[11] = 1.0",
        "    return _wish",
    ]
    return load("\n".join(lines) + "\n", name, "decide")


@cache
def _kernel():
    from openqueues.models.queues.compiled import kernel

    files = ("timing.py", "rounds_view_kernel.py", "rounds_kernel.py")
    return kernel([], [_HERE / file for file in files])


def _check_columns(policy: Policy, requests: Requests) -> None:
    """Raise InputError for a policy that sees what the requests lack, or has a parameter that is not a number."""
    if {"predicted", "score", "estimate"} & set(policy.sees) or requests.rank_only:
        plans.check_seen(policy, requests)
    if {"predicted_low", "predicted_high"} & set(policy.sees) and requests.predicted_low_tokens is None:
        raise InputError(
            f"policy '{policy.name}' looks at predicted intervals, but the requests have none: "
            "give predicted_low_tokens and predicted_high_tokens."
        )
    for key, value in policy.parameters.items():
        if not isinstance(value, int | float):
            raise InputError(f"policy '{policy.name}': {key} is '{value}', but it must be a number.")


def _rows(requests: Requests, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's tables job (n, 7) and real (n, 11), see rounds_view_kernel.py."""
    n = len(requests)
    job, real = np.zeros((n, 7), np.int64), np.full((n, 11), np.nan)
    job[:, 0], job[:, 1] = requests.input_tokens, requests.output_tokens
    real[:, 0] = requests.arrival_s * 1000.0
    for place, name in ((1, "predicted_output_tokens"), (2, "predicted_low_tokens"), (3, "predicted_high_tokens")):
        if getattr(requests, name) is not None:
            real[:, place] = getattr(requests, name)
    real[:, 4], real[:, 5], real[:, 6] = requests.kind, requests.deadline_s, requests.price
    real[:, 7] = draws(n, seed)
    return job, real
