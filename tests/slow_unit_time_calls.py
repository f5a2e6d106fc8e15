"""Slow, obvious twins of the unit-time server with calls: the server slot by slot, and all schedules of a few."""

import functools
import math


def serve(arrival, prompt, output, call, told, rank, memory, chunk, swap, handling, factor, skip):
    """(start of each segment, finish, how often preserved, discarded, swapped, peak).

    output[i], call[i], told[i]: lists of request i; rank(i, s, held): of its segment s.
    """
    n = len(arrival)
    state, segment, where = ["coming"] * n, [0] * n, ["first"] * n
    context = list(prompt)
    start, finish = [[-1] * len(one) for one in output], [-1] * n
    began, back, end, wait = [0] * n, [0] * n, [0] * n, [0] * n
    leaving = []  # (tokens, first time, last time) of contexts on their way out
    totals = {"preserved": 0, "discarded": 0, "swapped": 0}
    peak, t = 0, 0

    def again(i):
        return math.ceil(context[i] / chunk)

    def started(x):
        tokens = sum(c for c, a, b in leaving if a <= x <= b)
        for i in range(n):
            if state[i] == "running" and start[i][segment[i]] < x <= end[i]:
                tokens += context[i] + max(x - start[i][segment[i]] - wait[i], 0)
        return tokens

    def held(but=()):
        return sum(
            context[i] for i in range(n) if where[i] == "held" and state[i] in ("calling", "waiting") and i not in but
        )

    def restore(i):
        return {"first": 0, "held": 0}.get(
            where[i], again(i) if where[i] == "dropped" else math.ceil(context[i] / max(swap, 1))
        )

    def fits(i, but=()):
        r = restore(i)
        return all(
            started(x) + held((i, *but)) + context[i] + max(x - t - r, 0) <= memory
            for x in range(t + 1, t + r + output[i][segment[i]] + 1)
        )

    def drop(i):
        where[i] = "dropped"
        totals["discarded"] += 1

    def handle(i):
        s, how = segment[i], handling
        if how == "min-waste":
            slots = {"preserve": told[i][s], "discard": again(i)}
            if swap:
                slots["swap"] = 2 * math.ceil(context[i] / swap)
            how = min(slots, key=slots.get)
        back[i] = t + call[i][s]
        horizon = max([end[j] for j in range(n) if state[j] == "running"] + [b for _, _, b in leaving] + [t])
        others = held((i,))
        if how == "swap" and swap:
            out = math.ceil(context[i] / swap)
            if all(started(x) + others + context[i] <= memory for x in range(t + 1, t + out + 1)):
                leaving.append((context[i], t + 1, t + out))
                where[i] = "swapped"
                totals["swapped"] += 1
                back[i] = max(back[i], t + out)
                return
        elif how not in ("discard", "swap"):
            if all(started(x) + others + context[i] <= memory for x in range(t + 1, horizon + 2)):
                where[i] = "held"
                totals["preserved"] += 1
                return
        drop(i)

    while min(finish) < 0:
        peak = max(peak, started(t) + held())
        for i in range(n):
            if state[i] == "running" and end[i] == t:
                context[i] += output[i][segment[i]]
                where[i] = "moving"
                if segment[i] + 1 == len(output[i]):
                    state[i], finish[i] = "done", t
                else:
                    state[i], began[i] = "calling", t
                    handle(i)
        for i in range(n):
            if state[i] == "coming" and arrival[i] <= t:
                state[i] = "waiting"
            if state[i] == "calling" and back[i] <= t:
                state[i] = "waiting"
                segment[i] += 1
            if state[i] == "calling" and handling == "ttl" and where[i] == "held" and t - began[i] >= factor * again(i):
                drop(i)
        order = [i for i in range(n) if state[i] == "waiting"]
        order.sort(key=lambda i: (rank(i, segment[i], where[i] == "held"), i))
        some = False
        while True:
            for i in order:
                if state[i] != "waiting":
                    continue
                if not fits(i) and handling in ("lazy", "lazy-ttl"):
                    by = {}
                    for u in range(n):
                        if state[u] == "calling" and where[u] == "held":
                            elapsed = t - began[u]
                            by[u] = elapsed if handling == "lazy-ttl" else abs(told[u][segment[u]] - elapsed)
                    able = sorted((u for u in by if by[u] > factor * again(u)), key=lambda u: (-by[u], u))
                    behind = [u for u in order[order.index(i) + 1 :] if state[u] == "waiting" and where[u] == "held"]
                    able += behind[::-1]
                    if able and fits(i, able):
                        while not fits(i):
                            drop(able.pop(0))
                if not fits(i):
                    if skip:
                        continue
                    break
                wait[i] = restore(i)
                start[i][segment[i]], end[i] = t, t + wait[i] + output[i][segment[i]]
                state[i] = "running"
                some = True
            idle = not any(one in ("running", "calling") for one in state)
            holding = [i for i in order if where[i] == "held" and state[i] == "waiting"]
            if some or not idle or not holding:
                break
            drop(holding[-1])
        t += 1
    return start, finish, totals["preserved"], totals["discarded"], totals["swapped"], peak


def best(arrival, prompt, output, call, memory, chunk, swap):
    """The least total latency over all schedules, by trying at each slot all sets of starts and of handlings."""
    n = len(arrival)
    made = [[prompt[i] + sum(output[i][:s]) for s in range(len(output[i]) + 1)] for i in range(n)]

    def tokens(i, one):
        """Held at the time `one` slots into a phase."""
        kind, s, x, restore = one
        if kind == "run":
            return made[i][s] + max(x - restore, 0)
        if kind == "hold":
            return made[i][s]
        if kind == "swap":
            return made[i][s] if x <= math.ceil(made[i][s] / swap) else 0
        return 0

    def options(i, one, t):
        """What request i may be doing in the slot after t: (kind, segment, slots into it, restoration)."""
        kind, s, x, restore = one
        if kind == "done":
            return [one]
        if kind == "run" and x < restore + output[i][s]:
            return [(kind, s, x + 1, restore)]
        if kind == "run":  # its segment has just ended
            if s + 1 == len(output[i]):
                return [("done", s, 0, 0)]
            found = []
            for way in ("hold", "gone", *(["swap"] if swap else [])):
                found += options(i, (way, s + 1, 0, 0), t)
            return found
        if kind == "new":
            return [one] + ([("run", 0, 1, 0)] if arrival[i] <= t else [])
        later = [(kind, s, x + 1, 0)]
        out = math.ceil(made[i][s] / swap) if kind == "swap" else 0
        if x >= max(call[i][s - 1], out):
            restore = {"hold": 0, "gone": math.ceil(made[i][s] / chunk), "swap": out}[kind]
            later = [(kind, s, x, 0) if kind != "swap" else one, ("run", s, 1, restore)]
        return later

    @functools.cache
    def least(t, now):
        """Latency still to come of all, from time t on, when each is in this state at time t."""
        if all(
            one[0] == "done" or (one[0] == "run" and one[1] + 1 == len(output[i]) and one[2] == one[3] + output[i][-1])
            for i, one in enumerate(now)
        ):
            return 0
        if t > bound:
            return math.inf
        found = math.inf

        def choose(i, chosen, used):
            nonlocal found
            if used > memory:
                return
            if i == n:
                cost = sum(arrival[j] <= t and not ends(j, now[j]) for j in range(n))
                found = min(found, cost + least(t + 1, tuple(chosen)))
                return
            for one in options(i, now[i], t):
                choose(i + 1, [*chosen, one], used + tokens(i, one))

        choose(0, [], 0)
        return found

    def ends(i, one):
        return one[0] == "done" or (
            one[0] == "run" and one[1] + 1 == len(output[i]) and one[2] == one[3] + output[i][-1]
        )

    bound = max(arrival) + sum(sum(one) for one in output) + sum(sum(one) for one in call) + 2
    return least(0, tuple(("new", 0, 0, 0) for _ in range(n)))
