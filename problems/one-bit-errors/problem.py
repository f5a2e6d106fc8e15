"""One bit with errors of several kinds, each tuned so that the share of wrong bits is the one that is wanted.

A point has the keys sizes, load, model, error_rate and, if wanted, boundary. A job is truly long when its size
exceeds T, the best threshold for correct bits without preemption, or with it where boundary is "preemption". An
error rate is a number, or "exponential": the rate of the bit that an exponential prediction gives at T.
"""

from functools import cache

import numpy as np
from openqueues.models import mg1
from openqueues.models.analysis import optimal_threshold
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law, size_law

# Models with a parameter to tune: the law's text and the largest value of the parameter.
TUNED = {
    "margin": ("margin:threshold={threshold!r},scale={parameter!r}", 1e3),
    "lognormal": ("onebit:threshold={threshold!r},of=lognormal,sigma={parameter!r}", 10.0),
    "uniform": ("onebit:threshold={threshold!r},of=uniform,a={parameter!r}", 1.0),
}
EXPONENTIAL = "onebit:threshold={threshold!r},of=exponential"
BOUNDARIES = ("no preemption", "preemption")
MODELS = ("symmetric", "miss", "false-alarm", "exponential", *TUNED)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.mg1."""
    return mg1.simulate(_plain(point), policy, seed, jobs)


def exact(point, policy):
    """The mean response time by analysis."""
    return mg1.exact(_plain(point), policy)


def _plain(point):
    sizes, load, boundary = point["sizes"], point["load"], point.get("boundary", BOUNDARIES[0])
    law = predictions(sizes, load, boundary, point["model"], point["error_rate"])
    return {"sizes": sizes, "predictions": law, "load": load}


@cache
def predictions(sizes, load, boundary, model, rate):
    """The prediction law of this model whose share of wrong bits is `rate`; InputError where there is none."""
    if boundary not in BOUNDARIES:
        raise unknown("boundary", boundary, BOUNDARIES)
    if model not in MODELS:
        raise unknown("model", model, MODELS)
    threshold = optimal_threshold(joint_law(sizes, "exact"), load, boundary == "preemption", on="size")
    exponential = EXPONENTIAL.format(threshold=threshold)
    if rate == "exponential":
        rate = error_rate(sizes, exponential, threshold)
    elif model == "exponential":
        raise InputError("the model 'exponential' has no parameter: use it at the error rate 'exponential'.")
    if model == "exponential":
        return exponential
    if rate == 0:
        return f"onebit:threshold={threshold!r}"
    if model in TUNED:
        return _tuned(sizes, model, threshold, rate)
    short = float(size_law(sizes).cdf(threshold))
    miss, alarm = {
        "symmetric": (rate, rate),
        "miss": (rate / (1 - short), 0.0),
        "false-alarm": (0.0, rate / short),
    }[model]
    if max(miss, alarm) > 1:
        raise InputError(f"model '{model}' cannot have the error rate {rate:g}: too few jobs can be misjudged.")
    return f"confusion:threshold={threshold!r},miss={miss!r},false_alarm={alarm!r}"


def error_rate(sizes, law, threshold):
    """The share of jobs whose bit is wrong: P(called long, X <= T) + P(called short, X > T).

    Gauss-Legendre quadrature in u = P(X <= x), in pieces between the points where the integrand is not smooth.
    """
    joint = joint_law(sizes, law)
    cuts = joint.sizes.cdf(np.array([threshold, *joint.classes.breakpoints]))
    cuts = np.unique(np.concatenate(([0.0, 1.0], cuts[(cuts > 0) & (cuts < 1)])))
    half = np.diff(cuts)[:, None] / 2
    u = (cuts[:-1, None] + half * (1 + NODES)).ravel()
    x = joint.sizes.ppf(u)
    long = joint.classes.probability(x)[:, 1]
    wrong = np.where(x <= threshold, long, 1 - long)
    return float(wrong @ (half * WEIGHTS).ravel())


def _tuned(sizes, model, threshold, rate):
    from scipy.optimize import brentq

    text, largest = TUNED[model]

    def law(log_parameter):
        return text.format(threshold=threshold, parameter=min(float(np.exp(log_parameter)), largest))

    def excess(log_parameter):
        return error_rate(sizes, law(log_parameter), threshold) - rate

    low, high = np.log(1e-4), np.log(largest)
    if excess(high) < 0:
        raise InputError(
            f"model '{model}' has an error rate of at most {excess(high) + rate:.3g} here: ask for no more than that."
        )
    return law(brentq(excess, low, high, xtol=1e-13))
