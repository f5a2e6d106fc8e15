"""The engine's kernel run iteration by iteration, with everything counted anew after each: what `serve` hides."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from openqueues.models.llm import engine

# Where the kernel would run to the end at once, run the iterations that begin now, and look.
WALK = '''
@part
def check(s, before):
    """0, or which rule does not hold of the server (RULES) after iterations that began at `before`."""
    waits, decodes, prefills, ended, tokens = 0, 0, 0, 0, 0
    blocks_held = s.count[FREE] + (0 if s.shares else s.count[KEPT_BLOCKS])
    for i in range(s.n):
        state = s.job[i, STATE]
        waits += state == WAITS
        ended += state == ENDED
        if state == DECODES or state == PREFILLS:
            blocks_held += blocks_of(s, i)
            prefills += state == PREFILLS
            decodes += state == DECODES
            tokens += held_of(s, i) if state == DECODES else 0
        if not 0 <= made_of(s, i) <= s.job[i, OUTPUT] or (state == ENDED) != (made_of(s, i) == s.job[i, OUTPUT]):
            return 1
        if s.real[i, FIRST] < s.real[i, ARRIVED] or s.real[i, FINISH] < s.real[i, FIRST]:
            return 2
        if s.real[i, FINISH] > s.clock[NOW] or (state == COMING) != (i >= s.count[NEXT]):
            return 2
    for node in range(s.tree.shape[0]):
        blocks_held += s.node_blocks * s.tree[node, CACHED]
        if s.tree[node, HOLDERS] < 0 or (s.tree[node, HOLDERS] > 0 and s.tree[node, CACHED] != 1):
            return 3
    if s.count[FREE] < 0 or s.count[KEPT_BLOCKS] < 0 or blocks_held != s.total:
        return 4
    if waits != s.count[WAITING] or decodes != s.count[RUNNING] or ended != s.count[DONE]:
        return 5
    if prefills != (1 if s.count[PARTIAL] >= 0 else 0) or decodes + prefills > s.most_running:
        return 6
    for k in range(s.count[WAITING]):
        if s.job[int(s.queue[k, ARRIVAL]), STATE] != WAITS:
            return 7
        for other in range(k):
            if s.queue[k, ARRIVAL] == s.queue[other, ARRIVAL]:
                return 7
    if tokens != s.count[TOKENS] or s.phases.sum() != decodes:
        return 8
    if s.paged and s.count[PEAK] > s.total * s.block:
        return 9
    return 10 if not s.clock[NOW] >= before else 0


@part
def walk(s):
    while s.count[DONE] < s.n and s.count[FAILED] == 0:
        before, iterations = s.clock[NOW], s.count[ITERATIONS]
        advance(s, np.nextafter(before, np.inf))
        if s.count[FAILED] == 0:
            broken = check(s, before)
            if broken > 0:
                s.count[FAILED] = -100 - broken
            elif s.clock[NOW] == before and s.count[ITERATIONS] == iterations:
                s.count[FAILED] = -1


'''
RULES = (
    "no more tokens made than the answer has, and all of them when it ends",
    "arrival, first token, end and now are in order, and nobody is there before its arrival",
    "a node of the prefix cache has holders only while it is cached",
    "blocks are free, kept or held, and there are as many as at first",
    "as many wait, decode and have ended as the counts say",
    "one prompt at most is begun, and the batch is not too large",
    "who waits is in the queue, once",
    "tokens and phases of the requests that decode add up",
    "no more tokens are resident than fit",
    "time does not go back",
)


@cache
def walked_kernel():
    """A kernel as engine's, which raises AssertionError with the rule that did not hold."""
    from openqueues.models.queues.compiled import cache_folder, kernel

    here = Path(engine.__file__).parent
    text = (here / "engine_kernel.py").read_text()
    head, mark, tail = text.partition("@njit(cache=True, nogil=True)\ndef serve(")
    assert mark and tail.count("    advance(s, np.inf)\n") == 1
    walked = cache_folder() / "walked_engine_kernel.py"
    walked.write_text(head + WALK.lstrip("\n") + mark + tail.replace("    advance(s, np.inf)\n", "    walk(s)\n"))
    files = [here / f"{name}.py" for name in ("timing", "state_kernel", "prefix_kernel", "memory_kernel")]
    serve = kernel([], [*files, walked], heap_width=2)

    def run(*arguments):
        count, clock = serve(*arguments)
        assert count[11] > -100, f"rule broken: {RULES[-100 - count[11] - 1]}"
        return count, clock

    return run
