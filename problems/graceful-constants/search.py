"""The search for bad instances: bands whose predictions stay within a factor of the sizes, worst for a policy.

    python -m openqueues.problems.graceful-constants.search bounce 4 --bands 3 --budget 60000 --seed 1

prints the worst instance found as a table of worst.toml, its constant E[T] / ((alpha/beta) E[T_SRPT]) and the
proven upper bound. The same arguments give the same instance.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError, unknown

from .bands import Bands, numbers

POLICIES = ("bounce", "pspjf", "sprpt", "fcfs")
WIDEST = 1e6  # largest ratio of the sizes of neighbouring bands
LEAST_GAP = 1e-3  # neighbouring bands differ by more than their width


@dataclass(frozen=True)
class Found:
    """The worst instance that a search met, for one policy, and its constant."""

    policy: str
    constant: float
    bands: Bands


def proven(policy: str, ratio: float, high: float | None = None) -> float:
    """The proven upper bound on the constant of a policy; infinity where there is none.

    ratio = alpha/beta; high = alpha, without which the bound holds for every alpha. The entry's statement has
    the proof.
    """
    if policy in ("psjf", "pspjf"):
        other = 1.0
    elif policy == "bounce":
        # alpha >= ratio says that beta >= 1, for which the proof is better.
        other = 1 + (2 * ratio if high is None else ratio if high >= ratio else 2 * high)
    else:
        return math.inf
    return (1 + math.hypot(1, other / ratio)) / 2


def constant(policy: str, bands: Bands) -> float:
    """E[T] / ((alpha/beta) E[T_SRPT]) of the instance."""
    return bands.numbers[policy] / (bands.error_ratio * bands.numbers["srpt"])


def search(
    policy: str,
    ratio: float,
    bands: int = 3,
    budget: int = 20_000,
    seed: int = 0,
    around: bool = True,
    load: float = 0.9995,
) -> Found:
    """The instance of `bands` bands with alpha/beta <= ratio on which `policy` is worst.

    beta <= 1 <= alpha if `around`, else beta may lie a factor of 8 outside of that. The load is at most `load`.
    Differential evolution over loads, sizes, factors and beta, then Nelder and Mead from the best point;
    `budget` bounds the number of instances looked at (some thousands a second). InputError for a bad argument.
    """
    from scipy.optimize import differential_evolution, minimize

    if policy not in POLICIES:
        raise unknown("policy of the search", policy, POLICIES)
    if not (isinstance(ratio, int | float) and 1 <= ratio < math.inf):
        raise InputError(f"ratio is {ratio}: alpha/beta is a finite number of at least 1.")
    if not 0 < load < 1:
        raise InputError(f"load is {load}: the largest load of an instance is above 0 and below 1.")
    if bands < 1 or budget < 100:
        raise InputError(f"bands is {bands} and budget {budget}: give at least 1 band and 100 instances.")

    def cost(z):
        loads, sizes, factors = _instance(np.clip(z, 0, 1), bands, ratio, around, load)
        found = numbers(loads, sizes, factors, (policy, "srpt"))
        return -found[policy] / (ratio * found["srpt"])

    dimensions = 3 * bands + 1
    members = max(15, 5 * dimensions)
    evolved = differential_evolution(
        cost,
        [(0, 1)] * dimensions,
        rng=seed,
        popsize=members // dimensions,
        maxiter=max(1, int(0.8 * budget / members) - 1),
        tol=1e-10,
        polish=False,
        init="sobol",
    )
    best = minimize(
        cost, evolved.x, method="Nelder-Mead", options={"maxfev": budget // 5, "xatol": 1e-9, "fatol": 1e-12}
    )
    z = best.x if best.fun < evolved.fun else evolved.x
    loads, sizes, factors = _instance(np.clip(z, 0, 1), bands, ratio, around, load)
    order = np.argsort(sizes)
    found = Bands(*(tuple(float(v) for v in values[order]) for values in (loads, sizes, factors)))
    return Found(policy, -min(best.fun, evolved.fun), found)


def _instance(z, bands, ratio, around, load):
    """Loads, sizes and factors from a point of the unit cube; sizes ascend from 1."""
    # Equal steps in log(1 / (1 - load)) matter equally.
    depth = -math.log1p(-load) * z[0]
    parts = z[1 : bands + 1] + 1e-4
    free = np.exp(-max(depth, 1e-6) * np.concatenate(([0.0], np.cumsum(parts) / parts.sum())))
    gaps = np.log1p(LEAST_GAP) + np.log(WIDEST) * z[bands + 1 : 2 * bands] ** 3
    sizes = np.exp(np.concatenate(([0.0], np.cumsum(gaps))))
    low = ratio ** -z[2 * bands] if around else (64 * ratio) ** -z[2 * bands] * 8
    factors = low * ratio ** z[2 * bands + 1 :]
    return -np.diff(free), sizes, factors


def main(arguments: list[str] | None = None) -> None:
    """The command line of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("policy", choices=POLICIES)
    parser.add_argument("ratio", type=float, help="alpha/beta, at least 1")
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--budget", type=int, default=20_000, help="instances to look at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--any-beta", action="store_true", help="let [beta, alpha] lie beside 1")
    parser.add_argument("--load", type=float, default=0.9995, help="largest load")
    given = parser.parse_args(arguments)
    around = not given.any_beta
    try:
        found = search(given.policy, given.ratio, given.bands, given.budget, given.seed, around, given.load)
    except InputError as error:
        parser.error(str(error))
    bound = proven(given.policy, given.ratio)
    print(f"# constant {found.constant:.4f}; proven: at most {bound:.4f}\n[[instances]]")
    print(f'against = "{given.policy}"\nratio = {given.ratio:g}')
    for name, values in (("loads", "loads"), ("sizes", "values"), ("factors", "factors")):
        print(f"{name} = [{', '.join(map(repr, getattr(found.bands, values)))}]")


if __name__ == "__main__":
    main()
