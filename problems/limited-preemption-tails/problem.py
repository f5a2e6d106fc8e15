"""Five ways to limit preemption, from none to all of it. A point has the keys tail and limit (and rate, lengths).

A policy with a parameter `limit` or c gets the point's limit, in mean sizes: none at 0, the more the larger it is.
"""

from dataclasses import replace

import numpy as np
from openqueues.models import llm

HARDWARE = "gptj-6b-a100-mars"
KV_TOKENS, MAX_BATCH = 7168, 32
ARRIVALS = "gamma:rate={rate},shape=0.2"
LENGTHS = {
    "light": "lognormal:input_mean=100,output_mean=150,output_cv=0.5",
    "heavy": "lognormal:input_mean=100,output_mean=150,output_cv=2",
}
PREDICTIONS = "lognormal:sigma=0.5,every=8,refreshed_sigma=0.25"
RATE = {"light": 9, "heavy": 6}
MOST_TOKENS = 2000


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.llm.replication."""
    arrivals = point.get("arrivals", ARRIVALS).format(rate=point.get("rate", RATE[point["tail"]]))
    requests = llm.generated(arrivals, point.get("lengths", LENGTHS[point["tail"]]), jobs, seed)
    # A longer request would not fit beside others where memory is short.
    requests = replace(
        requests,
        input_tokens=np.minimum(requests.input_tokens, MOST_TOKENS),
        output_tokens=np.minimum(requests.output_tokens, MOST_TOKENS),
    )
    requests = llm.predicted(requests, PREDICTIONS, seed)
    policy = llm.completed(policy, limit=point["limit"], c=point["limit"], mechanism="sarathi")
    return llm.replication(requests, llm.hardware_law(HARDWARE), policy, kv_tokens=KV_TOKENS, max_batch=MAX_BATCH)
