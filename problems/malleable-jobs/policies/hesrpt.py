"""heSRPT: of M jobs, the i-th longest gets the part (i/M)^c - ((i-1)/M)^c of the servers, c = 1/(1 - power)."""

SEES = ("place", "jobs", "servers", "given", "predicted_power")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(place, jobs, servers, given, predicted_power):
    c = 1.0 / max(1.0 - predicted_power, 0.01)
    part = ((jobs - place) / jobs) ** c - ((jobs - place - 1.0) / jobs) ** c
    return servers * part - given
