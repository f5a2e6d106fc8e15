"""`openqueues attack`: the worst instances found for a policy, of one queue or of a server with a KV cache.

For policies of one queue the ratio is to another policy's mean response time, by analysis, confirmed by simulation; for
policies of the unit-time server it is to the proven optimum's total latency.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from openqueues import attacks, registry
from openqueues.listing import columns
from openqueues.models import policies
from openqueues.models.errors import InputError, unknown

QUEUE = ("against", "within", "between", "sigma", "variance", "family", "span", "load", "simulate")
CACHE = ("requests", "memory", "last_arrival", "ends", "one_prompt", "fill", "instance")
REPLICATIONS = 10
SEEN = 1000
"""Jobs of the rarest size that a replication must expect: an interval over runs that miss them would mislead."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("policy", metavar="POLICY", help="like sprpt or onebit:threshold=optimal; mc-sf, svf, a-min; or a file")
    budget = "instances to look at, per family; of sizes with a density a tenth (default: 1000)"
    option("--budget", type=int, default=1000, metavar="N", help=budget)
    option("--seed", type=int, default=0, metavar="S", help="seed of the search (default: 0)")
    option("--record", metavar="ENTRY", help="write the worst instance into the entry's attacks.toml if it is new")
    option("--json", action="store_true", help="JSON instead of a table")
    group = command.add_argument_group("a policy of one queue")
    option = group.add_argument
    option("--against", metavar="P", help="policy to compare with, like srpt or gittins (default: srpt)")
    errors = group.add_mutually_exclusive_group()
    bound = errors.add_argument
    bound("--within", type=float, metavar="R", help="predictions from b to a times the size, a = R b, b <= 1 <= a")
    bound("--between", type=float, nargs=2, metavar=("B", "A"), help="predictions from B to A times the size")
    bound("--sigma", type=float, metavar="S", help="log(prediction/size) of deviation at most S")
    bound("--variance", type=float, metavar="V", help="prediction/size of variance at most V (default: --within 2)")
    option("--family", action="extend", nargs="+", metavar="F", help="of sizes (default: all that are quick)")
    option("--span", type=float, metavar="X", help="largest over smallest size, of points and Pareto (default: 1e6)")
    option("--load", type=float, metavar="L", help="largest load (default: 0.98)")
    confirm = "confirm the worst by 10 replications of so many jobs (default: 400000; 0: do not)"
    option("--simulate", type=int, metavar="JOBS", help=confirm)
    option = command.add_argument_group("a policy of a server with a KV cache, in unit slots").add_argument
    option("--requests", type=int, metavar="N", help="so many requests (default: 6)")
    option("--memory", type=int, metavar="M", help="tokens of the KV cache (default: 16)")
    option("--last-arrival", type=int, metavar="T", help="slot up to which requests arrive (default: 0)")
    option("--ends", type=float, metavar="R", help="predicted intervals: upper end at most R times the lower (1)")
    option("--one-prompt", action="store_true", default=None, help="all requests of an instance have one prompt")
    option("--fill", type=float, metavar="SHARE", help="largest peak of a request, of the memory (default: 1)")
    option("--instance", metavar="TEXT", help="show this instance again, like requests:memory=9,arrivals=0|1,...")


def run(chosen: argparse.Namespace) -> int:
    """Search, print the worst instances and how to see them again, and record the worst of all if asked to."""
    from openqueues.models.analysis import analysable

    entry = registry.entry(chosen.record) if chosen.record else None
    queue = not policies.is_path(chosen.policy) and chosen.policy.partition(":")[0].strip() in analysable()
    for name in CACHE if queue else QUEUE:
        if getattr(chosen, name) is not None:
            kind = "one queue" if queue else "a server with a KV cache"
            raise InputError(f"'{chosen.policy}' is a policy of {kind}: leave out --{name.replace('_', '-')}.")
    found, said, text = (_queue if queue else _cache)(chosen)
    if chosen.json:
        print(json.dumps(said, indent=1))
    else:
        print(text)
    if entry is not None:
        done = attacks.record(entry, found)
        what = "recorded in" if done else "no worse than what stands in"
        print(f"{what} {entry.slug}/attacks.toml", file=sys.stderr)
    return 0


def _queue(chosen: argparse.Namespace) -> tuple[attacks.Attack, dict, str]:
    """(the worst instance, what is said of it as JSON, the same as text)."""
    from openqueues.models.analysis import worst

    against = chosen.against or "srpt"
    kinds = {kind: getattr(chosen, kind) for kind in worst.KINDS if getattr(chosen, kind) is not None}
    limits = kinds or {"within": 2.0}
    limits |= {name: getattr(chosen, name) for name in ("span", "load") if getattr(chosen, name) is not None}
    families = chosen.family or worst.families(chosen.policy, against, chosen.span)
    wanted = attacks.Attack(
        policy=chosen.policy,
        against=against,
        limits=limits,
        budget=chosen.budget,
        seed=chosen.seed,
        families=dict.fromkeys(families, 0.0),
    )
    attack = attacks.search(wanted, chosen.policy, _meter)
    jobs = 400_000 if chosen.simulate is None else chosen.simulate
    if jobs and (confirmed := _confirm(attack, jobs)):
        attack.jobs, (attack.simulated, attack.halfwidth) = jobs, confirmed
    said = {key: getattr(attack, key) for key in ("ratio", "error", "load", "sizes", "predictions", "families")}
    said["simulated"] = {"ratio": attack.simulated, "halfwidth": attack.halfwidth} if attack.jobs else None
    table = [["family", "worst ratio"], *([name, f"{ratio:.6g}"] for name, ratio in attack.families.items())]
    text = [
        f"Ratio {attack.ratio:.6g}, with an error of {attack.error:.1g}, at load {attack.load:g}.",
        f"Simulated: {attack.simulated:.4f} +- {attack.halfwidth:.2g} (95%)." if attack.jobs else "Not simulated.",
        f"Sizes: {attack.sizes}\nPredictions: {attack.predictions}\n",
        columns(table, right=(1,)),
        f"\nThe instance again: {attack.again}\nThe search again: {attack.search}",
    ]
    return attack, said | {"replay": attack.again, "search": attack.search}, "\n".join(text)


def _confirm(attack: attacks.Attack, jobs: int) -> tuple[float, float] | None:
    """The ratio on the same jobs in ten replications, and its 95% half-width; None where that cannot be told."""
    from openqueues.models.laws import joint_law
    from openqueues.models.queues import simulate
    from openqueues.models.streams import derive_seed
    from openqueues.statistics import mean_and_halfwidth

    joint = joint_law(attack.sizes, attack.predictions)
    rarest = 1.0 if joint.sizes.atoms is None else float(joint.sizes.atoms[1].min())
    if rarest * jobs < SEEN:
        said = f"one job in {1 / rarest:.3g} is of the rarest size, too few of {jobs} to confirm the worst"
        print(f"openqueues: {said}: give --simulate {SEEN / rarest:.0e} or a smaller --span.", file=sys.stderr)
        return None

    def ratio(number: int) -> float | None:
        seed = derive_seed("attack", attack.sizes, attack.predictions, attack.load, number)
        means = []
        for policy in (attack.policy, attack.against):
            values = simulate(joint, attack.load, policy, seed, jobs)
            if values["unstable"]:
                return None
            means.append(values["mean_response"])
        return means[0] / means[1]

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        ratios = list(pool.map(ratio, range(REPLICATIONS)))
    if None in ratios:
        said = f"{jobs} jobs are too few to tell whether the worst is stable at load {attack.load:g}"
        print(f"openqueues: {said}: give --simulate more.", file=sys.stderr)
        return None
    mean, halfwidth = mean_and_halfwidth(ratios)
    return float(mean), float(halfwidth)


def _cache(chosen: argparse.Namespace) -> tuple[attacks.Attack, dict, str]:
    """(the worst instance, what is said of it as JSON, the same as text)."""
    from openqueues.models.llm import worst

    policy = _cache_policy(chosen.policy)
    given = {name: getattr(chosen, name) for name in CACHE[:-1] if getattr(chosen, name) is not None}
    common = {"policy": chosen.policy, "against": "optimum", "budget": chosen.budget, "seed": chosen.seed}
    if chosen.instance is not None:
        if given:
            raise InputError(f"--instance says all of an instance: leave out --{next(iter(given)).replace('_', '-')}.")
        if chosen.record is not None:
            raise InputError("--instance shows an instance, and --record keeps what a search finds: leave out one.")
        attack = attacks.Attack(**common, limits={}, instance=chosen.instance)
    else:
        limits = worst.Limits(**given)
        given = {"requests": limits.requests, "memory": limits.memory, "last_arrival": limits.last_arrival} | given
        wanted = attacks.Attack(**common, limits=given)
        attack = attacks.search(wanted, policy, _meter)
    requests = worst.Requests.of(attack.instance)
    compared = worst.compare(requests, policy)
    table = [["arrival", "prompt", "output", "predicted", "ends", "optimum starts", "ends"]]
    for i, output in enumerate(requests.outputs):
        start = int(compared.best_start[i])
        told = f"{requests.lower[i]}-{requests.upper[i]}"
        line = [requests.arrivals[i], requests.prompts[i], output, told, compared.finish[i], start, start + output]
        table.append([str(value) for value in line])
    said = {"ratio": compared.ratio, "total": compared.total, "optimum": compared.optimum, "replay": attack.again}
    text = (
        f"Total latency: {compared.total} slots, of the optimum {compared.optimum}, ratio {compared.ratio:.4f}\n\n"
        f"{columns(table, right=range(len(table[0])))}\n\nThe instance again: {attack.again}"
    )
    if chosen.instance is None:
        said["search"] = attack.search
        text += f"\nThe search again: {attack.search}"
    return attack, said, text


def _cache_policy(name: str) -> str:
    """What the server is handed: a file by its path, or the policy of that name in the one entry that has it."""
    if policies.is_path(name):
        return name
    stem = name.partition(":")[0].strip()
    known = [(entry, own) for entry in registry.entries() for own in entry.own_policies]
    # Every policy of the unit-time server says what it takes for the output; other decisions are not about memory.
    known = [(entry, own) for entry, own in known if "estimate" in registry.policy(entry, own).parameters]
    owners = [entry for entry, own in known if own == stem]
    if not owners:
        from openqueues.models.analysis import analysable

        raise unknown("policy to attack", stem, [*analysable(), *(own for _, own in known)])
    if len(owners) > 1:
        slugs = ", ".join(entry.slug for entry in owners)
        raise InputError(f"the entries {slugs} each have a policy '{stem}': give the path of its file.")
    return registry.policy_argument(owners[0], name)


def _meter(what: str, budget: int):
    """On a terminal, one line that is overwritten as instances are looked at; elsewhere one that says what began."""
    if not sys.stderr.isatty():
        print(f"{what}: {budget} instances", file=sys.stderr, flush=True)
        return None

    def report(done: int, ratio: float) -> None:
        end = "\r" if done < budget else "\x1b[K\r"
        print(f"\r\x1b[K{what}: {done}/{budget} instances, worst {ratio:.4f}", end=end, file=sys.stderr, flush=True)

    return report
