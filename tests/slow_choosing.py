"""Slow, obvious twins of the kernels whose policies look at the whole state: plain Python, event by event."""

import math


def bin_of(number):
    """Thirds of an octave from 2**-6 to 2**12."""
    return min(max(math.floor(3 * math.log2(max(number, 1e-9))) + 18, 0), 53)


def expected(done, predicted, age):
    """What completed jobs, pairs (size, prediction), let expect of one of this prediction and age."""
    alike = [s / p for s, p in done if bin_of(p) == bin_of(predicted) and bin_of(s) >= bin_of(age)]
    if len(alike) < 5:
        return predicted if age < predicted else 2 * age
    return max(predicted * sum(alike) / len(alike), age)


def by_choice(decide, arrivals, sizes, predictions, randoms, quantum=math.inf, learns=False):
    """Response times when `decide(job, state)` is least for the job that is served until the next event.

    state: a dict with queue, now, running, work_predicted, overdue, dicts age and random by job, and with
    `learns` expected by job.
    """
    n = len(sizes)
    age, done = {}, []
    response = [math.nan] * n
    now, upcoming, running = 0.0, 0, None
    while upcoming < n or age:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not age:
            now = arrival
        if now >= arrival:
            age[upcoming] = 0.0
            upcoming += 1
            continue
        state = {
            "queue": len(age),
            "now": now,
            "running": running,
            "age": age,
            "work_predicted": sum(max(predictions[j] - age[j], 0.0) for j in age),
            "overdue": sum(age[j] >= predictions[j] for j in age),
            "random": randoms,
            "expected": {j: expected(done, predictions[j], age[j]) for j in age} if learns else {},
        }
        running = min(age, key=lambda j: (decide(j, state), arrivals[j]))
        steps = [sizes[running] - age[running], arrival - now, quantum]
        if age[running] < predictions[running]:
            steps.append(predictions[running] - age[running])
        step = min(steps)
        if learns:
            step = min(step, 2 ** ((bin_of(age[running]) - 17) / 3) * (1 + 1e-9) - age[running])
        now = arrival if step == arrival - now else now + step
        if step == sizes[running] - age[running]:
            response[running] = now - arrivals[running]
            done.append((sizes[running], predictions[running]))
            del age[running]
            running = None
        elif step == predictions[running] - age[running]:
            age[running] = predictions[running]
        else:
            age[running] += step
    return response


def by_weights(weights, arrivals, sizes, predictions):
    """Response times when `weights(state)` gives the weight of each job present, until the next event.

    state: a dict with age and left (of the prediction) by job present, virtual: what is left by job in the
    virtual system (processor sharing of the predictions, emptied when the real one empties), late: the jobs
    present that have left the virtual system, in the order in which they did.
    """
    n = len(sizes)
    age, virtual, late = {}, {}, []
    response = [math.nan] * n
    now, upcoming = 0.0, 0
    while upcoming < n or age:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not age:
            now, virtual = arrival, {}
        if now >= arrival:
            age[upcoming] = 0.0
            virtual[upcoming] = predictions[upcoming]
            upcoming += 1
            continue
        weight = weights(
            {"age": age, "left": {j: predictions[j] - age[j] for j in age}, "virtual": virtual, "late": late}
        )
        total = sum(weight.values())
        rate = {j: weight.get(j, 0.0) / total for j in age}
        step = arrival - now
        if virtual:
            step = min(step, min(virtual.values()) * len(virtual))
        for j in age:
            if rate[j] > 0:
                step = min(step, (sizes[j] - age[j]) / rate[j])
                if predictions[j] - age[j] > 1e-12:
                    step = min(step, (predictions[j] - age[j]) / rate[j])
                for k in age:
                    if rate[k] < rate[j] and age[k] > age[j] + 1e-12:
                        step = min(step, (age[k] - age[j]) / (rate[j] - rate[k]))
        now += step
        for j in virtual:
            virtual[j] -= step / len(virtual)
        for j in list(age):
            age[j] += rate[j] * step
            if sizes[j] - age[j] <= 1e-11:
                response[j] = now - arrivals[j]
                del age[j]
                late = [k for k in late if k != j]
        for j in [j for j in virtual if virtual[j] <= 1e-11]:
            del virtual[j]
            if j in age:
                late.append(j)
    return response
