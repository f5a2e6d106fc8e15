"""The slow, obvious twin of the tandem's kernel: plain Python, all that is left counted anew at every event."""

import math


def tandem(arrival, prompt, answer, rank1, rank2, transfer, c1, c2, batch, places, step0, step1, preempt, pooled):
    """(first, moved, finish) of each request; ranks are of what is to be done, and fall with it where preempt."""
    n = len(arrival)
    first, moved, finish = [[math.nan] * n for _ in range(3)]
    prompt, answer = list(prompt), list(answer)
    rank1, rank2 = list(rank1), list(rank2)
    waiting, computing, blocked, way, ready = [], {}, {}, {}, []
    joined = {}
    batches = [[] for _ in range(c1 if pooled else c2)]
    now, upcoming = 0.0, 0

    def speed(g):
        return 0.0 if pooled and g in computing else 1.0 / (step0 + step1 * len(batches[g]))

    def taken():
        return len(way) + len(ready) + sum(len(one) for one in batches)

    while math.nan in finish or any(math.isnan(one) for one in finish):
        steps = [(arrival[upcoming] - now, 3, 0)] if upcoming < n else []
        steps += [(prompt[j], 2, s) for s, j in computing.items()]
        steps += [(end - now, 1, j) for j, end in way.items()]
        for g, members in enumerate(batches):
            if members and speed(g) > 0:
                j = min(members, key=lambda j: answer[j])
                steps.append((answer[j] / speed(g), 0, (g, j)))
        step, what, which = min(steps, key=lambda one: (one[0], one[1]))
        step = max(step, 0.0)
        for g, members in enumerate(batches):
            if members:
                made = step * speed(g)
                for j in members:
                    answer[j] -= made
                    rank2[j] -= made if preempt else 0.0
        for j in computing.values():
            prompt[j] -= step
            rank1[j] -= step if preempt else 0.0
        now = arrival[upcoming] if what == 3 else way[which] if what == 1 else now + step
        if what == 0:
            g, j = which
            batches[g].remove(j)
            finish[j] = now
        elif what == 1:
            del way[which]
            joined[which] = now
            ready.append(which)
        elif what == 2:
            j = computing.pop(which)
            first[j] = now
            if pooled:
                moved[j] = now
                batches[which].append(j)
            else:
                blocked[which] = j
        else:
            waiting.append(upcoming)
            upcoming += 1

        for _ in range(5 * n + 5):
            before = (len(waiting), len(ready), len(blocked), sorted(computing.items()), [sorted(b) for b in batches])
            while ready and min(map(len, batches)) < batch:
                j = min(ready, key=lambda j: (rank2[j], joined[j]))
                ready.remove(j)
                min(batches, key=len).append(j)
            if preempt and ready:
                j = min(ready, key=lambda j: (rank2[j], joined[j]))
                worst = max((i for members in batches for i in members), key=lambda i: rank2[i])
                if rank2[j] < rank2[worst]:
                    ready.remove(j)
                    ready.append(worst)
                    members = next(members for members in batches if worst in members)
                    members.remove(worst)
                    members.append(j)
                    joined[worst] = arrival[worst]
            while blocked and taken() < places:
                s = min(blocked, key=lambda s: (rank2[blocked[s]], first[blocked[s]]))
                j = blocked.pop(s)
                moved[j] = now
                if transfer > 0:
                    way[j] = now + transfer
                else:
                    joined[j] = now
                    ready.append(j)
            idle = [s for s in range(c1) if s not in computing and s not in blocked]
            idle = [s for s in idle if not pooled or len(batches[s]) < batch]
            while waiting and idle:
                s = min(idle, key=lambda s: len(batches[s])) if pooled else idle[0]
                j = min(waiting, key=lambda j: (rank1[j], arrival[j]))
                waiting.remove(j)
                idle.remove(s)
                computing[s] = j
            if preempt and not pooled and waiting and computing:
                s = max(computing, key=lambda s: rank1[computing[s]])
                j = min(waiting, key=lambda j: (rank1[j], arrival[j]))
                if rank1[j] < rank1[computing[s]]:
                    waiting.remove(j)
                    waiting.append(computing[s])
                    computing[s] = j
            if before == (
                len(waiting),
                len(ready),
                len(blocked),
                sorted(computing.items()),
                [sorted(b) for b in batches],
            ):
                break
    return first, moved, finish
