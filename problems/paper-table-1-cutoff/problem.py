"""Table 1's PSPJF and SPRPT integrals, stopped at a finite prediction: nothing is simulated.

Exponential sizes with mean 1 and exponential predictions. With P_k(y) = 2 y^(k/2) K_k(2 sqrt(y)) the density of
the prediction is P_0, the load of jobs predicted below y is load (1 - P_2), and their second moment is 2 - P_3.
"""

import math

from openqueues.models.errors import unknown
from scipy.integrate import quad
from scipy.special import kv


def simulate(point, policy, seed, jobs):
    """{"mean_response": the integral up to point["cutoff"]}; seed and jobs are not used."""
    return {name: value for name, (value, _) in exact(point, policy).items()}


def exact(point, policy):
    """The integral up to the prediction point["cutoff"], with the quadrature's error estimate."""
    if policy not in ("pspjf", "sprpt"):
        raise unknown("policy with a cut integral", policy, ("pspjf", "sprpt"))
    load = point["load"]
    # SPRPT: a job waits for less recycled work, 2/e of it, and 1/e of its service cannot be interrupted.
    share = 1.0 if policy == "pspjf" else 1 - 1 / math.e

    def integrand(root):
        y = root * root
        p0, p1, p2, p3 = (2 * y ** (k / 2) * kv(k, 2 * root) for k in range(4))
        free = 1 - load * (1 - p2)
        seen = 2 - p3 if policy == "pspjf" else 2 - 2 / math.e * p3
        return 2 * root * (share * p1 / free + load * p0 * seen / (2 * free * free))

    value, error = quad(integrand, 0, math.sqrt(point["cutoff"]), epsabs=1e-10, epsrel=1e-10, limit=200)
    return {"mean_response": (value + 1 - share, error)}
