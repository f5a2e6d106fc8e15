"""M/G/k with predictions; points with a key `patience` are queues that jobs abandon."""

from functools import cache

from openqueues.models import mg1
from openqueues.models.analysis import servers as analysis
from openqueues.models.laws import joint_law
from openqueues.models.queues import abandonment, servers
from openqueues.models.spec import parse_spec


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of queues.servers or queues.abandonment."""
    joint, load, k = _joint(point["sizes"], point["predictions"]), point["load"], point["servers"]
    if "patience" in point:
        return abandonment.simulate(joint, load, k, point["patience"], _two_class(joint, load, policy), seed, jobs)
    return servers.simulate(joint, load, k, policy, seed, jobs) | {"abandoned_share": 0.0}


def exact(point, policy):
    """One server; first come first served with exponential sizes, patient or with exponential patience."""
    load, k = point["load"], point["servers"]
    blind = policy == "fcfs" and point["sizes"] == "exponential"
    if "patience" in point:
        name, given = parse_spec(point["patience"], "patience")
        if not blind or name != "exponential":
            return None
        values = analysis.erlang_a(k, load, given.get("mean", 1.0))
        return {metric: (values[metric], 1e-12) for metric in ("mean_response", "abandoned_share")}
    if k == 1:
        return mg1.exact(point, policy)
    return {"mean_response": (analysis.erlang_c_response(k, load), 1e-12)} if blind else None


def bound(point):
    """What no policy can beat, whatever it knows."""
    if "patience" in point:
        joint = _joint(point["sizes"], point["predictions"])
        return {"abandoned_share": (1 - analysis.served_limit(joint, point["load"], "size"), 1e-9)}
    return {"mean_response": analysis.pooled_lower(point["sizes"], point["load"], point["servers"])}


def _two_class(joint, load, policy):
    """onebit without a threshold gets the one at which the short jobs are all that the servers can do."""
    name, given = parse_spec(policy, "policy")
    if name != "onebit" or "threshold" in given:
        return policy
    return policy + ("," if given else ":") + f"threshold={_critical(joint, load)!r}"


@cache
def _critical(joint, load):
    return analysis.critical_threshold(joint, load)


@cache
def _joint(sizes, predictions):
    return joint_law(sizes, predictions)
