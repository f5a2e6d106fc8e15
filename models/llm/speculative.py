"""Speculative decoding in a continuous batch: a draft model proposes tokens, the target model verifies them at once.

Requests are admitted first come first served, in steps of whole prompts that go before all else (the mechanism vllm of
the engine, without a limit of memory); such a step makes the first token. Then, in cycles, the draft model makes up to
g tokens for each request, one step a token, and one step of the target verifies them: it keeps the right ones up to the
first wrong one and adds a token of its own. A draft of a token is right with the request's acceptance probability
alpha, independently; so a request gains (1 - alpha^(g+1)) / (1 - alpha) tokens a cycle on average. Whether the draft at
a place of an answer is right does not depend on the policy, but on alpha and a number that belongs to the place.

    verify   the hardware's law of a decoding step of the B requests, in which what is paid by the token (tiles, table,
             compute_step_ms + compute_token_ms tokens) is paid for all tokens verified, B plus the drafted ones; the
             KV cache is read once. A law must have such a part, or drafts would cost the target nothing.
    draft    a law of its own, or the target's times a ratio below 1; a step for n requests attends to their tokens

`own` 0: the draft model runs on the target's server, in turns with it. 1, 2, ...: on a server of its own, where it
drafts for at most one part in so many of the running requests at a time (rounded up), those first that have waited
longest; the target verifies whatever is ready as soon as it is free: a tandem of two servers in a loop. With 1 only
requests that come in between are out of step; with 2 one half is drafted for while the other is verified. The draft
model's prompts are free.

A policy is a file of SHAPE "decision": decide(...) scores a candidate, a draft model and a number of tokens to draft,
for the requests of a cycle, and the highest score wins (the first of equal ones, fewer tokens of an earlier model
first). Its columns are COLUMNS; of its parameters two are the engine's: `least`, so that a request drafts no token that
is reached and right with a probability below it, by the estimate that `cut` names (predicted, seen, own or true).
With least=price the limit is the rate of tokens times what one more token adds to the time of verifying, at the best
candidate without a limit; the limit is kept if the best score with it is higher.

    g, draft              of the candidate: tokens a request, number of the draft model
    batch, running, waiting   requests of the cycle, of the whole batch, and not yet admitted
    tokens_predicted      tokens that the cycle gains on average, by the predicted acceptance of each request,
    tokens_seen           by the share of drafts that were right so far, over all requests (at first, 0.9),
    tokens_own            by each request's own share so far, with that of all weighing as eight tokens,
    tokens_true           by the true acceptance
    time_ms               time of the cycle: draft and verify, or the longer of both where others are out of step
    plain_ms              time without a draft
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.llm.engine import Served
from openqueues.models.llm.hardware import LAYOUT, Hardware, hardware_law
from openqueues.models.llm.replication import summary
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import Policy

COLUMNS = (
    "g",
    "draft",
    "batch",
    "running",
    "waiting",
    "tokens_predicted",
    "tokens_seen",
    "tokens_own",
    "tokens_true",
    "time_ms",
    "plain_ms",
)
CUTS = ("predicted", "seen", "own", "true")
MOST = 8
"""Most tokens drafted in a cycle."""
BUDGET = 4096
"""Most prompt tokens of a step, but for a single prompt."""
_MOST_PARAMETERS = 4
_HERE = Path(__file__).parent
_INDEPENDENT_OF_TOKENS = (
    "hardware '{}' has no time that grows with the tokens of a step (tile_ms, a table or compute_token_ms), so that "
    "drafts would be verified for nothing: add one, for example '{}:compute_token_ms=0.1'."
)


@dataclass(frozen=True, eq=False)
class Speculated:
    """What came out: arrays of one value a request, and totals."""

    first_token_s: np.ndarray
    finish_s: np.ndarray
    steps: int
    """Of the target model."""
    cycles: int
    """Verifications, summed over the requests."""
    drafted: int
    accepted: int
    verified_tokens: int
    """Output tokens that came out of verifications: all but the first of each request."""
    mean_batch: float
    """Requests verified in a step."""
    makespan_s: float
    target_busy_s: float
    draft_busy_s: float


def expected_tokens(alpha: float, g: int) -> float:
    """Tokens that a request gains on average in a cycle with g drafted tokens: 1 + alpha + ... + alpha^g."""
    return float(g + 1) if alpha == 1 else (1 - alpha ** (g + 1)) / (1 - alpha)


def speedup(alpha: float, g: int, ratio: float) -> float:
    """Of a request alone, when a draft step takes `ratio` of a target step and verifying takes one target step."""
    return expected_tokens(alpha, g) / (ratio * g + 1)


def verify_ms(hardware: Hardware, sequences: int, tokens: float, resident: float) -> float:
    """Time of a step that computes `tokens` tokens of so many sequences, in ms; the readable form, not the fast one."""
    step, each, kv = hardware.decode_step_ms, hardware.decode_seq_ms, hardware.kv_token_ms
    if 0 < hardware.from_batch <= sequences:
        step, each, kv = hardware.decode2_step_ms, hardware.decode2_seq_ms, hardware.kv2_token_ms
    by_token = replace(hardware, decode_step_ms=step, decode_seq_ms=each / tokens * sequences, from_batch=0,
                       decode2_step_ms=0.0, decode2_seq_ms=0.0, kv2_token_ms=0.0, kv_token_ms=kv)  # fmt: skip
    return by_token.step_ms(0, 0, tokens, resident)


def serve(
    requests: Requests,
    hardware: Hardware,
    drafts: tuple[float | str | Hardware, ...],
    alpha: np.ndarray,
    policy: str | Policy,
    *,
    predicted: np.ndarray | None = None,
    own: int = 0,
    max_batch: int = 64,
    most: int = MOST,
    seed: int = 0,
) -> Speculated:
    """Serve the requests with draft models of the laws or ratios `drafts`.

    alpha, predicted: (n, len(drafts)) acceptance probabilities, true and predicted (default: the true ones). Raises
    InputError for a setting that makes no sense and for a policy that breaks its rules.
    """
    n, models = len(requests), len(drafts)
    columns = []
    for name, values in (("alpha", alpha), ("predicted", alpha if predicted is None else predicted)):
        values = np.ascontiguousarray(values, np.float64)
        if values.shape != (n, models):
            raise InputError(f"{name} must have a row per request and a column per draft model, ({n}, {models}).")
        if not np.all((values >= 0) & (values <= 1)):
            raise InputError(f"{name} holds a number outside [0, 1]: acceptance probabilities are wanted.")
        columns.append(values)
    for name, value, low in (("max_batch", max_batch, 1), ("most", most, 0), ("own", own, 0)):
        if isinstance(value, bool) or value != int(value) or value < low:
            raise InputError(f"{name} is {value}: it must be a whole number of at least {low}.")
    if models == 0:
        raise InputError("there is no draft model: give at least one ratio or law.")
    if not (hardware.tile_tokens or hardware.table_tokens or hardware.compute_token_ms):
        raise InputError(_INDEPENDENT_OF_TOKENS.format(hardware.name, hardware.name))
    chosen, decide, theta, least, cut = _policy(policy)
    laws = [_constants(hardware, 1.0), *(_draft(hardware, draft) for draft in drafts)]
    width = max(map(len, laws))
    laws = np.array([np.pad(law, (0, width - len(law))) for law in laws])
    first, finish = np.empty(n), np.empty(n)
    count, clock = np.zeros(7, np.int64), np.zeros(3)
    state, lists = np.zeros((n, 3), np.int64), np.zeros((4, n), np.int64)
    hits, tries = np.zeros((n + 1, models)), np.zeros((n + 1, models))
    arrival = requests.arrival_s * 1000.0
    _kernel()(
        decide, theta, laws[0], laws[1:], int(own), arrival, requests.input_tokens, requests.output_tokens, *columns,
        np.uint64(seed), int(max_batch), float(BUDGET), int(most), least, cut, state, lists, hits, tries, first, finish,
        count, clock,
    )  # fmt: skip
    if count[6]:
        raise InputError(f"policy '{chosen.name}': decide returned what is not a number; it must return one.")
    return Speculated(
        first / 1000.0,
        finish / 1000.0,
        steps=int(count[0]),
        cycles=int(count[1]),
        drafted=int(count[2]),
        accepted=int(count[3]),
        verified_tokens=int(count[4]),
        mean_batch=float(count[5] / max(count[0], 1)),
        makespan_s=float(clock[0] - arrival[0]) / 1000.0,
        target_busy_s=float(clock[1]) / 1000.0,
        draft_busy_s=float(clock[2]) / 1000.0,
    )


def metrics(served: Speculated, requests: Requests) -> dict[str, float]:
    """Of one replication: the latencies, completed_share, throughput and unstable of replication.summary, and

    drafted_tokens: drafted in a cycle of a request; accepted_share of the drafted; gained_tokens a cycle; mean_batch;
    target_share and draft_share, the parts of the makespan in which a model computes.
    """
    n = len(requests)
    plain = Served(
        served.first_token_s, served.finish_s, np.zeros(n, np.int64), served.steps, 0, 0, 0, 0, 0, 0.0,
        served.mean_batch, served.makespan_s, served.target_busy_s, int(requests.output_tokens.sum()),
    )  # fmt: skip
    found = summary(plain, requests)
    kept = ("completed_share", "throughput_per_s", "output_tokens_per_s", "unstable", "mean_batch")
    result = {key: value for key, value in found.items() if key.endswith(("latency_s", "ttft_s")) or key in kept}
    return result | {
        "drafted_tokens": served.drafted / max(served.cycles, 1),
        "accepted_share": served.accepted / served.drafted if served.drafted else 0.0,
        "gained_tokens": served.verified_tokens / max(served.cycles, 1),
        "target_share": served.target_busy_s / served.makespan_s,
        "draft_share": served.draft_busy_s / served.makespan_s,
    }


def _constants(hardware: Hardware, ratio: float) -> np.ndarray:
    """What timing.py takes for a law, its times multiplied by ratio."""
    from openqueues.models.llm.timing import TABLE

    values, tokens, ms = hardware.coefficients()
    times = np.array([name.endswith("_ms") for name in LAYOUT])
    values = np.where(times, ratio * values, values)
    return np.concatenate((values, np.zeros(TABLE - len(values)), [len(tokens)], tokens, ratio * ms))


def _draft(hardware: Hardware, draft: float | str | Hardware) -> np.ndarray:
    if isinstance(draft, int | float):
        if isinstance(draft, bool) or not 0 <= draft < 1:
            raise InputError(
                f"the ratio of a draft model's step to the target's is {draft}: give one from 0 to below 1."
            )
        return _constants(hardware, float(draft))
    return _constants(hardware_law(draft), 1.0)


def _policy(spec: str | Policy):
    """(policy, compiled decide, its four numbers, least, cut) of a policy's file or specification."""
    chosen = policies.policy(spec) if isinstance(spec, str) else spec
    if chosen.shape != "decision":
        raise InputError(f"policy '{chosen.name}' has SHAPE = '{chosen.shape}': here it must be 'decision'.")
    for column in chosen.sees:
        if column not in COLUMNS:
            raise unknown(f"column in SEES of policy '{chosen.name}'", column, COLUMNS)
    values = dict(chosen.parameters)
    least, cut = values.pop("least", 0.0), values.pop("cut", "seen")
    if cut not in CUTS:
        raise unknown(f"cut of policy '{chosen.name}'", str(cut), CUTS)
    if least == "price":
        least = -1.0
    elif isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise InputError(f"policy '{chosen.name}': least is {least}; it must be a probability or price.")
    if len(values) > _MOST_PARAMETERS or not all(isinstance(value, int | float) for value in values.values()):
        raise InputError(f"policy '{chosen.name}': beside least and cut it may have four parameters, all numbers.")
    theta = tuple(float(value) for value in values.values())
    theta += (0.0,) * (_MOST_PARAMETERS - len(theta))
    return (
        chosen,
        _compiled(chosen.source, chosen.name, chosen.arguments, tuple(values)),
        theta,
        float(least),
        CUTS.index(cut),
    )


@lru_cache(maxsize=256)
def _compiled(source, name, arguments, parameters):
    """decide as a function of all COLUMNS and four numbers, which the kernel can be handed."""
    from openqueues.models.queues.compiled import load

    numbers = [f"theta{place}" for place in range(_MOST_PARAMETERS)]
    names = dict(zip(parameters, numbers, strict=False))
    taken = (*COLUMNS, *numbers)
    passed = ", ".join(names.get(one, one) for one in arguments)
    text = "\n".join(
        (
            source,
            "from numba import cfunc as _cfunc, float64 as _float64, njit as _njit",
            "decide = _njit(decide, error_model='numpy')",
            f"@_cfunc(_float64(*[_float64] * {len(taken)}), cache=True, error_model='numpy')",
            f"def serve({', '.join(taken)}):",
            f"    return float(decide({passed}))",
        )
    )
    return load(text + "\n", name, "decide")


@cache
def _kernel():
    from openqueues.models.queues.compiled import kernel

    return kernel([], [_HERE / "timing.py", _HERE / "speculative_kernel.py"])
