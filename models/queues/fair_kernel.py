# ruff: noqa: F821
"""Template of the single-server kernel for policies that share the server by weights.

`decide_of` comes from the policy: the weight of a job among those present. Beside the real jobs runs a
virtual system, processor sharing fed with the predictions, in which a job stays until it has been given its
prediction, whether it is still there in reality or not. When the real system empties, the virtual one is
emptied too: with exact predictions it is empty then, and else it would carry errors on without end.
"""

import math

from numba import njit

SIZE, PREDICTED, AGE, END, LATE, WEIGHT = 1, 2, 3, 4, 5, 6  # of a job; ARRIVAL is 1 in the heap, 0 here
BORN = 0
SLOT = 2  # of a row of the heap: [virtual end, arrival, slot]
# END: the virtual time at which the job ends in the virtual system, -1 when it has ended in reality first.


@njit(cache=True, nogil=True)
def weigh(jobs, here, present, now, load, theta):
    """Write the weights; (sum of weights, least age of a late job, next greater age of one).

    The sum is NaN when a weight is not a number or below zero.
    """
    lates, overdues = 0.0, 0.0
    first, earliest, shortest = -1, here[0], -1
    young, older = math.inf, math.inf
    for j in range(present):
        slot = here[j]
        if jobs[slot, END] < jobs[earliest, END]:
            earliest = slot
        if jobs[slot, LATE] > 0.0:
            lates += 1.0
            if jobs[slot, AGE] < young:
                young, older = jobs[slot, AGE], young
            elif young < jobs[slot, AGE] < older:
                older = jobs[slot, AGE]
        elif first < 0 or jobs[slot, END] < jobs[first, END]:
            first = slot
        left = jobs[slot, PREDICTED] - jobs[slot, AGE]
        if left <= 0.0:
            overdues += 1.0
        elif shortest < 0 or left < jobs[shortest, PREDICTED] - jobs[shortest, AGE]:
            shortest = slot
    total = 0.0
    for j in range(present):
        slot = here[j]
        weight = decide_of(
            float(present),
            jobs[slot, SIZE],
            jobs[slot, PREDICTED],
            jobs[slot, BORN],
            jobs[slot, AGE],
            now,
            load,
            jobs[slot, LATE],
            lates,
            1.0 if slot == first else 0.0,
            1.0 if slot == earliest else 0.0,
            1.0 if jobs[slot, LATE] > 0.0 and jobs[slot, AGE] == young else 0.0,
            overdues,
            1.0 if slot == shortest else 0.0,
            theta,
        )
        jobs[slot, WEIGHT] = weight
        total += weight if weight >= 0.0 else math.nan
    return total, young, older


@njit(cache=True, nogil=True)
def serve(theta, load, gaps, sizes, predictions, jobs, here, free, heap, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions: (n,) time to the arrival from the one before, service time, prediction.
    jobs (m, 7), here (m,), free (m,), heap (m, 3): room for n more jobs than are in either system.
    clock: [now, work in the system, area of number, area of work, virtual time]; count: [jobs present, jobs
    in the virtual system, slots ever used, free ones among these]. done (m, 3): rows (response time, size,
    arrival). Returns the number of completions, or -1 when the weights were not numbers or all zero.
    """
    now, work, area_number, area_work, virtual = clock[0], clock[1], clock[2], clock[3], clock[4]
    present, waiting, used, spare = count[0], count[1], count[2], count[3]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        if i < n:
            gap = gaps[i]
            area_work += gap * (work - 0.5 * gap) if gap < work else 0.5 * work * work
            work = max(work - gap, 0.0)
        while present > 0 and now < arrival:
            total, young, older = weigh(jobs, here, present, now, load, theta)
            if not total > 0.0:
                return -1
            # What comes first: 0 the arrival, 1 an end in the virtual system, 2 a real end, 3 a job overdue,
            # 4 the youngest late job reaches the age of the next.
            step, what, which = arrival - now, 0, 0
            if waiting > 0 and (heap[0, RANK] - virtual) * waiting < step:
                step, what = max((heap[0, RANK] - virtual) * waiting, 0.0), 1
            pace_young, pace_older = 0.0, 0.0
            for j in range(present):
                slot = here[j]
                pace = jobs[slot, WEIGHT] / total
                if jobs[slot, LATE] > 0.0 and jobs[slot, AGE] == young:
                    pace_young = max(pace, pace_young)
                elif jobs[slot, LATE] > 0.0 and jobs[slot, AGE] == older:
                    pace_older = pace
                if pace > 0.0:
                    if (jobs[slot, SIZE] - jobs[slot, AGE]) / pace <= step:
                        step, what, which = max(jobs[slot, SIZE] - jobs[slot, AGE], 0.0) / pace, 2, j
                    left = jobs[slot, PREDICTED] - jobs[slot, AGE]
                    if left > 0.0 and left / pace < step:
                        step, what, which = left / pace, 3, j
            if older < math.inf and pace_young > pace_older and older - young < step * (pace_young - pace_older):
                step, what = (older - young) / (pace_young - pace_older), 4
            area_number += present * step if i < n else 0.0
            for j in range(present):
                slot = here[j]
                pace = jobs[slot, WEIGHT] / total
                # To the bit the age of the one it meets, so that both are the youngest from then on.
                if what == 4 and jobs[slot, LATE] > 0.0 and jobs[slot, AGE] == young and pace == pace_young:
                    jobs[slot, AGE] = older + step * pace_older
                else:
                    jobs[slot, AGE] += step * pace
            if waiting > 0:
                virtual += step / waiting
            now = arrival if what == 0 else now + step
            if what == 1:
                slot = int(heap[0, SLOT])
                virtual = heap[0, RANK]
                pop(heap, waiting)
                waiting -= 1
                if jobs[slot, END] < 0.0:
                    free[spare] = slot
                    spare += 1
                else:
                    jobs[slot, LATE] = 1.0
            elif what == 2:
                slot = here[which]
                done[completed, 0] = now - jobs[slot, BORN]
                done[completed, 1] = jobs[slot, SIZE]
                done[completed, 2] = jobs[slot, BORN]
                completed += 1
                present -= 1
                here[which] = here[present]
                if jobs[slot, LATE] > 0.0:
                    free[spare] = slot
                    spare += 1
                jobs[slot, END] = -1.0
                if present == 0:
                    for k in range(waiting):
                        free[spare] = int(heap[k, SLOT])
                        spare += 1
                    waiting, virtual = 0, 0.0
            elif what == 3:
                slot = here[which]
                jobs[slot, AGE] = jobs[slot, PREDICTED]
        if i == n:
            break
        now = arrival
        if present == 0:
            work = 0.0
        if spare > 0:
            spare -= 1
            slot = free[spare]
        else:
            slot = used
            used += 1
        jobs[slot, BORN] = arrival
        jobs[slot, SIZE] = sizes[i]
        jobs[slot, PREDICTED] = predictions[i]
        jobs[slot, AGE] = 0.0
        jobs[slot, END] = virtual + predictions[i]
        jobs[slot, LATE] = 0.0
        here[present] = slot
        present += 1
        heap[push(heap, waiting, jobs[slot, END], arrival), SLOT] = slot
        waiting += 1
        work += sizes[i]
    clock[0], clock[1], clock[2], clock[3], clock[4] = now, work, area_number, area_work, virtual
    count[0], count[1], count[2], count[3] = present, waiting, used, spare
    return completed
