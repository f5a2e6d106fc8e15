"""The best schedule in hindsight for the unit-time server with API calls, and a proven lower bound on its latency.

`optimum` tries the starts of segments in the order of time, each with every way in which its context may have been kept
since the last segment ended; memory that this takes is added for the time that has passed, which no later start
changes. It cuts where a lower bound on what remains reaches the best total: each request by itself from now on; or

the bound of volumes. The volume of what a request has still to make is the tokens that it must hold times slots, and
the average time of this volume lies at least a fixed time before its end: as long as if it never waited. If volumes
could be split at will, the sum of their average times would be least when always the smallest is served. (See
bounds.busy_time_bound, of which this is the case with calls; what contexts hold during calls is not counted.)

tests/slow_unit_time_calls.py finds the same optima by trying everything at every slot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from openqueues.models.llm.unit_time_calls import Calls, check
from openqueues.models.llm.unit_time_calls_kernel import slots_to


@dataclass(frozen=True)
class Best:
    total: int
    """Total latency in slots of the best schedule found."""
    proven: bool
    """Whether no schedule has a smaller total."""


def optimum(requests: Calls, memory: int, *, chunk: int, swap: int = 0, nodes: int = 3_000_000, known: int = 0) -> Best:
    """The least total latency; `proven` unless more than `nodes` starts had to be tried.

    known: total latency of a schedule that is known (0: none); if nothing below it is found, it is the answer.
    Raises InputError as serve_calls does.
    """
    check(requests, memory, chunk, swap)
    n = len(requests)
    volume, offset, tight = _from_each(requests)
    serial = requests.arrival.max() * n + sum(range(1, n + 1)) * int(tight[requests.first[:-1]].max())
    limit = known if known else int(serial - requests.arrival.sum()) + 1
    state = np.array([limit, 0], np.int64)
    moved = 2 * (slots_to(memory, chunk) + (slots_to(memory, swap) if swap else 0))
    load = np.zeros(int(requests.arrival.max()) + limit + int(requests.output.max()) + moved + 2, np.int64)
    free = np.zeros(n, np.int64)
    _branch(
        int(requests.arrival.min()),
        0,
        0,
        requests.arrival,
        requests.first,
        requests.output,
        requests.call,
        requests.context,
        volume,
        offset,
        tight,
        (memory, chunk, swap, nodes),
        requests.first[:-1].copy(),
        requests.arrival.copy(),
        free,
        load,
        state,
    )
    return Best(int(state[0]), bool(state[1] <= nodes))


def volume_of(requests: Calls) -> np.ndarray:
    """(n,) tokens times slots that each request must hold, calls not counted."""
    return _from_each(requests)[0][requests.first[:-1]]


def latency_bound(requests: Calls, memory: int) -> int:
    """A lower bound on the total latency in slots of every schedule: the larger one of those above."""
    volume, offset, tight = (one[requests.first[:-1]] for one in _from_each(requests))
    times = _mean_times(requests.arrival.astype(float), volume, float(memory))
    total = times + float((offset - requests.arrival).sum())
    return max(math.ceil(total - 1e-6 * max(1.0, abs(total))), int(tight.sum()))


def _from_each(requests: Calls) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of this segment of a request and those after it, without waiting: volume, time from its average to the end,
    and slots, calls included."""
    context, output, call = requests.context, requests.output, requests.call
    volume, offset = np.zeros(len(output)), np.zeros(len(output))
    tight = np.zeros(len(output), np.int64)
    last = set((requests.first[1:] - 1).tolist())
    for v in range(len(output) - 1, -1, -1):
        made = np.arange(1, output[v] + 1)
        own = float((context[v] + made).sum())
        middle = float(((made - 0.5) * (context[v] + made)).sum()) / own
        tight[v] = output[v]
        volume[v] = own
        if v not in last:
            tight[v] += call[v] + tight[v + 1]
            volume[v] += volume[v + 1]
        behind = 0.0 if v in last else offset[v + 1] * volume[v + 1]
        offset[v] = ((tight[v] - middle) * own + behind) / volume[v]
    return volume, offset, tight


@njit(cache=True, nogil=True)
def _mean_times(release, volume, memory):
    """Sum over jobs of the average times of their volumes at rate `memory`, always the smallest first."""
    n = len(release)
    left, done = volume.copy(), np.zeros(n, np.bool_)
    total, now, count = 0.0, 0.0, 0
    while count < n:
        chosen, until = -1, math.inf
        for i in range(n):
            if not done[i]:
                if release[i] > now:
                    until = min(until, release[i])
                elif chosen < 0 or volume[i] < volume[chosen]:
                    chosen = i
        if chosen < 0:
            now = until
            continue
        end = min(now + left[chosen] / memory, until)
        total += memory * (end * end - now * now) / 2.0 / volume[chosen]
        left[chosen] -= (end - now) * memory
        if end < until or left[chosen] <= 1e-9 * volume[chosen]:
            done[chosen] = True
            count += 1
        now = end
    return total


@njit(cache=True, nogil=True)
def _earliest(t, tokens, output, memory, load):
    """The first slot from t on at which a segment fits beside `load` if its context need not be restored."""
    x = t + output
    while x > t:
        over = load[x] + tokens + x - t - memory
        if over > 0:
            t = min(x, t + over)  # no earlier start fits at time x
            x = t + output
        else:
            x -= 1
    return t


@njit(cache=True, nogil=True)
def _rest(t, arrival, first, output, context, volume, offset, tight, memory, segment, ready, load):
    """Of the requests with segments that are not placed, if none starts before t: (lower bound on their latency, the
    first slot at which one could start)."""
    n = len(arrival)
    alone, ends, soonest = 0, 0.0, 1 << 62
    order, count = np.empty(n, np.int64), 0
    for i in range(n):
        v = segment[i]
        if v == first[i + 1]:
            continue
        begin = _earliest(max(t, ready[i]), context[v], output[v], memory, load)
        soonest = min(soonest, begin)
        alone += begin + tight[v] - arrival[i]
        ends += offset[v] - arrival[i]
        k = count
        while k > 0 and volume[segment[order[k - 1]]] > volume[v]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
        count += 1
    x, left, times = t + 1, 1.0, 0.0  # left: of the slot (x - 1, x]
    free = float(memory - load[x]) if x < len(load) else float(memory)
    for k in range(count):
        v = segment[order[k]]
        need, weighed = volume[v], 0.0
        while need > free * left:
            weighed += free * left * (x - 0.5 * left)  # the middle of what is left of the slot
            need -= free * left
            x += 1
            left = 1.0
            free = float(memory - load[x]) if x < len(load) else float(memory)
        if need > 0.0:
            share = need / free
            weighed += need * (x - left + 0.5 * share)
            left -= share
        times += weighed / volume[v]
    return max(alone, int(math.ceil(times + ends - 1e-6))), soonest


@njit(cache=True, nogil=True)
def _hold(load, sign, tokens, since, until):
    for x in range(since + 1, until + 1):
        load[x] += sign * tokens


@njit(cache=True, nogil=True)
def _most(load, since, until):
    most = 0
    for x in range(since + 1, until + 1):
        most = max(most, load[x])
    return most


@njit(cache=True, nogil=True)
def _branch(
    t,
    least,
    partial,
    arrival,
    first,
    output,
    call,
    context,
    volume,
    offset,
    tight,
    numbers,
    segment,
    ready,
    ended,
    load,
    state,
):
    """Go on from slot t, in which requests below `least` start nothing more; partial: latency of those all placed.

    segment, ready, ended: next segment of each request, the slot from which it can start, the end of the one before.
    state: best total, starts tried. Returns the number of requests that are all placed.
    """
    memory, chunk, swap, most = numbers
    n, placed = len(arrival), 0
    for i in range(n):
        placed += segment[i] == first[i + 1]
    if placed == n:
        state[0] = min(state[0], partial)
        return placed
    while state[1] <= most:
        rest, soonest = _rest(t, arrival, first, output, context, volume, offset, tight, memory, segment, ready, load)
        if partial + rest >= state[0]:
            break
        if soonest > t:
            t, least = soonest, 0
        for i in range(least, n):
            v = segment[i]
            if v == first[i + 1] or ready[i] > t:
                continue
            tokens, begun = context[v], v > first[i]
            for way in range(3 if begun else 1):  # preserved (or the first segment), discarded, swapped
                restore = kept = 0
                if way == 0:
                    kept = t
                elif way == 1:
                    restore, kept = slots_to(tokens, chunk), ended[i]
                elif swap > 0:
                    restore = slots_to(tokens, swap)
                    kept = ended[i] + restore
                if kept > t or (way == 2 and swap == 0):
                    continue
                if begun and _most(load, ended[i], kept) + tokens > memory:
                    continue
                fits = True
                end = t + restore + output[v]
                for x in range(end, t, -1):
                    if load[x] + tokens + max(x - t - restore, 0) > memory:
                        fits = False
                        break
                if not fits:
                    continue
                state[1] += 1
                was_ready, was_ended = ready[i], ended[i]
                if begun:
                    _hold(load, 1, tokens, was_ended, kept)
                for x in range(t + 1, end + 1):
                    load[x] += tokens + max(x - t - restore, 0)
                segment[i], ended[i], ready[i] = v + 1, end, end + call[v]
                more = end - arrival[i] if v + 1 == first[i + 1] else 0
                _branch(
                    t, i + 1, partial + more, arrival, first, output, call, context, volume, offset, tight, numbers,
                    segment, ready, ended, load, state,
                )  # fmt: skip
                segment[i], ended[i], ready[i] = v, was_ended, was_ready
                for x in range(t + 1, end + 1):
                    load[x] -= tokens + max(x - t - restore, 0)
                if begun:
                    _hold(load, -1, tokens, was_ended, kept)
        t, least = t + 1, 0
    return placed
