"""A slow, obvious twin of the network kernel: at every event it looks at everything from the definitions."""

import math


def serve(arrival, first, station, size, predicted, links, servers, decide, columns, preempt):
    """(finish of each stage, work in the network at each arrival, preemptions); links: pairs (before, after)."""
    stages = len(size)
    job = [i for i in range(len(arrival)) for _ in range(first[i], first[i + 1])]
    before = {v: [a for a, b in links if b == v] for v in range(stages)}
    later = {v: [b for a, b in links if a == v] for v in range(stages)}
    finish, ready, age = [None] * stages, [None] * stages, [0.0] * stages
    kept, running, work, preemptions, now, coming = {}, [], [None] * len(arrival), 0, 0.0, 0

    def longest(v, sizes):
        return sizes[v] + max((longest(w, sizes) for w in later[v]), default=0.0)

    def rank(v):
        i = job[v]
        mine = range(first[i], first[i + 1])
        open_ = [w for w in mine if finish[w] is None]
        true = {w: max(size[w] - age[w], 0.0) for w in open_}
        told = {w: max(predicted[w] - age[w], 0.0) for w in open_}
        free = [w for w in open_ if all(finish[u] is not None for u in before[w])]
        values = {
            "arrival": arrival[i],
            "ready": ready[v],
            "stage": float(v - first[i]),
            "station": float(station[v]),
            "size": true[v],
            "predicted": told[v],
            "work": sum(true.values()),
            "remaining_work": sum(told.values()),
            "path": longest(v, true),
            "remaining_path": longest(v, told),
            "job_path": max(longest(w, told) for w in free),
            "attained": sum(age[w] for w in mine),
            "age": age[v],
            "stages_left": float(len(open_)),
        }
        return decide(*(values[name] for name in columns))

    def place(v):
        return kept[v], ready[v], v

    while any(end is None for end in finish):
        ends = {v: now + size[v] - age[v] for v in running}
        soonest = min(running, key=lambda v: (ends[v], v)) if running else None
        arrives = arrival[coming] if coming < len(arrival) else math.inf
        moment = min(arrives, ends[soonest] if running else math.inf)
        for v in running:
            age[v] += moment - now
        ending = bool(running) and ends[soonest] <= arrives
        now = moment
        touched, joining = set(), []
        if ending:
            finish[soonest], age[soonest] = now, size[soonest]
            running.remove(soonest)
            touched.add(station[soonest])
            joining = [w for w in later[soonest] if all(finish[u] is not None for u in before[w])]
        else:
            present = [v for v in range(first[coming]) if finish[v] is None]
            work[coming] = sum(size[v] - age[v] for v in present)
            joining = [v for v in range(first[coming], first[coming + 1]) if not before[v]]
            coming += 1
        for v in joining:
            ready[v] = now
        for v in joining:
            kept[v] = rank(v)
            touched.add(station[v])
        for at in sorted(touched):
            while True:
                waiting = [v for v in kept if station[v] == at]
                here = [v for v in running if station[v] == at]
                if not waiting:
                    break
                best = min(waiting, key=place)
                if len(here) < servers[at]:
                    del kept[best]
                    running.append(best)
                    continue
                now_rank = {v: rank(v) for v in here}
                worst = max(here, key=lambda v: (now_rank[v], ready[v], v))
                if not preempt or kept[best] >= now_rank[worst]:
                    break
                preemptions += 1
                running.remove(worst)
                del kept[best]
                running.append(best)
                kept[worst] = now_rank[worst]
    return finish, work, preemptions
