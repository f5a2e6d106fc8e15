"""High efficiency first: each server goes to the job that then has the highest predicted speed per server."""

SEES = ("given", "predicted_power")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(given, predicted_power):
    # Any job uses one server fully: among those that have none, the most parallel one comes first.
    return (given + 1.0) ** (predicted_power - 1.0) + 1e-6 * predicted_power
