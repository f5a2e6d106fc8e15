"""Programs of agents: chains, forks that join, and graphs in layers, over three pools of models.

A point has the keys shape (chain, fork, layered or single), load (of the busiest pool) and error (sigma of the
lognormal error of predicted answers; 0: none), and may have lengths, arrivals and programs (most in a run). A run
starts empty; all its programs count.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from openqueues.models import llm
from openqueues.models.errors import unknown
from openqueues.models.llm.bounds import shortest_first

HARDWARE = "opt-13b-a100-tp1"
MODELS, MAX_BATCH = 3, 8
LENGTHS = "lognormal:input_mean=200,output_mean=100,output_cv=1.5"
SHAPES = {
    "single": "single:models=3",
    "chain": "chain:stages=4,models=3",
    "fork": "fork:branches=4,models=3",
    "layered": "layered:layers=4,width=4,models=3",
}
SAMPLE = 4000


def simulate(point, policy, seed, jobs):
    """One replication of `jobs` programs: their latencies, and these over what no schedule can go below."""
    programs = _programs(point, seed, min(jobs, point.get("programs", jobs)))
    cluster = llm.Cluster([llm.Instance(HARDWARE, model=m, kv_tokens=0, max_batch=MAX_BATCH) for m in range(MODELS)])
    served = llm.serve_cluster(programs, cluster, policy)
    latency = llm.program_finish(served, programs) - programs.arrival_s
    critical = _critical_s(programs)
    return {
        "mean_latency_s": latency.mean(),
        "p99_latency_s": np.quantile(latency, 0.99),
        "mean_stretch": np.mean(latency / critical),
        "over_bound": latency.mean() / _least_s(programs, critical),
        "completed_share": np.mean(np.isfinite(latency)),
    }


def bound(point):
    """No schedule has a mean latency below the mean critical path."""
    if "lengths" in point:
        return None
    critical = _critical_s(_sample(point["shape"]))
    return {"mean_latency_s": (float(critical.mean()), float(3 * critical.std() / SAMPLE**0.5))}


def _programs(point, seed, jobs):
    shape = point["shape"]
    if shape not in SHAPES:
        raise unknown("shape", str(shape), SHAPES)
    rate = point["load"] / _busiest_s(shape)
    arrivals = point.get("arrivals", f"poisson:rate={rate}")
    programs = llm.workflow(SHAPES[shape], arrivals, point.get("lengths", LENGTHS), jobs, seed)
    law = f"lognormal:sigma={point['error']}" if point["error"] else "perfect"
    programs = programs.with_requests(llm.predicted(programs.requests, law, seed))
    return replace(programs, values=np.stack([_fair(programs, rate, shape), _true_work(programs)], axis=1))


def _fair(programs, rate, shape):
    """The virtual times of Justitia's order, if the pools serve the mean cost at the rate at which they are full."""
    sample = _sample(shape).requests
    cost = sample.output_tokens * (sample.input_tokens + 0.5 * sample.output_tokens)
    return llm.fair_finish(programs, float(cost.sum()) / SAMPLE / _busiest_s(shape))


def _true_work(programs):
    """(n,): output tokens of the program's stages in the layer of each stage and in later ones."""
    layer, output = programs.values[:, 0].astype(int), programs.requests.output_tokens
    table = np.zeros((programs.count, layer.max() + 2))
    np.add.at(table, (programs.program, layer), output)
    return table[:, ::-1].cumsum(axis=1)[:, ::-1][programs.program, layer]


def _critical_s(programs):
    """(programs,): the longest chain of stages, each as if alone in its server."""
    law, inputs, answers = llm.hardware_law(HARDWARE), *_lengths(programs)
    prompt = law.prefill_step_ms + law.prefill_token_ms * inputs + law.prefill_token2_ms * inputs**2
    held = (answers - 1) * (inputs + answers / 2)
    alone = prompt + (answers - 1) * (law.decode_step_ms + law.decode_seq_ms) + law.kv_token_ms * held
    return np.maximum.reduceat(programs.path(alone), programs.begins[:-1]) / 1000


def _work_s(programs):
    """(programs, MODELS): the least that each program takes of the time of each pool, in full batches."""
    law, inputs, answers = llm.hardware_law(HARDWARE), *_lengths(programs)
    step = law.decode_step_ms / MAX_BATCH + law.decode_seq_ms
    held = (answers - 1) * (inputs + answers / 2)
    work = law.prefill_token_ms * inputs + law.prefill_token2_ms * inputs**2
    work = work + (answers - 1) * step + law.kv_token_ms * held
    result = np.zeros((programs.count, MODELS))
    np.add.at(result, (programs.program, programs.model), work / 1000)
    return result


def _least_s(programs, critical):
    """No schedule of this run has a lower mean latency: critical paths, or shortest remaining work at one pool."""
    work = _work_s(programs)
    pools = [shortest_first(programs.arrival_s, work[:, m]) for m in range(MODELS)]
    return max(float(critical.mean()), *pools)


def _lengths(programs):
    return programs.requests.input_tokens.astype(float), programs.requests.output_tokens.astype(float)


@lru_cache(maxsize=8)
def _sample(shape):
    return llm.workflow(SHAPES[shape], "closed", LENGTHS, SAMPLE, 1)


@lru_cache(maxsize=8)
def _busiest_s(shape):
    return float(_work_s(_sample(shape)).mean(axis=0).max())
