"""Interactive requests beside files of batch requests on one replica. A point has the key batch_rate, in requests/s.

It may have interactive_rate, and arrivals (the name of a law) and lengths of the interactive requests. A policy with
parameters prompt_s and token_s gets what a token of a prompt and one of an answer take of the server, in seconds.
"""

import math

import numpy as np
from openqueues.models import llm
from openqueues.models.llm.replication import WARM_UP
from openqueues.models.streams import derive_seed

HARDWARE = "llama2-70b-2xa100-mcsf"
MAX_BATCH = 32
CONTEXT = 4096
"""Most tokens of a request, prompt and answer."""
INTERACTIVE_RATE = 0.2
FILE = 20
"""Batch requests that arrive together."""
TTFT_S, TPOT_S = 3.0, 0.25
BATCH_S = 600.0
"""A batch request has to be done so long after its arrival."""
PREDICTIONS = "lognormal:sigma=0.5"


def simulate(point, policy, seed, jobs):
    """One replication: kept_share is the mean of the shares of both classes that get what they were promised."""
    requests = _requests(point, jobs, seed)
    hardware = llm.hardware_law(HARDWARE)
    policy = llm.completed(policy, mechanism="sarathi", prompt_s=hardware.prefill_token_ms / 1000, token_s=0.1)
    served = llm.serve(requests, hardware, policy, max_batch=MAX_BATCH)
    batch = requests.kind == 1
    found = llm.summary(served, requests, only=~batch, slo_ttft_s=TTFT_S, slo_tpot_s=TPOT_S)
    result = {
        "kept_share": found["slo_share"],
        "interactive_share": found["slo_share"],
        "interactive_ttft_s": found["mean_ttft_s"],
        "interactive_p99_ttft_s": found["p99_ttft_s"],
        "batch_share": 1.0,
        "batch_latency_s": 0.0,
        "batch_p99_latency_s": 0.0,
        "batch_per_hour": 0.0,
        "unstable": found["unstable"],
    }
    first = len(requests) // WARM_UP
    counted = batch & (np.arange(len(requests)) >= first)
    if not counted.any():
        return result
    found = llm.summary(served, requests, only=batch)
    begin, end = requests.arrival_s[first], requests.arrival_s[-1]
    done = batch & (served.finish_s > begin) & (served.finish_s <= end)
    result["batch_share"] = float(np.mean(served.finish_s[counted] <= requests.deadline_s[counted]))
    result["batch_latency_s"] = found["mean_latency_s"]
    result["batch_p99_latency_s"] = found["p99_latency_s"]
    result["batch_per_hour"] = 3600.0 * np.count_nonzero(done) / (end - begin)
    result["kept_share"] = (result["interactive_share"] + result["batch_share"]) / 2
    return result


def bound(point):
    """No more than all requests get what they were promised."""
    return {"kept_share": (1.0, 0.0)}


def _requests(point, jobs, seed):
    """About `jobs` requests of both classes over the same time; the interactive ones do not depend on batch_rate."""
    rate, batch_rate = point.get("interactive_rate", INTERACTIVE_RATE), point["batch_rate"]
    until = jobs / (rate + batch_rate)
    arrivals = f"{point.get('arrivals', 'poisson')}:rate={rate}"
    drawn = llm.generated(arrivals, point.get("lengths", "azure-conv:data=fitted"), _enough(rate * until), seed)
    kept = np.searchsorted(drawn.arrival_s, until)
    parts = [(drawn.arrival_s[:kept], drawn.input_tokens[:kept], drawn.output_tokens[:kept])]
    if batch_rate > 0:
        other = derive_seed("batch", seed)
        files = llm.generated(f"poisson:rate={batch_rate / FILE}", "fixed:input=1,output=1", _enough(until), other)
        starts = np.repeat(files.arrival_s[: np.searchsorted(files.arrival_s, until)], FILE)
        if len(starts):
            lengths = llm.generated("closed", "arxiv:data=fitted", len(starts), other)
            parts.append((starts, lengths.input_tokens, lengths.output_tokens))
    arrival, prompt, answer = (np.concatenate(column) for column in zip(*parts, strict=True))
    kind = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(arrival, kind="stable")
    arrival, kind = arrival[order], kind[order]
    answer = np.minimum(answer[order], CONTEXT // 2)
    prompt = np.minimum(prompt[order], CONTEXT - answer)
    # What a policy sees as the deadline of an interactive request is that of its first token.
    deadline = arrival + np.where(kind == 1, BATCH_S, TTFT_S)
    return llm.predicted(llm.Requests(arrival, prompt, answer, kind=kind, deadline_s=deadline), PREDICTIONS, seed)


def _enough(mean):
    """More events than come in a time in which `mean` are expected."""
    return math.ceil(mean + 8 * math.sqrt(mean) + 10)
