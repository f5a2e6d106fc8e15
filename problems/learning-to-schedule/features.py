"""Features of jobs, drawn given their sizes so that the law of the sizes stays what it is, and the mean given them.

Synthetic features of a size with quantile u: let z be the normal quantile of u. A job is clear or vague, by a fair
coin v. The feature s is the standard normal number that has the correlation r with z, r = 0.95 for a clear job and
0.3 for a vague one. So log size = f(s, v) + noise whose spread depends on v, whatever the law of the sizes.
The measured data have one feature, the class that a classifier of five classes announced.
"""

from functools import cache

import numpy as np
from openqueues.models.errors import unknown

CLEAR, VAGUE = 0.95, 0.3
MODELS = ("linear", "full")
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def draw(joint, rng, sizes):
    """Features of these sizes: (n, 2) of s and v, or (n,) of announced classes; the same drawn in pieces."""
    if joint.classes is not None:
        announced = np.empty(len(sizes))
        joint.fill_predictions(rng, sizes, announced)
        return np.searchsorted(joint.classes.values, announced)
    from scipy.special import ndtri

    # Not u but 1 - u in the upper half: u itself rounds to 1 far in the tail.
    sf = joint.sizes.sf(sizes)
    z = np.where(sf < 0.5, -ndtri(sf), ndtri(joint.sizes.cdf(sizes)))
    # One exponential and one uniform number per job would need two calls; rows keep pieces equal to the whole.
    uniform = rng.random((len(sizes), 2))
    vague = uniform[:, 0] < 0.5
    r = np.where(vague, VAGUE, CLEAR)
    return np.column_stack((r * z + np.sqrt(1 - r**2) * ndtri(uniform[:, 1]), vague))


def design(features, model):
    """The columns that a score is a linear function of: (n, d).

    linear: 1, s, v; of classes 1 and the number of the class. full: the s of clear and of vague jobs apart, and
    their squares; one column for each class.
    """
    if model not in MODELS:
        raise unknown("model", str(model), MODELS)
    if features.ndim == 1:
        return np.column_stack((np.ones(len(features)), features)) if model == "linear" else np.eye(5)[features]
    s, v = features.T
    one = np.ones(len(s))
    if model == "linear":
        return np.column_stack((one, s, v))
    return np.column_stack((one, s, v, s * v, s**2, s**2 * v))


def conditional_mean(joint, features):
    """The mean size given the features: (n,). By Gauss-Hermite quadrature on a grid of s, read off by interpolation."""
    if features.ndim == 1:
        return class_means(joint)[features]
    s, v = features.T
    grid, clear, vague = table(joint.sizes)
    return np.exp(np.where(v > 0.5, np.interp(s, grid, vague), np.interp(s, grid, clear)))


@cache
def class_means(joint):
    """E[size | announced class] of the measured data."""
    sizes, weights = joint.sizes.atoms
    together = weights[:, None] * joint.classes.probability(sizes)
    return (sizes @ together) / together.sum(axis=0)


@cache
def table(sizes):
    """(grid of s, log of E[size | s, clear], the same for vague)."""
    from scipy.special import ndtr

    grid = np.linspace(-7.0, 7.0, 561)
    logs = []
    for r in (CLEAR, VAGUE):
        z = r * grid[:, None] + np.sqrt(1 - r**2) * NODES
        upper = z > 0
        # The upper half by the survival function, which keeps its digits there.
        value = np.where(upper, _upper(sizes, ndtr(-z)), sizes.ppf(np.where(upper, 0.5, ndtr(z))))
        logs.append(np.log(value @ WEIGHTS / WEIGHTS.sum()))
    return grid, *logs


def _upper(sizes, sf):
    """The size that is exceeded with probability sf; past what 1 - sf can hold, the last that can be told."""
    return sizes.ppf(1.0 - np.maximum(sf, 1e-16))
