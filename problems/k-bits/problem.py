"""Classes of predictions by k bits: a point's key `bits` sets the bits of the policy kbit; others see all of it."""

from openqueues.models import mg1


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.mg1."""
    return mg1.simulate(point, _with_bits(policy, point["bits"]), seed, jobs)


def exact(point, policy):
    """The mean response time and its percentiles by analysis."""
    return mg1.exact(point, _with_bits(policy, point["bits"]), ("p99", "p999"))


def _with_bits(policy, bits):
    name, _, parameters = policy.partition(":")
    return f"{name}:bits={bits}" + (f",{parameters}" if parameters else "") if name == "kbit" else policy
