"""The metrics of programs: cluster_summary where a program counts as one request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from openqueues.models.llm.cluster import ServedCluster
from openqueues.models.llm.cluster_metrics import cluster_summary
from openqueues.models.llm.programs import Programs
from openqueues.models.llm.replication import WARM_UP
from openqueues.models.llm.requests import Requests


def program_finish(served: ServedCluster, programs: Programs) -> np.ndarray:
    """float64 (programs,): when the last stage of each was done, of those that were neither cancelled nor refused."""
    gone = served.cancelled | served.refused
    return np.maximum.reduceat(np.where(gone, -np.inf, served.finish_s), programs.begins[:-1])


def program_summary(
    served: ServedCluster, programs: Programs, *, only: np.ndarray | None = None, slo_ttft_s: float | None = None
) -> dict[str, float]:
    """The keys of cluster_summary but for those of tpot, a program being one request; `only` is (programs,), too.

    latency_s is from the arrival of a program to the end of its last stage, ttft_s to the first token of any of its
    stages, output tokens are those of the stages that are done. Further keys: mean_latency_without_calls_s, of the
    latency less the longest chain of delays of the program (the least that its calls can cost it); mean_slowdown, of
    this over its output tokens, the normalized latency of InferCept; cancelled_share of the stages; wasted_tokens,
    made by cancelled stages, per program.
    """
    begins = programs.begins[:-1]
    done = ~(served.cancelled | served.refused)
    output = np.add.reduceat(np.where(done, programs.requests.output_tokens, 0), begins)
    finish = program_finish(served, programs)
    whole = replace(
        served,
        first_token_s=np.fmin.reduceat(served.first_token_s, begins),
        finish_s=finish,
        preemptions_of=np.add.reduceat(served.preemptions_of, begins),
        refused=np.logical_and.reduceat(served.refused, begins),
    )
    requests = Requests(programs.arrival_s, programs.requests.input_tokens[begins], np.maximum(output, 1))
    found = cluster_summary(whole, requests, only=only, slo_ttft_s=slo_ttft_s)
    calls = np.maximum.reduceat(programs.path(programs.delay_s), begins)
    counted = np.arange(programs.count) >= programs.count // WARM_UP
    if only is not None:
        counted &= only
    served_s = (finish - programs.arrival_s - calls)[counted]
    found = {key: value for key, value in found.items() if "tpot" not in key}
    return found | {
        "mean_latency_without_calls_s": float(served_s.mean()),
        "mean_slowdown": float((served_s / requests.output_tokens[counted]).mean()),
        "cancelled_share": float(served.cancelled.mean()),
        "wasted_tokens": served.wasted_tokens / programs.count,
    }
