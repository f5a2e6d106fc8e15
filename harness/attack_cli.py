"""`openqueues attack`: the worst instances found for a policy of one queue, by analysis, confirmed by simulation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from openqueues.listing import columns
from openqueues.models.errors import InputError

FAMILIES = ("two points", "three points", "hyperexponential", "weibull", "pareto")


def add_arguments(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("policy", metavar="POLICY", help="policy with an analysis, like sprpt or onebit:threshold=optimal")
    option("--against", default="srpt", metavar="P", help="policy to compare with (default: srpt)")
    bound = command.add_mutually_exclusive_group()
    within = "predictions from low to R low times the size, low <= 1 <= R low (default: 2)"
    bound.add_argument("--within", type=float, metavar="R", help=within)
    bound.add_argument("--sigma", type=float, metavar="S", help="log-normal predictions, deviation of log at most S")
    option("--family", action="append", metavar="F", help=f"of sizes: {', '.join(FAMILIES)} (default: all)")
    option("--load", type=float, default=0.98, metavar="L", help="largest load (default: 0.98)")
    option("--budget", type=int, default=500, metavar="N", help="instances per family (default: 500)")
    option("--seed", type=int, default=0, metavar="S", help="seed of the search (default: 0)")
    confirm = "confirm the worst by 10 replications of so many jobs (default: 400000; 0: do not)"
    option("--simulate", type=int, default=400_000, metavar="JOBS", help=confirm)
    option("--json", action="store_true", help="JSON instead of a table")


def run(chosen: argparse.Namespace) -> int:
    """Search each family, print the worst instances, and confirm the worst of all."""
    from openqueues.models.analysis import attack

    bound = {"sigma": chosen.sigma} if chosen.sigma is not None else {"within": chosen.within or 2.0}
    found = []
    for family in chosen.family or FAMILIES:
        limits = {"most_load": chosen.load, "budget": chosen.budget, "seed": chosen.seed}
        found.append(attack(chosen.policy, family, against=chosen.against, **bound, **limits))
        print(f"{family}: {found[-1].ratio:.5g}", file=sys.stderr, flush=True)
    found.sort(key=lambda one: -one.ratio)
    worst = found[0]
    confirmed = _confirm(worst, chosen) if chosen.simulate else None
    replay = (
        f"openqueues mg1 --sizes '{worst.sizes}' --predictions '{worst.predictions}' --load {worst.load:g}"
        f" --policy {chosen.policy} --policy {chosen.against}"
    )
    if chosen.json:
        rows = [{name: getattr(one, name) for name in one.__dataclass_fields__} for one in found]
        said = None if confirmed is None else dict(zip(("ratio", "halfwidth"), confirmed, strict=True))
        print(json.dumps({"instances": rows, "simulated": said, "replay": replay}, indent=1))
        return 0
    table = [["ratio", "error", "load", "sizes", "predictions"]]
    for one in found:
        table.append([f"{one.ratio:.6g}", f"{one.error:.1g}", f"{one.load:g}", one.sizes, one.predictions])
    print(columns(table, right=(0, 1, 2)))
    if confirmed is not None:
        print(f"\nThe worst, simulated: {confirmed[0]:.4f} +- {confirmed[1]:.2g} (95%).")
    print(f"\nAgain: {replay}")
    return 0


def _confirm(worst, chosen: argparse.Namespace) -> tuple[float, float]:
    """The ratio on the same jobs in ten replications, with the half-width of its 95% interval."""
    from openqueues.models.laws import joint_law
    from openqueues.models.queues import simulate
    from openqueues.models.streams import derive_seed
    from openqueues.statistics import mean_and_halfwidth

    joint = joint_law(worst.sizes, worst.predictions)

    def ratio(number: int) -> float:
        seed = derive_seed("attack", worst.sizes, worst.predictions, worst.load, number)
        means = []
        for policy in (chosen.policy, chosen.against):
            values = simulate(joint, worst.load, policy, seed, chosen.simulate)
            if values["unstable"]:
                raise InputError(f"{policy} is not stable in {chosen.simulate} jobs at load {worst.load:g}: give more.")
            means.append(values["mean_response"])
        return means[0] / means[1]

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return mean_and_halfwidth(list(pool.map(ratio, range(10))))
