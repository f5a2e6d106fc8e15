"""Schedules of unit-time requests made with everything known: proven optima of small instances, good ones of large.

The model is that of unit_time.py: choose a start t_i >= a_i for each request, so that at every time x the tokens
s_i + x - t_i of those with t_i < x <= t_i + o_i sum to at most M, and the total latency sum (t_i + o_i - a_i) is
least. Nothing is stopped; stopping a request loses its tokens and so never helps one who knows everything.

`optimum` first places requests one after another at their earliest fitting slots and improves the order at random
(an upper bound: since memory grows over a request's life, a start later than the earliest can help others, so that no
order may give the optimum). It is never worse than starting requests slot by slot, while they fit, in one of the
orders it begins with, which for the order of outputs is MC-SF with exact predictions. Then it branches on the next
start (slot, request) in lexicographic order and cuts where a lower bound on what remains reaches the best total:
every request not started must wait until it fits beside those started, and the bound of bounds.busy_time_bound holds
for the memory that these leave free. When the tree is done, the total is the optimum, proven.

`integer_program` solves the time-indexed program of Jaillet et al. (arXiv 2502.07115) by HiGHS: far slower, and the
independent check.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from openqueues.models.errors import InputError

_MOST_REQUESTS = 2000


@dataclass(frozen=True, eq=False)
class Schedule:
    start: np.ndarray
    """int64, slot of each request's start."""
    total: int
    """Total latency in slots."""
    proven: bool
    """Whether no schedule has a smaller total."""


def optimum(
    arrival: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    memory: int,
    *,
    orders: list[np.ndarray] | None = None,
    moves: int = 2000,
    nodes: int = 1_000_000,
    seed: int = 0,
) -> Schedule:
    """The best schedule found of requests as serve_slots takes them; `proven` when the tree was done.

    orders: orders (permutations) that the search begins with, beside those of output and of volume. moves: random
    changes of the order that are tried. nodes: starts that the tree may try; 0: no tree.
    Raises InputError for a request that can never fit.
    """
    arrival, prompt, output = (np.ascontiguousarray(v, np.int64) for v in (arrival, prompt, output))
    if np.any(prompt + output > memory) or not 0 < len(arrival) <= _MOST_REQUESTS:
        raise InputError(f"give 1 to {_MOST_REQUESTS} requests, each with prompt + output at most the memory {memory}.")
    volume = prompt * output + output * (output + 1) // 2
    first = [np.lexsort((arrival, output)), np.lexsort((arrival, volume)), *(orders or [])]
    begin = np.array(first, dtype=np.int64)
    start, total = np.empty(len(arrival), np.int64), 0
    total = int(_improve(arrival, prompt, output, memory, begin, moves, seed % (1 << 62) + 1, start))
    if not nodes:
        return Schedule(start, total, bool(total == output.sum()))
    by = np.lexsort((arrival, output, volume))  # small volumes first: the order in which the bound serves
    best = start[by]
    total, done = _branch(arrival[by], prompt[by], output[by], volume[by], memory, best, total, nodes)
    start[by] = best
    return Schedule(start, int(total), bool(done))


def integer_program(arrival, prompt, output, memory, total: int, seconds: float = 60.0) -> Schedule:
    """The time-indexed program by HiGHS; `total` is the total latency of a known schedule and bounds the starts.

    x[i, t] = 1 where request i starts at t; a start later than a_i + total - sum of the outputs alone makes the
    latency exceed `total`. proven is False when `seconds` were not enough. Raises InputError without a solution.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    arrival, prompt, output = (np.asarray(v, np.int64) for v in (arrival, prompt, output))
    slack = int(total - output.sum())
    pairs = [(i, int(a) + d) for i, a in enumerate(arrival) for d in range(slack + 1)]
    end = int((arrival + slack + output).max())
    once = coo_array((np.ones(len(pairs)), ([i for i, _ in pairs], range(len(pairs)))), (len(arrival), len(pairs)))
    rows, places, tokens = [], [], []
    for place, (i, t) in enumerate(pairs):
        life = np.arange(1, output[i] + 1)
        rows += (t + life).tolist()
        places += [place] * len(life)
        tokens += (prompt[i] + life).tolist()
    held = coo_array((tokens, (rows, places)), (end + 1, len(pairs)))
    solved = milp(
        np.array([t + output[i] - arrival[i] for i, t in pairs], np.float64),
        constraints=[LinearConstraint(once.tocsr(), 1, 1), LinearConstraint(held.tocsr(), -np.inf, memory)],
        integrality=np.ones(len(pairs)),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    if solved.x is None:
        raise InputError(f"HiGHS found no schedule of total latency {total} or less in {seconds:g} s: allow more.")
    start = arrival.copy()
    for place in np.flatnonzero(solved.x > 0.5):
        start[pairs[place][0]] = pairs[place][1]
    return Schedule(start, int((start + output - arrival).sum()), solved.status == 0)


@njit(cache=True, nogil=True)
def _earliest(prompt, output, memory, load, t):
    """The first slot from t on at which a request fits beside `load`, the tokens held at each time."""
    x = t + output
    while x > t:
        over = load[x] + prompt + x - t - memory
        if over > 0:
            t = min(x, t + over)  # no earlier start fits at time x
            x = t + output
        else:
            x -= 1
    return t


@njit(cache=True, nogil=True)
def _place(arrival, prompt, output, memory, order, load, start):
    """Start the requests of `order`, one after another, at their earliest fitting slots; the total latency."""
    load[:] = 0
    total = 0
    for r in order:
        t = _earliest(prompt[r], output[r], memory, load, arrival[r])
        for x in range(t + 1, t + output[r] + 1):
            load[x] += prompt[r] + x - t
        start[r] = t
        total += t + output[r] - arrival[r]
    return total


@njit(cache=True, nogil=True)
def _by_slots(arrival, prompt, output, memory, order, load, start):
    """In each slot start those that have come in `order`, up to the first that does not fit; the total latency."""
    load[:] = 0
    start[:] = -1
    total, left, t = 0, len(order), arrival.min()
    while left > 0:
        for r in order:
            if start[r] >= 0 or arrival[r] > t:
                continue
            if _earliest(prompt[r], output[r], memory, load, t) > t:
                break
            for x in range(t + 1, t + output[r] + 1):
                load[x] += prompt[r] + x - t
            start[r] = t
            left -= 1
            total += t + output[r] - arrival[r]
        t += 1
    return total


@njit(cache=True, nogil=True)
def _random(state):
    """(next state, number in [0, 1)) of a xorshift generator: one of its own, so that threads do not share it."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state, (state >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _improve(arrival, prompt, output, memory, begin, moves, seed, best_start):
    """Fill best_start with the best schedule found by annealing the order; its total latency."""
    n = len(arrival)
    load = np.zeros(arrival.max() + output.sum() + 2, np.int64)
    start, order, tried = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    best = 1 << 62
    for row in begin:
        for way in range(2):
            if way == 0:
                total = _place(arrival, prompt, output, memory, row, load, start)
            else:
                total = _by_slots(arrival, prompt, output, memory, row, load, start)
            if total < best:
                best = total
                best_start[:] = start
    order[:] = np.argsort(best_start, kind="mergesort")
    current, state = _place(arrival, prompt, output, memory, order, load, start), np.uint64(seed)
    for _ in range(5):
        state, _ = _random(state)
    for move in range(moves if n > 1 else 0):
        state, u = _random(state)
        state, v = _random(state)
        state, w = _random(state)
        i = int(u * n)
        span = 1 + int(v * v * (n - 1))
        j = min(max(i + (span if w < 0.5 else -span), 0), n - 1)
        tried[:] = order
        if i < j:
            tried[i:j] = order[i + 1 : j + 1]
        else:
            tried[j + 1 : i + 1] = order[j:i]
        tried[j] = order[i]
        total = _place(arrival, prompt, output, memory, tried, load, start)
        state, u = _random(state)
        heat = 0.0007 * best * (1.0 - move / moves) ** 2 + 1e-9
        if total <= current or u < np.exp((current - total) / heat):
            current = total
            order[:] = tried
            if total < best:
                best = total
                best_start[:] = start
    return best


@njit(cache=True, nogil=True)
def _rest(arrival, prompt, output, volume, memory, used, load, t):
    """(lower bound on the total latency of those not used when none starts before t, first slot where one fits)."""
    alone, mean_times, ends, first = 0, 0.0, 0.0, 1 << 62
    x = t + 1
    free = float(memory - load[x])
    left = 1.0  # of the slot (x - 1, x]
    for r in range(len(arrival)):
        if used[r]:
            continue
        begin = _earliest(prompt[r], output[r], memory, load, max(arrival[r], t))
        first = min(first, begin)
        alone += begin + output[r] - arrival[r]
        need, v_time = float(volume[r]), 0.0
        while need > free * left:
            # The middle of what is left of the slot, weighed by the tokens served in it.
            v_time += free * left * (x - 0.5 * left)
            need -= free * left
            x += 1
            left = 1.0
            free = float(memory - load[x]) if x < len(load) else float(memory)
        if need > 0:
            share = need / free
            v_time += need * (x - left + 0.5 * share)
            left -= share
        mean_times += v_time / volume[r]
        o, s = float(output[r]), float(prompt[r])
        ends += o - (s * o * o / 2 + o * (o + 1) * (2 * o + 1) / 6 - o * (o + 1) / 4) / volume[r] - arrival[r]
    return max(alone, int(np.ceil(mean_times + ends - 1e-6))), first


@njit(cache=True, nogil=True)
def _branch(arrival, prompt, output, volume, memory, best_start, best, most):
    """(best total, whether the tree was done); best_start is overwritten by a better schedule."""
    n = len(arrival)
    load = np.zeros(arrival.max() + output.sum() + best + 2, np.int64)
    used = np.zeros(n, np.bool_)
    job, slot, partial = np.full(n + 1, -1), np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    # At depth d, job[d] and slot[d] are the last choice tried for the d-th start; -1: none yet at this slot.
    depth, nodes = 0, 0
    slot[0] = arrival.min()
    fresh = True
    while depth >= 0:
        if job[depth] >= 0 and used[job[depth]] and not fresh:
            r, t = job[depth], slot[depth]
            used[r] = False
            for x in range(t + 1, t + output[r] + 1):
                load[x] -= prompt[r] + x - t
        t, r = slot[depth], job[depth]
        if fresh:
            bound, first = _rest(arrival, prompt, output, volume, memory, used, load, t)
            if partial[depth] + bound >= best:
                depth -= 1
                fresh = False
                continue
            if first > t:
                t, r = first, -1
        found = False
        while not found:
            r += 1
            if r == n:
                r = 0
                bound, first = _rest(arrival, prompt, output, volume, memory, used, load, t + 1)
                if partial[depth] + bound >= best:
                    break
                t = first
            if used[r] or arrival[r] > t:
                continue
            # Of requests that are alike, the first starts first.
            if r > 0 and not used[r - 1]:
                q = r - 1
                if arrival[q] == arrival[r] and prompt[q] == prompt[r] and output[q] == output[r]:
                    continue
            found = True
            for x in range(t + output[r], t, -1):
                if load[x] + prompt[r] + x - t > memory:
                    found = False
                    break
        if not found:
            depth -= 1
            fresh = False
            continue
        nodes += 1
        if nodes > most:
            return best, False
        job[depth], slot[depth] = r, t
        used[r] = True
        for x in range(t + 1, t + output[r] + 1):
            load[x] += prompt[r] + x - t
        total = partial[depth] + t + output[r] - arrival[r]
        if depth + 1 == n:
            fresh = False
            if total < best:
                best = total
                for d in range(n):
                    best_start[job[d]] = slot[d]
            continue
        depth += 1
        partial[depth], slot[depth], job[depth] = total, t, r
        fresh = True
    return best, True
