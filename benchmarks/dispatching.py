"""The speed of parallel queues behind a dispatcher, on one core, random numbers included."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from measure import WrongResult, cpu, interleave

LOAD = 0.9
POLICIES = Path(__file__).parents[1] / "problems" / "power-of-d-bits" / "policies"
# Simulated jobs a second: the goal for first come first served, of which half for SPRPT.
GOALS = {100: 5e6, 1000: 3e6}
# Largest relative distance of a run from what is known; a long run of SPRPT, where nothing is, holds its own.
ALLOWED = 0.06
SPRPT = 2.07


def known(n: int, service: str) -> float:
    """Mean response time to hold a run against: the fluid limit and its order 1/n, or a long run of ours."""
    from openqueues.models.analysis.fluid import power_of_d

    return power_of_d(LOAD, 2) * (1 + 1.4 / n) if service == "fcfs" else SPRPT


def dispatching(quick: bool) -> list[dict[str, Any]]:
    """Power of two choices by count, exponential sizes and predictions, load 0.9: million jobs a second of CPU time."""
    from openqueues.models.laws import joint_law
    from openqueues.models.queues.dispatching import WARM_UP_PER_QUEUE, simulate
    from openqueues.models.queues.replication import WARM_UP

    joint = joint_law("exponential", "exponential")
    jobs, repetitions = (1_000_000, 3) if quick else (5_000_000, 5)
    policy = str(POLICIES / "shortest.py")

    def run(n: int, service: str, seed: int) -> float:
        seconds, metrics = cpu(lambda: simulate(joint, LOAD, n, 2, policy, service, seed, jobs))
        off = metrics["mean_response"] / known(n, service) - 1
        if not abs(off) <= ALLOWED:
            raise WrongResult(f"power of two, {n} queues, {service}: E[T] is off by {off:.1%}")
        return seconds

    rows = []
    for service in ("fcfs", "sprpt"):
        simulate(joint, LOAD, 10, 2, policy, service, 1, 1000)
        for n, goal in GOALS.items():
            times = interleave(repetitions, ours=lambda k, n=n, s=service: run(n, s, k))
            # What follows the counted jobs until these have left is not counted as work.
            simulated = jobs + max(WARM_UP * jobs, WARM_UP_PER_QUEUE * n)
            rows.append(
                {
                    "service": service,
                    "queues": n,
                    "jobs": jobs,
                    "million jobs/s": simulated / statistics.median(times["ours"]) / 1e6,
                    "goal": (goal if service == "fcfs" else goal / 2) / 1e6,
                }
            )
    return rows
