"""A slow, obvious twin of the unit-time server: at every slot it looks at everything from the definitions."""

import math


def holds(prompt, start, x):
    return prompt + x - start


def serve(arrival, prompt, output, estimate, rank, memory, rule, skip=False, alpha=0.0, slots=100_000):
    """(start, finish, restarts, peak); lists of one value a request."""
    n = len(arrival)
    room = memory - math.ceil(alpha * memory)
    estimate, rank = list(estimate), list(rank)
    start, finish, restarts, peak = [-1] * n, [-1] * n, [0] * n, 0
    running = []
    for t in range(slots):
        peak = max(peak, sum(holds(prompt[r], start[r], t) for r in running if start[r] < t))
        for r in list(running):
            if t - start[r] == output[r]:
                finish[r] = t
                running.remove(r)
        if min(finish) >= 0:
            return start, finish, restarts, peak
        waiting = [r for r in range(n) if arrival[r] <= t and finish[r] < 0 and r not in running]

        def tokens_next(jobs, t=t):
            return sum(holds(prompt[r], start[r], t + 1) for r in jobs)

        while tokens_next(running) > memory:
            known = {r: max(rank[r], t - start[r]) for r in running}
            if rule == "clear":
                stopped = list(running)
            elif rule == "last":
                stopped = [max(running, key=lambda r: (rank[r], r))]
            else:
                stopped = [min(running, key=lambda r: (known[r], -r))]
            for r in stopped:
                running.remove(r)
                waiting.append(r)
                restarts[r] += 1
                if rule == "evict":
                    estimate[r] = max(estimate[r], t - start[r])
                    rank[r] = known[r]
        for r in sorted(waiting, key=lambda r: (rank[r], r)):
            born = {q: start[q] for q in running} | {r: t}
            ends = {q: max(born[q] + estimate[q], t + 1) for q in born}
            limit = room if running else memory
            if all(
                sum(holds(prompt[q], born[q], x) for q in born if x <= ends[q]) <= limit for x in set(ends.values())
            ):
                start[r] = t
                running.append(r)
            elif not skip:
                break
    return start, finish, restarts, peak
