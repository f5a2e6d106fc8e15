"""The idealised server of the theory: unit slots, free prompts, a KV cache of so many tokens.

A request of prompt s and output o that starts at slot t holds s + k tokens at time t + k for k = 1, ..., o and is
finished at t + o; at its start it holds nothing (the convention of Jaillet et al., arXiv 2502.07115). The tokens of
all requests may never exceed the memory M. Its volume, tokens times slots, is s o + (o^2 + o)/2.

A policy is a file of SHAPE "decision": `decide` ranks a waiting request, the lowest first, from the columns of
COLUMNS. Its parameters say the rest:

    estimate   the column that the server takes for the output: predicted, lower, upper, or "next" for the next
               token alone. A request is admitted if the estimates of all that run and its own keep within the
               memory at every coming slot. (Memory grows between completions, so this is the check at every
               predicted completion.) One that outlives its estimate is taken to end with its next token.
    rule       look-ahead: estimates are never below the output, so nothing is ever stopped.
               evict: when the next slot would not fit, running requests are stopped in increasing order of their
               rank, raised to the tokens they have made; they keep that rank, lose their tokens and wait again.
               Of equal ranks the later number is stopped first.
               last: when the next slot would not fit, running requests are stopped in decreasing order of their
               rank, of equal ranks the later number first, lose their tokens and wait again.
               clear: when the next slot would not fit, all running requests are stopped and wait again.
    skip       whether requests behind the first that cannot be admitted are tried too (default: no)
    alpha      share of the memory that an admission must leave free, unless the server is empty (default 0)

The algorithms of the literature are such files: MC-SF and its first-come-first-served variant (Jaillet et al.),
smallest volume first (Kong, Qi, Ye, Zhou, arXiv 2606.22327), A_max and A_min (Chen, Ye, Zhou, arXiv 2508.14544) and
the alpha-protection greedy rule of the first paper. With rule=last, estimate=next and the order of arrival it is what
vLLM does where memory is all that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown
from openqueues.models.policies import Policy

COLUMNS = ("arrival", "prompt", "predicted", "lower", "upper", "memory")
ESTIMATES = ("predicted", "lower", "upper", "next")
RULES = ("look-ahead", "evict", "clear", "last")
_EVICT, _CLEAR, _LAST = 1, 2, 3
_PATIENCE = 20
"""Slots before the server gives up, in units of all outputs served one by one: the clear rule may go round for ever."""


@dataclass(frozen=True, eq=False)
class Slots:
    """What came out: int64 arrays of one value a request, and totals."""

    start: np.ndarray
    """Slot of the last start."""
    finish: np.ndarray
    """Slot of completion, -1 where the server gave up."""
    restarts: np.ndarray
    peak: int
    """Most tokens held at once."""
    slots: int
    """When the server stopped."""

    @property
    def completed(self) -> np.ndarray:
        return self.finish >= 0


def serve_slots(
    arrival: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    predicted: np.ndarray | None,
    memory: int,
    policy: str | Policy,
    *,
    lower: np.ndarray | None = None,
    upper: np.ndarray | None = None,
) -> Slots:
    """Serve requests of whole-numbered arrival slots (ascending), prompts (at least 0) and outputs (at least 1).

    predicted, lower and upper: estimates of the outputs, a number of at least 1 each; a fraction is rounded up, and
    an estimate is cut at what fits into the memory. policy: a path or what models.policies.policy has read.

    Raises InputError for values that make no sense, a request that can never fit, and a policy that looks at what is
    not given or whose look-ahead is given estimates below the outputs.
    """
    chosen = policies.policy(policy) if isinstance(policy, str) else policy
    setting = _setting(chosen)
    n = len(arrival)
    memory = int(whole("memory", np.atleast_1d(memory), 1)[0])
    arrival, prompt = whole("arrival", arrival, 0), whole("prompt", prompt, 0)
    output = whole("output", output, 1)
    if not n or len(prompt) != n or len(output) != n:
        raise InputError("arrival, prompt and output must be arrays of one length, with at least one request.")
    if np.any(arrival[1:] < arrival[:-1]):
        raise InputError("arrival must ascend: sort the requests by arrival.")
    if np.any(prompt + output > memory):
        i = int(np.argmax(prompt + output > memory))
        tokens = f"its {prompt[i]} prompt and {output[i]} output tokens"
        raise InputError(f"request {i} can never fit: {tokens} exceed the memory of {memory}: raise it.")
    columns = {"arrival": arrival, "prompt": prompt, "memory": np.full(n, memory)}
    for name, values in (("predicted", predicted), ("lower", lower), ("upper", upper)):
        if values is not None:
            columns[name] = _estimates(name, values, n)
    rank = _ranks(chosen, columns, n)
    estimate = np.ones(n, np.int64)
    if setting["estimate"] != "next":
        estimate = np.ceil(_column(chosen, columns, setting["estimate"])).astype(np.int64)
        estimate = np.minimum(estimate, memory - prompt)
    if setting["rule"] == "look-ahead" and np.any(estimate < output):
        i = int(np.argmax(estimate < output))
        raise InputError(
            f"policy '{chosen.name}' looks ahead, but request {i} is estimated at {estimate[i]} of its {output[i]} "
            "tokens: give estimates of at least the outputs or use rule=evict."
        )
    start, finish, restarts = np.full(n, -1), np.full(n, -1), np.zeros(n, np.int64)
    limit = int(arrival[-1]) + _PATIENCE * int(output.sum())
    room = memory - int(np.ceil(setting["alpha"] * memory))
    rule = RULES.index(setting["rule"])
    settings = (memory, room, rule, bool(setting["skip"]), limit)
    peak, slots = _serve(arrival, prompt, output, estimate, rank, settings, start, finish, restarts)
    return Slots(start, finish, restarts, int(peak), int(slots))


def flow_control(arrivals: np.ndarray, prompts: np.ndarray, outputs: np.ndarray, budgets: np.ndarray):
    """Queues and memory under the flow control of Dong and Cao (arXiv 2604.11001, Algorithm 1).

    In each slot up to budgets[k] waiting requests of class k start, whatever the memory. arrivals: int64 (slots,
    classes), the requests that come in each slot; prompts, outputs and budgets: one value a class. Returns the
    waiting requests after each slot's starts, (slots, classes), and the tokens held after each slot, (slots,).
    """
    arrivals = np.asarray(arrivals)
    queues, held = np.zeros(arrivals.shape, np.int64), np.zeros(len(arrivals), np.int64)
    for k, (prompt, output, budget) in enumerate(zip(prompts, outputs, budgets, strict=True)):
        waiting, started = 0, np.zeros(len(arrivals), np.int64)
        for t, new in enumerate(arrivals[:, k]):
            started[t] = min(waiting + new, budget)
            waiting += new - started[t]
            queues[t, k] = waiting
        # One that starts at slot u holds prompt + t + 1 - u tokens after slot t, for u = t - output + 1, ..., t.
        held += np.convolve(started, prompt + np.arange(1, output + 1))[: len(arrivals)]
    return queues, held


def _setting(policy: Policy) -> dict[str, Any]:
    setting = {"rule": "look-ahead", "estimate": "predicted", "skip": False, "alpha": 0.0}
    setting |= {key: policy.parameters[key] for key in setting if key in policy.parameters}
    if policy.shape != "decision":
        raise InputError(f"policy '{policy.name}' has SHAPE = '{policy.shape}': the unit-time server takes 'decision'.")
    for key, known in (("rule", RULES), ("estimate", ESTIMATES)):
        if setting[key] not in known:
            raise unknown(f"{key} of policy '{policy.name}'", str(setting[key]), known)
    if not isinstance(setting["alpha"], int | float) or not 0 <= setting["alpha"] < 1:
        raise InputError(f"policy '{policy.name}': alpha is {setting['alpha']}: it must be from 0 to below 1.")
    if not isinstance(setting["skip"], bool):
        raise InputError(f"policy '{policy.name}': skip is {setting['skip']}: it must be true or false.")
    if setting["rule"] == "look-ahead" and setting["estimate"] == "next":
        raise InputError(f"policy '{policy.name}': look-ahead needs an estimate of the output: name its column.")
    return setting


def whole(name: str, values: Any, least: int) -> np.ndarray:
    """The values as int64; InputError, naming them, where they are not whole numbers of at least `least`."""
    values = np.asarray(values)
    found = values.astype(np.int64) if values.dtype.kind in "iuf" and np.all(np.isfinite(values)) else None
    if found is None or np.any(found != values) or np.any(found < least):
        raise InputError(f"{name} must hold whole numbers of at least {least}.")
    return np.ascontiguousarray(found)


def _estimates(name: str, values: Any, n: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape != (n,) or not np.all(np.isfinite(values)) or np.any(values < 1):
        raise InputError(f"{name} must hold a finite number of at least 1 for each of the {n} requests.")
    return values


def _column(policy: Policy, columns: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in policy.sees:
        raise InputError(f"policy '{policy.name}' looks at {name}, which is not in its SEES: declare it.")
    if name not in COLUMNS:
        raise unknown(f"column in SEES of policy '{policy.name}'", name, COLUMNS)
    if name not in columns:
        raise InputError(f"policy '{policy.name}' looks at {name}, which is not given: give it for each request.")
    return columns[name]


def _ranks(policy: Policy, columns: dict[str, np.ndarray], n: int) -> np.ndarray:
    """decide(...) of every request."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    own = policy.parameters
    given = [[own[a]] * n if a in own else _column(policy, columns, a).tolist() for a in policy.arguments]
    ranks = [scope["decide"](*values) for values in (zip(*given, strict=True) if given else [()] * n)]
    for rank in ranks:
        if isinstance(rank, bool) or not isinstance(rank, int | float | np.number) or np.isnan(rank):
            raise InputError(f"policy '{policy.name}': decide returned {rank!r}; it must return a number.")
    return np.array(ranks, np.float64)


@njit(cache=True, nogil=True)
def _add(load, sign, prompt, start, first, last):
    """Add (sign 1) or take away (-1) a request's tokens at the times first, ..., last."""
    for x in range(first, last + 1):
        load[x % len(load)] += sign * (prompt + x - start)


@njit(cache=True, nogil=True)
def _insert(queue, waiting, rank, r):
    """Put r into the queue, which ascends by (rank, number)."""
    i = waiting
    while i > 0 and (rank[queue[i - 1]] > rank[r] or (rank[queue[i - 1]] == rank[r] and queue[i - 1] > r)):
        queue[i] = queue[i - 1]
        i -= 1
    queue[i] = r


@njit(cache=True, nogil=True)
def _fits(load, prompt, estimate, t, room):
    """Whether a request that starts at t keeps within `room` at every time of its estimated life."""
    for x in range(t + estimate, t, -1):
        if load[x % len(load)] + prompt + x - t > room:
            return False
    return True


@njit(cache=True, nogil=True)
def _serve(arrival, prompt, output, estimate, rank, settings, start, finish, restarts):
    """Fill start, finish and restarts; (peak, last slot). estimate and rank change as requests are stopped.

    load[x % width] holds the tokens at time x by the estimates of what runs, exact for the current and next slot.
    """
    memory, room, rule, skip, limit = settings
    n = len(arrival)
    load = np.zeros(max(estimate.max(), output.max()) + 2, np.int64)
    queue, running = np.empty(n, np.int64), np.empty(n, np.int64)
    end = np.zeros(n, np.int64)  # of what runs, by estimate
    waiting, active, coming, done, peak, t = 0, 0, 0, 0, 0, 0
    while done < n and t <= limit:
        if active == 0 and waiting == 0:
            t = max(t, arrival[coming])
        peak = max(peak, load[t % len(load)])
        kept = 0
        for i in range(active):
            r = running[i]
            if t - start[r] == output[r]:
                finish[r] = t
                _add(load, -1, prompt[r], start[r], t + 1, end[r])
                done += 1
            else:
                if end[r] <= t:
                    end[r] = t + 1
                    _add(load, 1, prompt[r], start[r], t + 1, t + 1)
                running[kept] = r
                kept += 1
        active = kept
        while coming < n and arrival[coming] <= t:
            _insert(queue, waiting, rank, coming)
            waiting += 1
            coming += 1
        while load[(t + 1) % len(load)] > memory:
            worst = active - 1
            if rule == _EVICT:
                low = max(rank[running[worst]], t - start[running[worst]])
                for i in range(active - 1):
                    r = running[i]
                    known = max(rank[r], t - start[r])
                    if known < low or (known == low and r > running[worst]):
                        worst, low = i, known
            if rule == _LAST:
                for i in range(active - 1):
                    r, w = running[i], running[worst]
                    if rank[r] > rank[w] or (rank[r] == rank[w] and r > w):
                        worst = i
            r = running[worst]
            active -= 1
            running[worst] = running[active]
            _add(load, -1, prompt[r], start[r], t + 1, end[r])
            restarts[r] += 1
            if rule == _EVICT:
                estimate[r] = max(estimate[r], t - start[r])
                rank[r] = max(rank[r], t - start[r])
            _insert(queue, waiting, rank, r)
            waiting += 1
            while rule == _CLEAR and active > 0:
                active -= 1
                r = running[active]
                _add(load, -1, prompt[r], start[r], t + 1, end[r])
                restarts[r] += 1
                _insert(queue, waiting, rank, r)
                waiting += 1
        kept = 0
        blocked = False
        for i in range(waiting):
            r = queue[i]
            if not blocked and _fits(load, prompt[r], estimate[r], t, room if active > 0 else memory):
                start[r] = t
                end[r] = t + estimate[r]
                _add(load, 1, prompt[r], t, t + 1, end[r])
                running[active] = r
                active += 1
            else:
                blocked = not skip
                queue[kept] = r
                kept += 1
        waiting = kept
        load[t % len(load)] = 0
        t += 1
    return peak, t - 1
