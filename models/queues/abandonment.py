"""M/GI/s+GI by simulation: s servers, and jobs that leave when they have waited as long as they are ready to.

The servers have speed 1/s each, as in servers.py. A patience is given in units of the mean time that a job
spends in service, s mean sizes, which is the usual unit of this model. A job that is preempted goes on losing
patience while it waits; in service it never leaves. The system is stable at any load.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openqueues.models.laws import size_law
from openqueues.models.policies import Policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues.replication import CHUNK, QUANTILES, WARM_UP, chunks
from openqueues.models.queues.servers import Servers, checked
from openqueues.models.queues.tally import Tally
from openqueues.models.streams import streams


def simulate(
    joint: Any, load: float, servers: int, patience: Any, policy: str | Policy, seed: int, jobs: int
) -> dict[str, float]:
    """One replication: `jobs` counted arrivals after a tenth as many to warm up.

    load = arrival rate times mean size, may exceed one; patience: a size law or its text, for example
    `exponential` or `weibull:shape=2,mean=0.5`, in units of the mean service time; policy: as in
    servers.simulate. Returns, over the counted jobs:
    mean_response, second_moment and quantiles of the time in the system, until served or gone;
    mean_wait, of which in the queue; served_wait, the same of the jobs served;
    abandoned_share; completed_share, its complement; throughput, jobs served in the time in which the servers
    can do one mean size of work; mean_size_served; unstable, always 0.
    """
    servers, policy = checked(load, servers, policy, jobs)
    law = size_law(patience)
    system = Servers(servers, policy, resolve(policy, joint, load), impatient=True)
    unit = servers * joint.sizes.mean
    source = streams(seed).routing  # nothing is routed here: the stream is free for the patience
    room = np.empty(CHUNK)
    tally, sums, started = Tally(), np.zeros(4), 0.0
    for counted, gaps, sizes, predictions in chunks(
        joint, load, seed, int(WARM_UP * jobs), jobs, "predicted" in policy.sees
    ):
        ready = room[: len(gaps)]
        law.fill(source, ready)
        ready *= unit
        done = system.serve(gaps, sizes, predictions, ready)
        if counted:
            tally.add(done, started)
            sums += _waits(done, started, servers)
        else:
            started = system.now
    done = system.drain()
    tally.add(done, started)
    sums += _waits(done, started, servers)
    count, total, second, _ = tally.sums
    served, served_size, served_wait, wait = sums
    return {
        "mean_response": total / count,
        "second_moment": second / count,
        **{name: tally.quantile(q) for name, q in QUANTILES.items()},
        "mean_wait": wait / count,
        "served_wait": served_wait / max(served, 1.0),
        "abandoned_share": 1.0 - served / count,
        "completed_share": served / count,
        "throughput": load * served / count,
        "mean_size_served": served_size / max(served, 1.0),
        "unstable": 0.0,
    }


def _waits(done: np.ndarray, since: float, servers: int) -> np.ndarray:
    """[jobs served, their sizes, their waits, waits of all] of the rows of jobs that arrived after `since`."""
    time, size, arrival, lost = done.T
    served = (lost == 0.0) & (arrival > since)
    gone = (lost == 1.0) & (arrival > since)
    sizes = float(size[served].sum())
    waits = float(time[served].sum()) - servers * sizes
    return np.array([served.sum(), sizes, waits, waits + float(time[gone].sum())])
