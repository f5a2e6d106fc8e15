# ruff: noqa: F821
"""Template of the kernel of speculative decoding; `speculative.py` says what is modelled, timing.py stands before it.

The draft and the target are two servers with clocks of their own, or one. A request that runs needs a draft, has
one, or is verified; the lists NEED, READY, DRAFT and CHECK hold the numbers of the requests, FIFO.
"""

import math

import numpy as np
from numba import njit

NEED, READY, DRAFT, CHECK = 0, 1, 2, 3  # lists of requests, and the places of their lengths
MADE, DEPTH, MODEL = 0, 1, 2  # of a request: tokens made, drafted in this cycle, by which model
PREDICTED, SEEN, OWN, TRUE = 0, 1, 2, 3  # what is known of an acceptance probability
ITERATIONS, CYCLES, DRAFTED, ACCEPTED, TOKENS, BATCHES, FAILED = 0, 1, 2, 3, 4, 5, 6  # counts
NOW, TARGET_BUSY, DRAFT_BUSY = 0, 1, 2  # clocks, in ms
TRUST = 8.0  # tokens that the record of all requests weighs in the estimate of one of them
HOPE = 0.9  # acceptance of a draft model that has not been tried: high, so that it will be; weighs TRUST tokens, too


@part
def uniform(seed, request, position):
    """A number in [0, 1) that belongs to a token of an answer: whether a draft of it is right (splitmix64)."""
    z = seed + np.uint64(request) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(position) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@part
def draft_ms(d, n, resident):
    """Time of a step of the draft model for n sequences."""
    floor, const, slope = decode_line(d, n)
    return max(floor, const + slope * resident)


@part
def verify_ms(c, n, tokens, resident):
    """Time of the target model's step that computes `tokens` tokens of n sequences."""
    const, slope = c[3] + c[4] * n, c[5]
    if c[6] > 0 and n >= c[6]:
        const, slope = c[7] + c[8] * n, c[9]
    return max(const + slope * resident + shared_ms(c, float(tokens)), c[12] + c[13] * tokens)


@part
def estimate(what, i, m, s_alpha, s_predicted, hits, tries):
    """The acceptance probability of request i under draft model m, as it is predicted, seen or true.

    The last row of hits and tries counts all requests.
    """
    if what == PREDICTED:
        return s_predicted[i, m]
    if what == TRUE:
        return s_alpha[i, m]
    last = len(hits) - 1
    seen = (hits[last, m] + TRUST * HOPE) / (tries[last, m] + TRUST)
    if what == SEEN:
        return seen
    return (hits[i, m] + TRUST * seen) / (tries[i, m] + TRUST)


@part
def expectations(who, length, m, most, least, cut, alpha, predicted, hits, tries, expect, users):
    """Fill expect (4, most + 1) with the tokens that the g-th drafts gain on average, and users with their number."""
    expect[:] = 0.0
    users[:] = 0
    for k in range(length):
        i = who[k]
        one = estimate(PREDICTED, i, m, alpha, predicted, hits, tries)
        two = estimate(SEEN, i, m, alpha, predicted, hits, tries)
        three = estimate(OWN, i, m, alpha, predicted, hits, tries)
        four = estimate(TRUE, i, m, alpha, predicted, hits, tries)
        limit = estimate(cut, i, m, alpha, predicted, hits, tries)
        p1, p2, p3, p4, p = 1.0, 1.0, 1.0, 1.0, 1.0
        for g in range(1, most + 1):
            p1, p2, p3, p4, p = p1 * one, p2 * two, p3 * three, p4 * four, p * limit
            if p < least:
                break
            expect[PREDICTED, g] += p1
            expect[SEEN, g] += p2
            expect[OWN, g] += p3
            expect[TRUE, g] += p4
            users[g] += 1


@part
def best_draft(decide, theta, c, d, who, length, resident, waiting, running, overlaps, most, least, cut, alpha,
               predicted, hits, tries, expect, users):  # fmt: skip
    """The candidate of the highest score: (score, model, length, time of drafting in ms, price).

    price: what a token of the next length would have to gain to keep the rate of tokens. A score that is not a number
    is returned as it is.
    """
    best, chosen, depth, best_ms, price = -math.inf, 0, 0, 0.0, 0.0
    plain = verify_ms(c, length, length, resident)
    for m in range(len(d)):
        expectations(who, length, m, most, least, cut, alpha, predicted, hits, tries, expect, users)
        drafting, tokens = 0.0, length
        e1, e2, e3, e4 = float(length), float(length), float(length), float(length)
        for g in range(most + 1):
            if g > 0:
                if users[g] == 0:
                    break
                drafting += draft_ms(d[m], users[g], resident * users[g] / length)
                tokens += users[g]
                e1 += expect[PREDICTED, g]
                e2 += expect[SEEN, g]
                e3 += expect[OWN, g]
                e4 += expect[TRUE, g]
            elif m > 0:
                continue
            checking = verify_ms(c, length, tokens, resident)
            ms = max(drafting, checking) if overlaps else drafting + checking
            score = decide(
                float(g), float(m), float(length), float(running), float(waiting), e1, e2, e3, e4, ms, plain,
                theta[0], theta[1], theta[2], theta[3],
            )  # fmt: skip
            if score != score:
                return score, 0, 0, 0.0, 0.0
            if score > best:
                best, chosen, depth, best_ms = score, m, g, drafting
                gained = e1 if cut == PREDICTED else e2 if cut == SEEN else e3 if cut == OWN else e4
                more = verify_ms(c, length, tokens + length, resident) - checking
                price = gained / ms * more / length
    return best, chosen, depth, best_ms, price


@part
def choose(decide, theta, c, d, who, length, resident, waiting, running, overlaps, most, least, cut, alpha, predicted,
           state, hits, tries, expect, users):  # fmt: skip
    """Choose draft model and length for the requests who[:length] and set their depths.

    least below 0: the price of a token takes its place. Returns (time of the drafting in ms, 1), or 0 in the second
    place where decide gave what is not a number.
    """
    floor = max(least, 0.0)
    score, chosen, depth, ms, price = best_draft(
        decide, theta, c, d, who, length, resident, waiting, running, overlaps, most, floor, cut, alpha, predicted,
        hits, tries, expect, users,
    )  # fmt: skip
    if least < 0 and price > 0:
        other = best_draft(
            decide, theta, c, d, who, length, resident, waiting, running, overlaps, most, min(price, 1.0), cut, alpha,
            predicted, hits, tries, expect, users,
        )  # fmt: skip
        if other[0] > score:
            score, chosen, depth, ms, floor = other[0], other[1], other[2], other[3], min(price, 1.0)
    if score != score:
        return 0.0, 0
    for k in range(length):
        i = who[k]
        state[i, MODEL], state[i, DEPTH] = chosen, 0
        limit, p = estimate(cut, i, chosen, alpha, predicted, hits, tries), 1.0
        while state[i, DEPTH] < depth:
            p *= limit
            if p < floor:
                break
            state[i, DEPTH] += 1
    return ms, 1


@part
def settle(i, output, alpha, state, hits, tries, seed, count):
    """Verify the draft of request i; returns how many tokens it then has."""
    m, depth, made = state[i, MODEL], state[i, DEPTH], state[i, MADE]
    right = 0
    while right < depth and uniform(seed, i, made + right) < alpha[i, m]:
        right += 1
    last = len(hits) - 1
    tried = right + (1 if right < depth else 0)
    hits[i, m] += right
    tries[i, m] += tried
    hits[last, m] += right
    tries[last, m] += tried
    count[CYCLES] += 1
    count[DRAFTED] += depth
    count[ACCEPTED] += right
    grown = min(right + 1, output[i] - made)
    count[TOKENS] += grown
    state[i, MADE] = made + grown
    return made + grown


@njit(nogil=True, cache=True)
def serve(decide, theta, c, d, own, arrival, prompt, output, alpha, predicted, seed, max_batch, budget, most, least,
          cut, state, lists, hits, tries, first, finish, count, clock):  # fmt: skip
    """Serve all requests; fills first and finish (n,), in ms.

    own: 0, or for a draft model with a server of its own the parts of the batch that it drafts for in turn.
    d (models, L), alpha and predicted (n, models), state (n, 3), lists (4, n), hits and tries (n + 1, models).
    """
    n = arrival.size
    length = np.zeros(4, np.int64)
    expect, users = np.zeros((4, most + 1)), np.zeros(most + 1, np.int64)
    now, target_end, draft_end = arrival[0], math.inf, math.inf
    upcoming, admitted, prefilled, done = 0, 0, 0, 0
    running = 0
    while done < n:
        while upcoming < n and arrival[upcoming] <= now:
            upcoming += 1
        if target_end <= now:
            target_end = math.inf
            for i in range(prefilled, admitted):  # prompts that end with the first token
                first[i] = now
                state[i, MADE] = 1
                if output[i] == 1:
                    finish[i] = now
                    done += 1
                    running -= 1
                else:
                    lists[NEED, length[NEED]] = i
                    length[NEED] += 1
            prefilled = admitted
            for k in range(length[CHECK]):
                i = lists[CHECK, k]
                if settle(i, output, alpha, state, hits, tries, seed, count) == output[i]:
                    finish[i] = now
                    done += 1
                    running -= 1
                else:
                    lists[NEED, length[NEED]] = i
                    length[NEED] += 1
            length[CHECK] = 0
        if draft_end <= now:
            draft_end = math.inf
            for k in range(length[DRAFT]):
                lists[READY, length[READY] + k] = lists[DRAFT, k]
            length[READY] += length[DRAFT]
            length[DRAFT] = 0
        # Prompts go first; on one server nothing is drafted while one can be admitted.
        may_admit = upcoming > admitted and running < max_batch
        if may_admit and target_end == math.inf and (own > 0 or draft_end == math.inf):
            new, squares = 0.0, 0.0
            while admitted < upcoming and running < max_batch:
                if new > 0 and new + prompt[admitted] > budget:
                    break
                new += prompt[admitted]
                squares += float(prompt[admitted]) * prompt[admitted]
                admitted += 1
                running += 1
            ms = prefill_ms(c, new, squares, 0, 0.0)
            target_end = now + ms
            clock[TARGET_BUSY] += ms
            count[ITERATIONS] += 1
        while draft_end == math.inf and length[NEED] > 0 and (own > 0 or target_end == math.inf):
            group = min(length[NEED], (running + own - 1) // own) if own > 0 else length[NEED]
            resident = 0.0
            for k in range(group):
                i = lists[NEED, k]
                lists[DRAFT, k] = i
                resident += prompt[i] + state[i, MADE]
            for k in range(group, length[NEED]):
                lists[NEED, k - group] = lists[NEED, k]
            length[NEED] -= group
            ms, good = choose(
                decide, theta, c, d, lists[DRAFT], group, resident, upcoming - admitted, running,
                own > 0 and running > group, most, least, cut, alpha, predicted, state, hits, tries, expect, users,
            )  # fmt: skip
            if good == 0:
                count[FAILED] = 1
                return
            clock[DRAFT_BUSY] += ms
            if ms > 0 and own > 0:
                length[DRAFT] = group
                draft_end = now + ms
                continue
            for k in range(group):
                lists[READY, length[READY]] = lists[DRAFT, k]
                length[READY] += 1
            if own == 0:
                draft_end = now + ms
                break
        if target_end == math.inf and length[READY] > 0:
            tokens, resident = 0, 0.0
            for k in range(length[READY]):
                i = lists[READY, k]
                lists[CHECK, k] = i
                tokens += state[i, DEPTH] + 1
                resident += prompt[i] + state[i, MADE]
            ms = verify_ms(c, length[READY], tokens, resident)
            clock[TARGET_BUSY] += ms
            count[ITERATIONS] += 1
            count[BATCHES] += length[READY]
            length[CHECK] = length[READY]
            length[READY] = 0
            if own > 0:
                target_end = now + ms
            else:  # one after the other on one server
                target_end = draft_end + ms
                draft_end = math.inf
        later = min(target_end, draft_end)
        if target_end == math.inf and upcoming < n:
            later = min(later, arrival[upcoming])
        if done < n:
            now = max(now, later)
    clock[NOW] = now
