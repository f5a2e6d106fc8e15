# ruff: noqa: F821
"""Template of the kernel of two stations in tandem; `tandem.py` says what is modelled.

Two heaps, of rows (rank, joined, job), hold who waits before the prompt station and before the answer station; a
third one, of rows (time, number, job), holds what is on its way. At a prompt server: the job (-1: none), whether it
is blocked, its end and its rank key; at an answer server each request has a finish in the server's virtual time,
which goes on at speed 1/(step0 + step1 n) with n requests, and not at all while the server computes a prompt. A rank
key is the rank in service plus the time (virtual, at an answer server) at which the service began, so that less the
time it is the rank now.
"""

import math

from numba import njit

JOB, NOW_BLOCKED = 0, 1  # of a prompt server, whole numbers
END, KEY = 0, 1  # of a prompt server
VIRTUAL, SINCE, NEXT = 0, 1, 2  # of an answer server
FINISH, SLOT_KEY = 0, 1  # of a request at an answer server


@njit(cache=True, nogil=True)
def add(heap, waiting, rank, joined, job):
    heap[push(heap, waiting, rank, joined), 2] = job


@njit(cache=True, nogil=True)
def bring(server, load, now, step0, step1):
    """Bring an answer server's virtual time up to now."""
    if load > 0:
        server[VIRTUAL] += (now - server[SINCE]) / (step0 + step1 * load)
    server[SINCE] = now


@njit(cache=True, nogil=True)
def foresee(server, slots, load, step0, step1):
    """Set the time of the next completion at an answer server that is up to date."""
    if load == 0:
        server[NEXT] = math.inf
        return
    first = math.inf
    for k in range(load):
        first = min(first, slots[k, FINISH])
    server[NEXT] = server[SINCE] + max(first - server[VIRTUAL], 0.0) * (step0 + step1 * load)


@njit(cache=True, nogil=True)
def serve(arrival, prompt, answer, rank1, rank2, transfer, pooled, batch, places, step0, step1, preempt,
          servers, ends, answers, slots, occupants, loads, heap1, heap2, way, first, moved, finish):  # fmt: skip
    """Serve n requests until all are done; fills first, moved and finish (n,).

    prompt, answer (n,): time and tokens left, used up in place. rank1, rank2 (n,): ranks at the stations, changed by
    preemption. transfer (n,): time on the way. places: most requests at the answer station and on the way to it.
    servers (c1, 2), ends (c1, 2): prompt servers. answers (c2, 3), slots (c2, batch, 2), occupants (c2, batch),
    loads (c2,): answer servers. heap1, heap2, way (n, 3). Pooled: prompt server j is answer server j.
    """
    n, c1, c2 = arrival.size, servers.shape[0], loads.size
    waiting1, waiting2, coming, blocked, taken, sent = 0, 0, 0, 0, 0, 0
    upcoming, done = 0, 0
    now = 0.0
    while done < n:
        # The next event; of those at one time: completion, end of the way, end of a prompt, arrival.
        when, what, where = math.inf, -1, -1
        for g in range(c2):
            if answers[g, NEXT] < when:
                when, what, where = answers[g, NEXT], 0, g
        if coming > 0 and way[0, 0] < when:
            when, what = way[0, 0], 1
        for s in range(c1):
            if servers[s, JOB] >= 0 and servers[s, NOW_BLOCKED] == 0 and ends[s, END] < when:
                when, what, where = ends[s, END], 2, s
        if upcoming < n and arrival[upcoming] < when:
            when, what = arrival[upcoming], 3
        now = when
        if what == 0:
            g = where
            least = 0
            for k in range(1, loads[g]):
                if slots[g, k, FINISH] < slots[g, least, FINISH]:
                    least = k
            bring(answers[g], loads[g], now, step0, step1)
            answers[g, VIRTUAL] = slots[g, least, FINISH]
            finish[occupants[g, least]] = now
            loads[g] -= 1
            occupants[g, least] = occupants[g, loads[g]]
            slots[g, least, FINISH], slots[g, least, SLOT_KEY] = (
                slots[g, loads[g], FINISH],
                slots[g, loads[g], SLOT_KEY],
            )
            done += 1
            taken -= 1
            if loads[g] == 0:
                answers[g, VIRTUAL] = 0.0
            foresee(answers[g], slots[g], loads[g], step0, step1)
        elif what == 1:
            j = int(way[0, 2])
            pop(way, coming)
            coming -= 1
            add(heap2, waiting2, rank2[j], now, j)
            waiting2 += 1
        elif what == 2:
            j = servers[where, JOB]
            first[j] = now
            prompt[j] = 0.0
            if pooled:
                servers[where, JOB] = -1
                moved[j] = now
                taken += 1
                g = where
                answers[g, SINCE] = now
                slots[g, loads[g], FINISH] = answers[g, VIRTUAL] + answer[j]
                slots[g, loads[g], SLOT_KEY] = 0.0
                occupants[g, loads[g]] = j
                loads[g] += 1
                foresee(answers[g], slots[g], loads[g], step0, step1)
            else:
                servers[where, NOW_BLOCKED] = 1
                ends[where, KEY] = rank2[j]
                blocked += 1
        else:
            add(heap1, waiting1, rank1[upcoming], now, upcoming)
            waiting1 += 1
            upcoming += 1

        changed = True
        while changed:
            changed = False
            # Requests that are there go to the answer server with the fewest.
            while waiting2 > 0:
                g = 0
                for other in range(1, c2):
                    if loads[other] < loads[g]:
                        g = other
                if loads[g] == batch:
                    break
                j = int(heap2[0, 2])
                rank = heap2[0, 0]
                pop(heap2, waiting2)
                waiting2 -= 1
                bring(answers[g], loads[g], now, step0, step1)
                slots[g, loads[g], FINISH] = answers[g, VIRTUAL] + answer[j]
                slots[g, loads[g], SLOT_KEY] = rank + answers[g, VIRTUAL]
                occupants[g, loads[g]] = j
                loads[g] += 1
                foresee(answers[g], slots[g], loads[g], step0, step1)
            if preempt and waiting2 > 0:
                worst_g, worst_k, worst = -1, -1, -math.inf
                for g in range(c2):
                    bring(answers[g], loads[g], now, step0, step1)
                    for k in range(loads[g]):
                        if slots[g, k, SLOT_KEY] - answers[g, VIRTUAL] > worst:
                            worst_g, worst_k, worst = g, k, slots[g, k, SLOT_KEY] - answers[g, VIRTUAL]
                if heap2[0, 0] < worst:
                    g, k = worst_g, worst_k
                    j, out = int(heap2[0, 2]), occupants[g, k]
                    rank = heap2[0, 0]
                    pop(heap2, waiting2)
                    answer[out] = slots[g, k, FINISH] - answers[g, VIRTUAL]
                    add(heap2, waiting2 - 1, worst, arrival[out], out)
                    slots[g, k, FINISH] = answers[g, VIRTUAL] + answer[j]
                    slots[g, k, SLOT_KEY] = rank + answers[g, VIRTUAL]
                    occupants[g, k] = j
                    changed = True
                for g in range(c2):
                    foresee(answers[g], slots[g], loads[g], step0, step1)
            # Blocked requests leave their prompt server when a place is free.
            while blocked > 0 and taken < places:
                best = -1
                for s in range(c1):
                    if servers[s, NOW_BLOCKED] == 1 and (
                        best < 0
                        or ends[s, KEY] < ends[best, KEY]
                        or (ends[s, KEY] == ends[best, KEY] and ends[s, END] < ends[best, END])
                    ):
                        best = s
                j = servers[best, JOB]
                servers[best, JOB], servers[best, NOW_BLOCKED] = -1, 0
                blocked -= 1
                taken += 1
                moved[j] = now
                changed = True
                if transfer[j] > 0:
                    add(way, coming, now + transfer[j], sent, j)
                    coming += 1
                    sent += 1
                else:
                    add(heap2, waiting2, rank2[j], now, j)
                    waiting2 += 1
            # Prompts start at idle servers.
            while waiting1 > 0:
                best = -1
                for s in range(c1):
                    if servers[s, JOB] < 0 and (not pooled or loads[s] < batch):
                        if best < 0 or (pooled and loads[s] < loads[best]):
                            best = s
                if best < 0:
                    break
                j = int(heap1[0, 2])
                servers[best, JOB] = j
                ends[best, END] = now + prompt[j]
                ends[best, KEY] = heap1[0, 0] + now
                pop(heap1, waiting1)
                waiting1 -= 1
                changed = True
                if pooled:
                    bring(answers[best], loads[best], now, step0, step1)
                    answers[best, NEXT] = math.inf
            if preempt and not pooled and waiting1 > 0:
                worst_s, worst = -1, -math.inf
                for s in range(c1):
                    if servers[s, JOB] >= 0 and servers[s, NOW_BLOCKED] == 0 and ends[s, KEY] - now > worst:
                        worst_s, worst = s, ends[s, KEY] - now
                if heap1[0, 0] < worst:
                    j, out = int(heap1[0, 2]), servers[worst_s, JOB]
                    rank = heap1[0, 0]
                    pop(heap1, waiting1)
                    prompt[out] = ends[worst_s, END] - now
                    add(heap1, waiting1 - 1, worst, arrival[out], out)
                    servers[worst_s, JOB] = j
                    ends[worst_s, END] = now + prompt[j]
                    ends[worst_s, KEY] = rank + now
                    changed = True
    return done
