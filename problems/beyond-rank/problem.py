"""Policies under bounded errors of prediction, by the worst ratio to SRPT over a family of laws.

A point has the keys load, factor and, if wanted, sizes and errors (a law, or "all" for the family). The
predictions of a job of size x lie between x / factor and x * factor. SRPT serves the same jobs.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from openqueues.models import mg1, queues
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import size_law
from openqueues.models.policies import is_path
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import choosing, fair

SIZES = ("exponential", "weibull:shape=0.5")
ERRORS = ("coin", "split-25", "split-50", "split-75", "reversed")
TURN = 2000  # jobs between two turns of the errors that turn


def simulate(point, policy, seed, jobs):
    """One replication: jobs counted in all, in equal parts for each pair of laws of the family.

    worst_ratio: the greatest ratio of mean response times to SRPT's over the family; worst_light and
    worst_heavy: over its parts with exponential and with Weibull sizes, 0 where the point leaves them out;
    mean_ratio: the geometric mean over the family; completed_share and unstable: the worst.
    """
    load, factor = point["load"], point["factor"]
    if not (isinstance(factor, int | float) and 1 <= factor < np.inf):
        raise InputError(f"factor is {factor}: predictions are wrong by a factor of 1 or more.")
    chosen = read_policy(policy)
    family = [
        (sizes, errors)
        for sizes in _of("sizes", point.get("sizes", "all"), SIZES)
        for errors in (_of("errors", point.get("errors", "all"), ERRORS, "turning") if factor > 1 else ERRORS[:1])
    ]
    each = max(jobs // len(family), 1)
    best, ratios, share, unstable = {}, {}, 1.0, 0.0
    for sizes, errors in family:
        joint = BoundedErrors(sizes, errors, float(factor))
        if sizes not in best:
            best[sizes] = queues.simulate(joint, load, "srpt", seed, each)["mean_response"]
        result = _run(joint, load, chosen, seed, each)
        ratios[sizes, errors] = result["mean_response"] / best[sizes]
        share = min(share, result["completed_share"])
        unstable = max(unstable, result["unstable"])
    return {
        "worst_ratio": max(ratios.values()),
        "worst_light": max((r for (sizes, _), r in ratios.items() if sizes == SIZES[0]), default=0.0),
        "worst_heavy": max((r for (sizes, _), r in ratios.items() if sizes == SIZES[1]), default=0.0),
        "mean_ratio": float(np.exp(np.mean(np.log(list(ratios.values()))))),
        "completed_share": share,
        "unstable": unstable,
    }


def exact(point, policy):
    """The ratios by analysis where predictions are exact, or where the policy does not look at them."""
    if is_path(policy) or (point["factor"] > 1 and read_policy(policy).information == "predictions"):
        return None
    ratios = {}
    for sizes in _of("sizes", point.get("sizes", "all"), SIZES):
        plain = {"sizes": sizes, "load": point["load"]}
        known = mg1.exact(plain, policy)
        if known is None:
            return None
        (mean, error), (best, doubt) = known["mean_response"], mg1.exact(plain, "srpt")["mean_response"]
        ratios[sizes] = mean / best, (error + doubt * mean / best) / best
    return {
        "worst_ratio": max(ratios.values()),
        "worst_light": ratios.get(SIZES[0], (0.0, 0.0)),
        "worst_heavy": ratios.get(SIZES[1], (0.0, 0.0)),
    }


def _of(key, value, family, *others):
    if value == "all":
        return family
    if value not in (*family, *others):
        raise unknown(key, str(value), [*family, *others, "all"])
    return (value,)


def _run(joint, load, policy, seed, jobs):
    """A replication by the kernel for the policy: ranks, weights beside a virtual system, or choices."""
    told = {name: value for name, value in joint.parameters.items() if name in policy.parameters}
    policy = replace(policy, parameters=policy.parameters | told)
    kernel = queues
    if policy.shape == "decision":
        kernel = fair if set(policy.sees) & set(fair.VIRTUAL) else choosing
    return kernel.simulate(joint, load, policy, seed, jobs)


class BoundedErrors:
    """Sizes and predictions between size / factor and size * factor, as the kernels' drivers take a joint law.

    coin: factor or 1 / factor by a fair coin. split-p: the jobs that bring the first p percent of the work are
    taken for longer, the others for shorter. reversed: within each block of sizes from factor^k to
    factor^(k+1) the order is turned round. turning (not in the family): split-50 for 2000 jobs, its opposite for
    the next 2000, and so on; in the long run the law of coin.
    """

    def __init__(self, sizes, errors, factor):
        self.sizes, self.errors, self.factor = _sizes(sizes), errors, factor
        self.is_exact = factor == 1
        self.kind, _, share = errors.partition("-")
        self.threshold = np.inf
        if self.kind in ("split", "turning"):
            self.threshold = _cut(self.sizes, int(share or 50) / 100)
        self.seen = 0

    @property
    def parameters(self):
        """What a policy with parameters of these names is told."""
        weibull = {"shape": getattr(self.sizes, "shape", 1.0), "scale": getattr(self.sizes, "scale", 1.0)}
        kind = 0 if self.is_exact else {"coin": 1, "turning": 1, "split": 2, "reversed": 3}[self.kind]
        return {"kind": kind, "factor": self.factor, "threshold": self.threshold, **weibull}

    def fill_predictions(self, rng, sizes, out):
        rng.random(out=out)
        if self.kind == "reversed":
            log = np.log(self.factor)
            place = np.log(sizes) / log
            np.multiply(sizes, np.exp(log * (2 * np.floor(place) + 1 - 2 * place)), out=out)
            return
        longer = out < 0.5 if self.kind == "coin" else sizes < self.threshold
        if self.kind == "turning":
            longer ^= (self.seen + np.arange(len(sizes))) // TURN % 2 == 1
        self.seen += len(sizes)
        np.multiply(sizes, np.where(longer, self.factor, 1 / self.factor), out=out)


@cache
def _sizes(text):
    return size_law(text)


@cache
def _cut(sizes, share):
    """The size up to which this share of the work comes."""
    from scipy.optimize import brentq

    low, high = float(sizes.ppf(1e-9)), float(sizes.ppf(1 - 1e-12))
    return brentq(lambda x: float(sizes.partial_moment(1, x)) - share * sizes.mean, low, high)
