# ruff: noqa: F821
"""Template of the cluster's kernel, 3: KV caches move from where prompts are computed to where requests decode.

An instance of role prefill hands a request over at the end of the iteration that makes its first token (or the next
one, if its KV cache was lost), and keeps its KV cache. The router says where it decodes; that instance fetches the KV
as soon as it has the blocks that it would need to admit the request and a place in the batch, the first in its policy's
order first; it looks when a request is sent there, when one ends there and when it has lost one with an instance that
went down. (`cached` is what the request shares where its KV is, or 0 if the instance that fetches it has no prefix
cache.) The link of an instance sends one KV cache at a time, in the order in which they were fetched. Blocks are taken
at both ends until the KV has arrived; then the request decodes from the next iteration on.
"""

import numpy as np


@part
def leave_source(c, i, time):
    """Free the KV cache of a request at the instance that computed it, and let that plan anew."""
    k = c.job[i, SOURCE]
    touch(c, k, time)
    s = view(c, k)
    held = s.job[i, HELD]
    s.count[FREE] += blocks(s, held) - s.job[i, SHARED] * s.node_blocks
    s.count[KEPT_TOKENS] -= held
    if s.shares:
        let_go(s, i, s.count[ITERATIONS])
    c.fleet[k, MOVING] -= held
    c.fleet[k, PRESENT] -= 1
    c.job[i, SOURCE] = -1
    begin_change(c, k, time)


@part
def first_to_fetch(c, k):
    """(the first of the requests whose KV instance k has to fetch, the one before it in the list or -1)."""
    s = view(c, k)
    first, before_first, lowest = -1, -1, np.inf
    before, i = -1, c.fleet[k, FETCH]
    while i >= 0:
        value = rank(s, i)
        if first < 0 or value < lowest or (value == lowest and i < first):
            first, before_first, lowest = i, before, value
        before, i = i, c.job[i, BEHIND]
    return first, before_first


@part
def unlist(c, k, i, before):
    """Take request i, which stands behind `before`, off the list of those to fetch."""
    if before >= 0:
        c.job[before, BEHIND] = c.job[i, BEHIND]
    else:
        c.fleet[k, FETCH] = c.job[i, BEHIND]
    c.fleet[k, FETCHES] -= 1


@part
def link_ms(c, source, tokens):
    """Time to move the KV of so many tokens, but for what was sent while they were computed."""
    whole = c.meter[source, LINK_MS] * tokens
    if c.layers <= 1:
        return whole
    return max(whole / c.layers, whole - prefill_ms(c.constants[source], tokens, float(tokens) * tokens, 0, 0))


@part
def fetch(c, k, time):
    """Let instance k begin to fetch what it has room for."""
    if c.fleet[k, FETCH] < 0:
        return
    touch(c, k, time)
    s = view(c, k)
    while c.fleet[k, FETCH] >= 0 and not crowded(s, 0):
        i, before = first_to_fetch(c, k)
        growing = need_next(s) if s.mixed else 0
        lacks = blocks(s, s.job[i, INPUT] + s.job[i, MADE]) + growing + s.watermark - s.count[FREE]
        idle = s.count[RUNNING] + s.count[LOADING] == 0 and s.count[PARTIAL] < 0
        if lacks > (s.count[KEPT_BLOCKS] if yields(s) or idle else 0):
            return
        if lacks > 0:
            reclaim(s, lacks, -1)
        unlist(c, k, i, before)
        held, source = s.job[i, HELD], s.job[i, SOURCE]
        s.count[FREE] -= blocks(s, held)
        s.count[LOADING] += 1
        s.count[KEPT_TOKENS] += held
        c.fleet[k, MOVING] += held
        end = max(time, c.meter[source, LINK_FREE]) + link_ms(c, source, held)
        c.meter[source, LINK_FREE] = end
        s.job[i, STATE], s.real[i, DUE] = LOADS, end
        post(c, end, LOADED, i)


@part
def send_on(c, i, time):
    """The router says where a request decodes whose KV cache stands at its SOURCE."""
    k = choose(c, i, 1, time)
    if k == -1:
        park(c, i)
    elif k == -2:
        leave_source(c, i, time)
        refuse(c, i, time)
    else:
        send(c, k, i, time)
        c.job[i, STATE] = HANDED
        c.job[i, BEHIND] = c.fleet[k, FETCH]
        c.fleet[k, FETCH] = i
        c.fleet[k, FETCHES] += 1
        fetch(c, k, time)


@part
def loaded(c, i, time):
    """The KV cache of a request has arrived: it decodes from the next iteration on."""
    leave_source(c, i, time)
    k = c.job[i, AT]
    touch(c, k, time)
    s = view(c, k)
    held = s.job[i, HELD]
    s.count[LOADING] -= 1
    s.count[KEPT_TOKENS] -= held
    s.count[PICKS] += 1
    c.fleet[k, MOVING] -= held
    c.total[SENT] += held
    s.job[i, FROM] = s.job[i, MADE]
    s.real[i, SINCE] = s.clock[NOW] - s.real[i, SINCE]
    join(s, i)
