"""Analysis and simulation agree, for every policy, law and load, and would not if either were 1% off."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from openqueues.models.analysis import mean_response
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate

POLICIES = (
    "fcfs lcfs ps las sjf psjf srpt spjf pspjf sprpt bounce onebit onebit:preemptive=false onebit-true "
    "onebit-true:preemptive=false kbit:bits=2 kbit:bits=3,preemptive=false"
).split()
LOADS = (0.5, 0.8, 0.9)
# Jobs a replication at each load: heavy tails and heavy traffic need more for the same precision.
GRID = [
    ("exponential", "exponential", dict(zip(LOADS, (200_000, 200_000, 500_000), strict=True))),
    ("weibull:shape=0.5", "exponential", dict(zip(LOADS, (200_000, 800_000, 2_500_000), strict=True))),
]
MORE = [
    ("exponential", "uniform:a=0.5"),
    ("exponential", "kbit:bits=2"),
    ("lognormal:sigma=1", "lognormal:sigma=0.5"),
    ("uniform", "bounded:low=0.5,high=2"),
    ("hyperexponential:scv=4", "confusion:threshold=1,miss=0.2,false_alarm=0.1"),
    ("ssjf", "ssjf:classes=5"),
]
Z = 4.0  # some two hundred comparisons: a true one exceeds this once in ten thousand


def estimate(joint, load, policy, jobs, replications):
    """Mean response time and its standard error, with the mean work, whose value is known, as a control."""
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda seed: simulate(joint, load, policy, seed, jobs), range(replications)))
    response = np.array([run["mean_response"] for run in runs])
    rate = load / joint.sizes.mean
    work = np.array([run["mean_work"] for run in runs]) - rate * joint.sizes.moment(2) / (2 * (1 - load))
    design = np.column_stack([np.ones(replications), work])
    coefficients, residual, *_ = np.linalg.lstsq(design, response)
    variance = residual[0] / (replications - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return coefficients[0], math.sqrt(variance)


def check(sizes, predictions, load, policy, jobs, replications=24):
    joint = joint_law(sizes, predictions)
    result = mean_response(joint, load, policy)
    assert result.error <= 1e-6 * result.mean_response
    value, error = estimate(joint, load, policy, jobs, replications)
    assert abs(value - result.mean_response) <= Z * error
    for wrong in (0.99, 1.01):
        assert abs(value - wrong * result.mean_response) > Z * error, "too few jobs to see an error of 1%"


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("sizes", "predictions", "jobs"), GRID)
def test_simulation_agrees_with_analysis(sizes, predictions, jobs, policy, load):
    check(sizes, predictions, load, policy, jobs[load])


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("sizes", "predictions"), MORE)
def test_simulation_agrees_with_analysis_for_other_laws(sizes, predictions, policy, load):
    check(sizes, predictions, load, policy, jobs=2_500_000)
