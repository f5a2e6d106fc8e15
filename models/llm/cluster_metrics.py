"""The metrics of a cluster, in the manner of replication.summary."""

from __future__ import annotations

import numpy as np
from openqueues.models.llm.cluster import ServedCluster
from openqueues.models.llm.engine import Served
from openqueues.models.llm.fleets import ROLES
from openqueues.models.llm.replication import summary
from openqueues.models.llm.requests import Requests


def cluster_summary(
    served: ServedCluster,
    requests: Requests,
    *,
    only: np.ndarray | None = None,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
) -> dict[str, float]:
    """The metrics of a run of a cluster: those of replication.summary, of the whole cluster, and what it cost.

    Of them mean_batch is over all iterations, mean_kv_tokens the sum over the instances, peak_kv_tokens the largest of
    an instance, busy_share the mean over the instances of busy time over time up. And: busy_share_mixed, _prefill and
    _decode, the same for the instances of a role at the end (nan without one); imbalance, the largest busy time of an
    instance over the mean; usd_per_request and usd_per_million_tokens (of output), energy_j_per_request (nan where a
    power is not known), per request that ended; refused_share; transferred_tokens, whose KV was moved, per request.
    """
    found = summary(as_one(served), requests, only=only, slo_ttft_s=slo_ttft_s, slo_tpot_s=slo_tpot_s)
    completed = int(np.count_nonzero(~np.isnan(served.finish_s)))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = served.busy_s / served.up_s
        found |= {
            "imbalance": float(served.busy_s.max() / served.busy_s.mean()),
            "usd_per_request": float(served.usd.sum() / np.float64(completed)),
            "usd_per_million_tokens": float(1e6 * served.usd.sum() / np.float64(served.output_tokens)),
            "energy_j_per_request": float(served.energy_j.sum() / np.float64(completed)),
        }
    for place, name in enumerate(ROLES):
        these = share[served.role == place]
        found[f"busy_share_{name}"] = float(these.mean()) if these.size else np.nan
    return found | {
        "busy_share": float(np.nanmean(share)),
        "refused_share": float(served.refused.mean()),
        "transferred_tokens": served.transferred_tokens / len(requests),
    }


def as_one(served: ServedCluster) -> Served:
    """The cluster as if it were one server, whose busy time is the mean over the instances."""
    iterations = int(served.iterations.sum())
    return Served(
        first_token_s=served.first_token_s,
        finish_s=served.finish_s,
        preemptions_of=served.preemptions_of,
        iterations=iterations,
        preemptions=int(served.preemptions.sum()),
        recomputed_tokens=int(served.recomputed_tokens.sum()),
        swapped_tokens=int(served.swapped_tokens.sum()),
        peak_kv_tokens=int(served.peak_kv_tokens.max()),
        reused_tokens=int(served.reused_tokens.sum()),
        mean_kv_tokens=float(served.mean_kv_tokens.sum()),
        mean_batch=float(np.nansum(served.mean_batch * served.iterations) / iterations) if iterations else np.nan,
        makespan_s=served.makespan_s,
        busy_s=float(served.busy_s.mean()),
        output_tokens=served.output_tokens,
    )
