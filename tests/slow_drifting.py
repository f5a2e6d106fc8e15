"""Slow, obvious twin of the kernel of drifting predictors: plain Python, looks at every job at every step."""

import math


def by_quantum(decide, arrivals, sizes, predictions, wrong, scale, power, quantum):
    """(response times, arrivals at which trust was misplaced): the lowest rank is served for one quantum at a time.

    decide(predicted, size, trust, wrong) -> trust after a job with a prediction has ended. A quantum that is
    infinite serves until the next arrival or end, which is exact when no rank rises.
    """
    n = len(sizes)
    age = [0.0] * n
    left, response = set(), [math.nan] * n
    now, upcoming, trust, misjudged, current = 0.0, 0, 1.0, 0, 0.0

    def rank(job):
        used = trust > 0.5 and not math.isnan(predictions[job])
        return (predictions[job] - age[job] if used else scale * age[job] ** power, arrivals[job])

    while upcoming < n or left:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not left:
            now = arrival
        if now >= arrival:
            left.add(upcoming)
            current = wrong[upcoming]
            misjudged += (trust > 0.5) != (current < 0.5)
            upcoming += 1
            continue
        job = min(left, key=rank)
        step = min(quantum, sizes[job] - age[job], arrival - now)
        ends = step == sizes[job] - age[job]
        age[job] += step
        now = arrival if step == arrival - now else now + step
        if ends:
            response[job] = now - arrivals[job]
            left.remove(job)
            if not math.isnan(predictions[job]):
                trust = decide(predictions[job], sizes[job], trust, current)
    return response, misjudged
