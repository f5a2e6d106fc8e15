"""Kernel of the unit-time server with API calls (unit_time_calls.py says what happens), slot by slot.

The tokens at coming times are in two parts: `load`, a ring of what has started and of contexts on their way out, known
to the end of each; and the sum of the contexts that are held, which stay until somebody resumes or drops them. What
starts must fit beside both. tests/slow_unit_time_calls.py says the same from the definitions.
"""

import numpy as np
from numba import njit

PRESERVE, DISCARD, SWAP, MIN_WASTE, TTL, LAZY, LAZY_TTL = range(7)
COMING, WAITING, RUNNING, CALLING, DONE = range(5)
FIRST, HELD, DROPPED, SWAPPED = range(4)  # where the context of a request is that does not run
HOLDS, TOKENS_HELD, ACTIVE, DROPS, SWAPS, PEAK, RECOMPUTED = range(7)  # numbers kept in `count`


@njit(cache=True, nogil=True)
def slots_to(tokens, speed):
    """Slots that it takes to recompute or to move so many tokens."""
    return (tokens + speed - 1) // speed


@njit(cache=True, nogil=True)
def restoring(where, context, chunk, swap):
    """Slots before a request makes its next token when it starts."""
    if where == DROPPED:
        return slots_to(context, chunk)
    return slots_to(context, swap) if where == SWAPPED else 0


@njit(cache=True, nogil=True)
def _fits(load, other, context, restore, output, t, memory):
    """Whether a segment that starts at t keeps within the memory beside `load` and `other` held tokens."""
    for x in range(t + restore + output, t, -1):
        if load[x % len(load)] + other + context + max(x - t - restore, 0) > memory:
            return False
    return True


@njit(cache=True, nogil=True)
def _room(load, t, last):
    """Most tokens of `load` at the times t + 1, ..., last."""
    most = 0
    for x in range(t + 1, last + 1):
        most = max(most, load[x % len(load)])
    return most


@njit(cache=True, nogil=True)
def _drop(i, where, context, count):
    where[i] = DROPPED
    count[TOKENS_HELD] -= context[i]
    count[DROPS] += 1


@njit(cache=True, nogil=True)
def _urgency(i, t, began, told, segment, handling):
    """How long a call is thought to last yet (LAZY; once overdue, as long again as it is overdue), or has lasted."""
    elapsed = t - began[i]
    return float(elapsed) if handling == LAZY_TTL else abs(told[segment[i]] - elapsed)


@njit(cache=True, nogil=True)
def _reclaim(k, t, load, queue, waiting, state, where, context, began, told, segment, restore, output, setting, count):
    """Drop contexts that are worth less than the start of queue[k], if that makes room; whether it fits then.

    They are those in calls that last long, the longest first, then those of who waits behind it, the last first.
    """
    memory, chunk, _, handling, factor, _ = setting
    i = queue[k]
    own = context[i] if where[i] == HELD else 0
    freed = 0
    for u in range(len(state)):
        if state[u] == CALLING and where[u] == HELD:
            if _urgency(u, t, began, told, segment, handling) > factor * slots_to(context[u], chunk):
                freed += context[u]
    for j in range(k + 1, waiting):
        if state[queue[j]] == WAITING and where[queue[j]] == HELD:
            freed += context[queue[j]]
    if freed == 0 or not _fits(load, count[TOKENS_HELD] - own - freed, context[i], restore, output, t, memory):
        return False
    while not _fits(load, count[TOKENS_HELD] - own, context[i], restore, output, t, memory):
        chosen, most = -1, 0.0
        for u in range(len(state)):
            if state[u] == CALLING and where[u] == HELD:
                urgency = _urgency(u, t, began, told, segment, handling)
                if urgency > factor * slots_to(context[u], chunk) and (chosen < 0 or urgency > most):
                    chosen, most = u, urgency
        for j in range(k + 1, waiting if chosen < 0 else 0):
            if state[queue[j]] == WAITING and where[queue[j]] == HELD:
                chosen = queue[j]
        _drop(chosen, where, context, count)
    return True


@njit(cache=True, nogil=True)
def _handle(i, v, t, load, where, context, told, setting, count):
    """Say where the context of i goes as its call begins; returns the slot before which it cannot start again."""
    memory, chunk, swap, handling, _, _ = setting
    tokens = context[i]
    if handling == MIN_WASTE:
        wastes = np.array(
            [told[v], float(slots_to(tokens, chunk)), 2.0 * slots_to(tokens, swap) if swap > 0 else np.inf]
        )
        handling = int(np.argmin(wastes))  # of equal ones: preserve, discard, swap
    if handling == SWAP and swap > 0:
        out = slots_to(tokens, swap)
        if _room(load, t, t + out) + count[TOKENS_HELD] + tokens <= memory:
            for x in range(t + 1, t + out + 1):
                load[x % len(load)] += tokens
            where[i] = SWAPPED
            count[SWAPS] += 1
            return t + out
    elif handling != DISCARD and handling != SWAP:
        if _room(load, t, t + len(load) - 1) + count[TOKENS_HELD] + tokens <= memory:
            where[i] = HELD
            count[TOKENS_HELD] += tokens
            count[HOLDS] += 1
            return t
    where[i] = DROPPED
    count[DROPS] += 1
    return t


@njit(cache=True, nogil=True)
def serve(arrival, prompt, first, output, call, told, rank, setting, limit, start, finish, count):
    """Fill start (segments), finish (requests) and count; returns the slot at which the server stopped.

    rank (2, segments): if the context is not held, and if it is. setting: memory, chunk, swap, handling, factor, skip.
    """
    memory, chunk, swap, handling, factor, skip = setting
    n = len(arrival)
    longest = 0
    for i in range(n):
        tokens = prompt[i]
        for v in range(first[i], first[i + 1]):
            moved = max(slots_to(tokens, chunk), slots_to(tokens, swap) if swap > 0 else 0)
            tokens += output[v]
            out = slots_to(tokens, swap) if swap > 0 else 0
            longest = max(longest, moved + output[v], out)
    load = np.zeros(longest + 2, np.int64)
    state, where, segment = np.zeros(n, np.int64), np.zeros(n, np.int64), first[:-1].copy()
    context, began, back, end = prompt.copy(), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    queue = np.empty(n, np.int64)
    start[:] = -1
    finish[:] = -1
    count[:] = 0
    done, coming, t = 0, 0, 0
    while done < n and t <= limit:
        count[PEAK] = max(count[PEAK], load[t % len(load)] + count[TOKENS_HELD])
        calling = waiting = 0
        for i in range(n):
            if state[i] == RUNNING and end[i] == t:
                v = segment[i]
                context[i] += output[v]
                count[ACTIVE] -= 1
                if v + 1 == first[i + 1]:
                    state[i] = DONE
                    finish[i] = t
                    done += 1
                else:
                    state[i], began[i] = CALLING, t
                    back[i] = max(t + call[v], _handle(i, v, t, load, where, context, told, setting, count))
        while coming < n and arrival[coming] <= t:
            state[coming] = WAITING
            coming += 1
        for i in range(n):
            if state[i] == CALLING and back[i] <= t:
                state[i] = WAITING
                segment[i] += 1
            if state[i] == CALLING:
                calling += 1
                if handling == TTL and where[i] == HELD and t - began[i] >= factor * slots_to(context[i], chunk):
                    _drop(i, where, context, count)
            if state[i] == WAITING:
                own = rank[1 if where[i] == HELD else 0, segment[i]]
                k = waiting
                while k > 0:
                    u = queue[k - 1]
                    if rank[1 if where[u] == HELD else 0, segment[u]] <= own:
                        break
                    queue[k] = u
                    k -= 1
                queue[k] = i
                waiting += 1
        started = False
        while True:
            for k in range(waiting):
                i = queue[k]
                if state[i] != WAITING:
                    continue
                v = segment[i]
                restore = restoring(where[i], context[i], chunk, swap)
                own = context[i] if where[i] == HELD else 0
                fits = _fits(load, count[TOKENS_HELD] - own, context[i], restore, output[v], t, memory)
                if not fits and handling >= LAZY:
                    fits = _reclaim(
                        k,
                        t,
                        load,
                        queue,
                        waiting,
                        state,
                        where,
                        context,
                        began,
                        told,
                        segment,
                        restore,
                        output[v],
                        setting,
                        count,
                    )
                if not fits:
                    if skip:
                        continue
                    break
                count[TOKENS_HELD] -= own
                count[RECOMPUTED] += restore if where[i] == DROPPED else 0
                for x in range(t + 1, t + restore + output[v] + 1):
                    load[x % len(load)] += context[i] + max(x - t - restore, 0)
                state[i], start[v], end[i] = RUNNING, t, t + restore + output[v]
                count[ACTIVE] += 1
                started = True
            if started or calling > 0 or count[ACTIVE] > 0:
                break
            last = -1
            for k in range(waiting):
                if where[queue[k]] == HELD:
                    last = queue[k]
            if last < 0:
                break
            _drop(last, where, context, count)  # nothing else could ever start: the last in the order gives way
        load[t % len(load)] = 0
        if waiting == 0 and calling == 0 and count[ACTIVE] == 0 and coming < n:
            t = max(t + 1, arrival[coming])
        else:
            t += 1
    return t
