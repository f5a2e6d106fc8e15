"""Event kernel of several language models, each a server that decodes all its requests together.

With n requests at a model each makes a token every factor * (step + seq * n) ms. A model's clock V counts the tokens
that each of its requests has made since the beginning, so that a request with s tokens that comes at V = v is done at
V = v + s whatever comes and goes: the next to finish is the top of a heap. tests/slow_several.py says the same by
walking every request from event to event.
"""

import math

import numpy as np
from numba import njit

ARRIVAL, TOKENS, PREDICTED, TOPIC, DRAW, SEEN = range(6)
QUALITY, RIGHT, FAIR, CORRECT, JUDGED, NORMAL = range(6)
STEP, SEQ, PRICE, ACCURACY = range(4)


@njit(cache=True, nogil=True)
def _push(keys, ids, count, key, i):
    place = count
    while place > 0:
        parent = (place - 1) >> 1
        if keys[parent] < key or (keys[parent] == key and ids[parent] < i):
            break
        keys[place], ids[place] = keys[parent], ids[parent]
        place = parent
    keys[place], ids[place] = key, i


@njit(cache=True, nogil=True)
def _pop(keys, ids, count):
    """Take the top of a heap of `count` away."""
    last = count - 1
    key, i = keys[last], ids[last]
    place = 0
    while 2 * place + 1 < last:
        child = 2 * place + 1
        right = child + 1
        if right < last and (keys[right] < keys[child] or (keys[right] == keys[child] and ids[right] < ids[child])):
            child = right
        if key < keys[child] or (key == keys[child] and i < ids[child]):
            break
        keys[place], ids[place] = keys[child], ids[child]
        place = child
    keys[place], ids[place] = key, i


@njit(cache=True, nogil=True)
def serve(decide, accept, learn, theta, values, law, factors, shift, request, per, memory, finish, model, usd, present):
    """Serve all requests to the end; returns 0, or -1 where a function of the policy did not return a number.

    law (models, 4): step and seq in ms, price in $ per million tokens, accuracy. factors (models,): of the pace from
    the time `shift` on. request (n, 6) and per (n, models, 6): columns above. memory: the policy's own numbers.
    Written: finish (n,) s, model (n,) that gave the answer, usd (n,), present (n,) requests when each arrived.
    """
    n, models = len(request), len(law)
    keys, ids = np.empty((models, n)), np.empty((models, n), np.int64)
    made, last, count = np.zeros(models), np.zeros(models), np.zeros(models, np.int64)
    factor, began, foreseen = np.ones(models), np.empty(n), np.empty(n)
    shown = memory.ctypes
    shifted = not shift < math.inf
    i, done, there = 0, 0, 0
    nan = math.nan
    while done < n:
        coming = request[i, ARRIVAL] if i < n else math.inf
        now, m = math.inf, -1
        for k in range(models):
            if count[k]:
                pace = factor[k] * (law[k, STEP] + law[k, SEQ] * count[k]) / 1000.0
                end = last[k] + (keys[k, 0] - made[k]) * pace
                if end < now:
                    now, m = end, k
        if not shifted and shift <= coming and shift <= now:
            for k in range(models):
                made[k] += (shift - last[k]) * 1000.0 / (law[k, STEP] + law[k, SEQ] * count[k])
                last[k], factor[k] = shift, factors[k]
            shifted = True
            continue
        if now <= coming:
            who = ids[m, 0]
            made[m], last[m] = keys[m, 0], now
            _pop(keys[m], ids[m], count[m])
            count[m] -= 1
            usd[who] += request[who, TOKENS] * law[m, PRICE] / 1e6
        else:
            now, m, who = coming, -1, i
            present[i] = there
            there += 1
            i += 1
        target, best = 0 if m < 0 else m + 1, math.inf
        tokens, truth = request[who, PREDICTED], request[who, TOKENS]
        if m >= 0:
            # An answer is there: is it good enough, or is the next larger model asked as well?
            enough = True
            following_quality, following_s = nan, nan
            if target < models:
                following_quality = per[who, target, QUALITY]
                crowd = count[target] + 1
                following_s = tokens * (law[target, STEP] + law[target, SEQ] * crowd) / 1000.0
                said = accept(
                    m, models, per[who, m, QUALITY], tokens, law[m, PRICE], count[m], foreseen[who], 0.0, law[m, STEP],
                    law[m, SEQ], now, request[who, TOPIC], request[who, DRAW], per[who, m, NORMAL], law[m, ACCURACY],
                    values[0], values[1], values[2], nan, nan, per[who, m, JUDGED], now - request[who, ARRIVAL],
                    now - began[who], nan, following_quality, following_s, law[target, PRICE], nan,
                    nan, theta[0], theta[1], theta[2], theta[3], shown,
                )  # fmt: skip
                if said != said:
                    return -1
                enough = said > 0.5
            if enough:
                finish[who], model[who] = now, m
                done += 1
                there -= 1
                outcome = per[who, m, CORRECT] if request[who, SEEN] > 0.5 else nan
                said = learn(
                    m, models, per[who, m, QUALITY], tokens, law[m, PRICE], count[m], foreseen[who], 0.0, law[m, STEP],
                    law[m, SEQ], now, request[who, TOPIC], request[who, DRAW], per[who, m, NORMAL], law[m, ACCURACY],
                    values[0], values[1], values[2], nan, nan, per[who, m, JUDGED], now - request[who, ARRIVAL],
                    now - began[who], outcome, nan, nan, nan, nan, nan, theta[0], theta[1], theta[2],
                    theta[3], shown,
                )  # fmt: skip
                if said != said:
                    return -1
                continue
        else:
            for k in range(models):
                alone = law[k, STEP] + law[k, SEQ] * (count[k] + 1)
                following_quality, following_s, following_price = nan, nan, nan
                if k + 1 < models:
                    following_quality, following_price = per[who, k + 1, QUALITY], law[k + 1, PRICE]
                    following_s = tokens * (law[k + 1, STEP] + law[k + 1, SEQ] * (count[k + 1] + 1)) / 1000.0
                said = decide(
                    k, models, per[who, k, QUALITY], tokens, law[k, PRICE], count[k], tokens * alone / 1000.0,
                    tokens * law[k, SEQ] * count[k] / 1000.0, law[k, STEP], law[k, SEQ], now, request[who, TOPIC],
                    request[who, DRAW], per[who, k, NORMAL], law[k, ACCURACY], values[0], values[1], values[2],
                    per[who, k, RIGHT], truth * alone * factor[k] / 1000.0, nan, 0.0, nan, nan,
                    following_quality, following_s, following_price, per[who, k, FAIR], factor[k], theta[0], theta[1],
                    theta[2], theta[3], shown,
                )  # fmt: skip
                if said != said:
                    return -1
                if said < best:
                    target, best = k, said
        if count[target]:
            pace = factor[target] * (law[target, STEP] + law[target, SEQ] * count[target]) / 1000.0
            made[target] += (now - last[target]) / pace
        last[target] = now
        foreseen[who] = tokens * (law[target, STEP] + law[target, SEQ] * (count[target] + 1)) / 1000.0
        began[who] = now
        _push(keys[target], ids[target], count[target], made[target] + truth, who)
        count[target] += 1
    return 0
