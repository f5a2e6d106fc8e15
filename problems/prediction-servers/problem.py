"""Prediction servers before the queue. A point has the keys sizes, load, cost and station (and predictions).

cost is the time of a prediction on a whole machine. station: `one` or `two` machines beside the server; `split`, the
server's own machine divided into a prediction server and a slower server; `many`, so many that none is waited for.
"""

from openqueues.models import mg1
from openqueues.models.analysis.costs_exact import share_cost
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import predicting

STATIONS = {"one": 1, "two": 2, "many": 1000, "split": 1}


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    costs = _costs(point["load"], point["cost"], point["station"], read_policy(policy).name != "in-line")
    return predicting.simulate(_joint(point), point["load"], policy, seed, jobs, costs)


def exact(point, policy):
    """The mean cost by analysis, where it is known: not for a station at which jobs wait."""
    joint, load, cost = _joint(point), point["load"], point["cost"]
    name = read_policy(policy).name
    if name == "in-line":
        try:
            return {"mean_cost": share_cost(joint, load, 1.0, 1.0, cost, "server")}
        except InputError:
            return None
    if name == "station" and point["station"] == "many":
        return {"mean_cost": share_cost(joint, load, 1.0, 1.0, cost)}  # departures of M/D/infinity are Poisson
    known = mg1.exact({"sizes": point["sizes"], "predictions": joint.predictions.spec, "load": load}, policy)
    return known and {"mean_cost": known["mean_response"]}


def _costs(load, cost, station, uses_station):
    if station not in STATIONS:
        raise unknown("station", str(station), STATIONS)
    common = {"model": "server", "full": cost, "stations": STATIONS[station]}
    if station != "split" or not uses_station:
        return predicting.Costs(**common, station_time=cost)
    # What is left of the machine beyond both needs is divided evenly between them.
    share = load * cost + max(1 - load * (1 + cost), 0.0) / 2 if load * (1 + cost) < 1 else cost / (1 + cost)
    return predicting.Costs(**common, station_time=cost / share, rate=1 - share)


def _joint(point):
    return joint_law(point["sizes"], point.get("predictions", "exponential"))
