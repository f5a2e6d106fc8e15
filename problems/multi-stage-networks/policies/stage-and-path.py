"""Short stages first, those of jobs that are nearly done, and on their critical path, before others."""

SEES = ("predicted", "remaining_path", "job_path")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(predicted, remaining_path, job_path):
    # job_path / remaining_path exceeds 1 where another branch of the job holds it up anyway; sqrt weighs what is
    # left of the job.
    return predicted * job_path / (remaining_path + 1e-12) ** 0.5
