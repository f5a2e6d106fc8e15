"""Distribution of the response time by inversion: closed forms, the analysis of the mean, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from openqueues.models import mg1
from openqueues.models.analysis import (
    TAILED,
    mean_response,
    quantiles,
    second_moment,
    tail_probability,
    tails,
)
from openqueues.models.analysis.tails_tables import FINE
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate

LEVELS = (0.5, 0.9, 0.99, 0.999)
NAMES = ("p50", "p90", "p99", "p999")
HEAVY = "weibull:shape=0.5"
POLICIES = (
    "fcfs lcfs ps las sjf psjf srpt spjf pspjf sprpt onebit onebit:preemptive=false onebit-true "
    "onebit-true:preemptive=false kbit kbit:bits=3,preemptive=false kbit:thresholds=equal"
).split()
LAWS = [
    ("exponential", "exponential"),
    (HEAVY, "exponential"),
    ("exponential", "uniform:a=0.5"),
    ("exponential", "kbit:bits=2"),
    ("lognormal:sigma=1", "lognormal:sigma=0.5"),
    ("uniform", "bounded:low=0.5,high=2"),
    ("hyperexponential:scv=4", "confusion:threshold=1,miss=0.2,false_alarm=0.1"),
    ("pareto:alpha=1.5,ratio=1000", "exact"),
    ("ssjf", "ssjf:classes=5"),
    ("ssjf", "exponential"),
]


def mean_by_transform(joint, load, policy):
    """E[T]: the limit of (1 - transform)/s at 0, extrapolated."""
    response = tails._Response(joint, load, policy)
    scale = response.quantile(0.999, joint.sizes.mean)[0]
    steps = np.arange(1.0, 5.0)
    s = 0.002 * steps / scale
    values = (1 - response.transform(scale, FINE)(s.astype(complex)).real) / s
    return np.linalg.solve(np.vander(steps, increasing=True), values)[0]


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_first_come_first_served_of_exponential_sizes_is_exponential(load):
    found = quantiles(joint_law("exponential", "exact"), load, "fcfs", LEVELS)
    assert list(found) == list(LEVELS)
    for level, (value, error) in found.items():
        exact = -math.log(1 - level) / (1 - load)
        assert abs(value - exact) <= error + 2e-5 * exact
        assert error < 1e-3 * value
    times = np.array([0.1, 1.0, 10.0, 50.0])
    tail = tail_probability(joint_law("exponential", "exact"), load, "fcfs", times)
    assert tail == pytest.approx(np.exp(-(1 - load) * times), abs=2e-6)


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_second_moments_in_closed_form(load):
    light, heavy = joint_law("exponential", "exact"), joint_law(HEAVY, "exact")
    idle = 1 - load
    work = load * heavy.sizes.moment(2) / (2 * idle)
    takacs = 2 * work**2 + load * heavy.sizes.moment(3) / (3 * idle) + 2 * work + heavy.sizes.moment(2)
    cases = [
        (light, "fcfs", 2 / idle**2),
        (heavy, "fcfs", takacs),
        (light, "lcfs", 2 / idle**3),
        (light, "ps", 4 / (idle**2 * (2 - load))),
    ]
    for joint, policy, exact in cases:
        value, error = second_moment(joint, load, policy)
        assert value == pytest.approx(exact, rel=5e-4)
        assert error < 2e-3 * exact


def mean_agrees(sizes, predictions, policy, load):
    joint = joint_law(sizes, predictions)
    if policy == "ps" and joint.sizes.atoms is not None:
        return
    assert mean_by_transform(joint, load, policy) == pytest.approx(
        mean_response(joint, load, policy).mean_response, rel=2e-3
    )


@pytest.mark.parametrize(
    ("sizes", "predictions", "policy"),
    [
        (HEAVY, "exponential", "sprpt"),
        ("exponential", "uniform:a=0.5", "sprpt"),
        ("exponential", "kbit:bits=2", "sprpt"),
        ("exponential", "lognormal:sigma=0.5", "pspjf"),
        ("exponential", "lognormal:sigma=0.5", "spjf"),
        (HEAVY, "exponential", "kbit"),
        (HEAVY, "exact", "las"),
        ("ssjf", "exact", "srpt"),
        ("ssjf", "exponential", "sprpt"),
    ],
)
def test_mean_of_the_transform_is_that_of_the_analysis(sizes, predictions, policy):
    mean_agrees(sizes, predictions, policy, 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.9])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("sizes", "predictions"), LAWS)
def test_mean_of_the_transform_is_that_of_the_analysis_everywhere(sizes, predictions, policy, load):
    mean_agrees(sizes, predictions, policy, load)


def test_policies_that_come_to_the_same():
    def of(policy, sizes=HEAVY, predictions="exact"):
        return [value for value, _ in quantiles(joint_law(sizes, predictions), 0.8, policy, (0.5, 0.99)).values()]

    assert of("pspjf") == of("psjf") and of("sprpt") == of("srpt") and of("spjf") == of("sjf")
    first = of("fcfs")
    for policy in ("pspjf", "spjf", "onebit:preemptive=false"):
        assert of(policy, predictions="constant") == pytest.approx(first, rel=2e-4)
    assert of("onebit-true:threshold=1,preemptive=false") == pytest.approx(
        of("spjf", predictions="onebit:threshold=1"), rel=1e-3
    )
    scaled = of("sprpt", "weibull:shape=0.5,mean=3", "lognormal:sigma=1")
    assert scaled == pytest.approx([3 * v for v in of("sprpt", HEAVY, "lognormal:sigma=1")], rel=1e-3)
    # Narrow noise is nearly none.
    assert of("sprpt", HEAVY, "lognormal:sigma=0.02") == pytest.approx(of("srpt"), rel=5e-3)


def check(sizes, policy, load, jobs, replications, seen):
    """Every quantile within four standard errors of simulation, which are at most a quarter of `seen`."""
    joint = joint_law(sizes, "exponential")
    found = quantiles(joint, load, policy, LEVELS)
    runs = [simulate(joint, load, policy, 1000 + seed, jobs) for seed in range(replications)]
    for level, name, least in zip(LEVELS, NAMES, seen, strict=True):
        values = np.array([run[name] for run in runs])
        error = values.std(ddof=1) / math.sqrt(replications)
        value, doubt = found[level]
        assert doubt < 0.01 * value
        if least:
            # A quantile of the tally is interpolated within a bin: up to a thousandth.
            assert abs(values.mean() - value) <= 4 * error + 1e-3 * value, (name, values.mean(), value, error)
            assert 4 * error + 1e-3 * value < least * value, "too few jobs to see such an error"


@pytest.mark.parametrize("policy", POLICIES)
def test_simulation_agrees(policy):
    check("exponential", policy, 0.5, 60_000, 16, (0.02, 0.04, 0.1, None))


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("sizes", "load", "jobs"),
    [
        ("exponential", 0.5, 500_000),
        ("exponential", 0.8, 1_000_000),
        ("exponential", 0.9, 3_000_000),
        (HEAVY, 0.5, 1_000_000),
        (HEAVY, 0.8, 3_000_000),
        (HEAVY, 0.9, 8_000_000),
    ],
)
def test_long_simulations_agree(sizes, load, jobs, policy):
    check(sizes, policy, load, jobs, 12, (0.04, 0.05, 0.09, 0.12))


def test_the_entries_door_adds_quantiles_when_asked():
    point = {"sizes": "exponential", "predictions": "exponential", "load": 0.8}
    assert set(mg1.exact(point, "fcfs")) == {"mean_response"}
    metrics = mg1.exact(point, "fcfs", ("p99", "p999"))
    assert metrics["p999"][0] == pytest.approx(-math.log(0.001) / 0.2, rel=1e-4)
    assert set(metrics) == {"mean_response", "p99", "p999"}
    assert set(mg1.exact(point, "bounce", ("p99",))) == {"mean_response"}
    assert mg1.exact(point, "mine", ("p99",)) is None
    with pytest.raises(InputError, match="unknown quantile 'p95'"):
        mg1.exact(point, "fcfs", ("p95",))


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, math.nan, math.inf, True, "0.5", None])
def test_levels_that_are_none(level):
    with pytest.raises(InputError, match="a quantile needs a level above 0 and below 1"):
        quantiles(joint_law("exponential", "exact"), 0.5, "fcfs", [level])


def test_other_bad_input():
    joint = joint_law("exponential", "exact")
    with pytest.raises(InputError, match="levels from 0.001 to 0.99999"):
        quantiles(joint, 0.5, "fcfs", [1e-9])
    with pytest.raises(InputError, match="quantiles of policy 'bounce' are not analysed"):
        quantiles(joint, 0.5, "bounce", [0.5])
    with pytest.raises(InputError, match="unknown policy"):
        quantiles(joint, 0.5, "sprtp", [0.5])
    with pytest.raises(InputError, match="load is 1.5"):
        quantiles(joint, 1.5, "fcfs", [0.5])
    with pytest.raises(InputError, match="give positive times"):
        tail_probability(joint, 0.5, "fcfs", [1.0, -1.0])
    with pytest.raises(InputError, match="analysed for sizes with a density"):
        quantiles(joint_law("deterministic", "exact"), 0.5, "ps", [0.5])


def test_every_policy_of_the_list_has_a_transform():
    assert set(tails._transforms()) == set(TAILED)
