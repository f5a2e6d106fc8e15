"""Each server goes where it adds the most predicted speed; the jobs that gain less from more are served first."""

SEES = ("gain", "predicted_power")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(gain, predicted_power):
    # A first server adds the same speed to every job: then the job that could use more of them later waits.
    return gain - 1e-6 * predicted_power
