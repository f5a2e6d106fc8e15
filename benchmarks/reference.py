"""Exact mean response times of the timed queues, independent of openqueues' analysis: one integral each."""

from functools import cache
from math import exp, sqrt

from scipy.integrate import quad
from scipy.special import kv

ACCURACY = 1e-9


@cache
def mean_response(policy: str, load: float) -> float:
    """E[T] of M/M/1 with mean size 1 (and, for SPRPT, predictions exponential with the size as mean).

    FCFS: 1 / (1 - load). SRPT: Schrage and Miller (1966). SPRPT: Mitzenmacher (2019), whose double integrals
    collapse for exponential predictions to P_k(y) = int x^(k-1) f(x) exp(-y/x) dx, Bessel functions here.
    """
    if policy == "fcfs":
        return 1 / (1 - load)
    return _srpt(load) if policy == "srpt" else _sprpt(load)


def _integrate(function):
    ends = [0.0, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]  # the rest is below 1e-15
    return sum(quad(function, a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in zip(ends, ends[1:], strict=False))


def _srpt(load):
    def integrand(x):
        square = 2 - (x * x + 2 * x + 2) * exp(-x) + x * x * exp(-x)
        free = 1 - load * (1 - (1 + x) * exp(-x))
        return exp(-x) * (load * square / (2 * free**2) + 1 / free)

    return _integrate(integrand)


def _sprpt(load):
    def integrand(y):
        p0, p1, p2, p3 = (2 * y ** (k / 2) * kv(k, 2 * sqrt(y)) for k in range(4))
        free = 1 - load * (1 - p2)
        return p0 * load * (2 - 2 * p3 / exp(1)) / (2 * free**2) + (1 - exp(-1)) * p1 / free

    return _integrate(integrand) + exp(-1)
