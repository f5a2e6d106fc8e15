"""k-LPM: of k admissions the first k - 1 by the longest prefix in the cache, the k-th the oldest.

Dexter et al.: LLM query scheduling with prefix reuse and latency constraints (2025). With k = 1 it is first come first
served, with a large k longest prefix match. Nobody is preempted but where memory is short, the latest arrival then.
"""

SEES = ("cached", "arrival", "picks", "running")
SHAPE = "order"
PARAMETERS = {"prefix_cache": True, "k": 2}


def rank(cached, arrival, picks, running, k):
    if running > 0:
        return -float("inf")
    return arrival if picks % k >= k - 1 else -cached
