"""The general solver against closed forms, its own limits, and simulation."""

import math

import numpy as np
import pytest
from openqueues.models.analysis import mean_response, mean_response_given
from openqueues.models.analysis.soap import Laws, Rank, mean_response_of
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.queues import simulate

LAWS = [
    ("exponential", "exponential"),
    ("weibull:shape=0.5", "lognormal:sigma=0.5"),
    ("exponential", "uniform:a=0.5"),
    ("weibull:shape=0.5", "kbit:bits=2"),
    ("ssjf", "ssjf:classes=5"),
]
RANKS = {
    "fcfs": Rank(lambda x, y, a: 0 * a),
    "lcfs": Rank(lambda x, y, a: 0 * a, newest=True),
    "las": Rank(lambda x, y, a: a, told="nothing"),
    "srpt": Rank(lambda x, y, a: x - a, told="size"),
    "psjf": Rank(lambda x, y, a: x + 0 * a, told="size"),
    "sprpt": Rank(lambda x, y, a: y - a),
    "pspjf": Rank(lambda x, y, a: y + 0 * a),
    "spjf": Rank(lambda x, y, a: np.where(a == 0, y, -np.inf)),
    "bounce": Rank(lambda x, y, a: np.minimum(np.abs(y - a), y), knots=lambda x, y: np.stack((y, 2 * y), axis=1)),
}


@pytest.mark.parametrize("policy", RANKS)
@pytest.mark.parametrize(("sizes", "predictions"), LAWS)
def test_special_cases_are_the_closed_forms(sizes, predictions, policy):
    joint = joint_law(sizes, predictions)
    exact = mean_response(joint, 0.9, policy).mean_response
    value, error = mean_response_of(joint, 0.9, RANKS[policy])
    assert abs(value - exact) <= min(2e-4 * exact, error)


def test_the_rank_in_two_parts_orders_by_the_first_and_then_by_the_second():
    joint = joint_law("weibull:shape=0.5", "exponential")
    low = mean_response(joint, 0.8, "onebit:threshold=2,preemptive=false").mean_response
    nested = Rank(lambda x, y, a: (np.where(a == 0, 1.0 * (y >= 2), -1.0), 0 * a), breaks=(2.0,))
    value, error = mean_response_of(joint, 0.8, nested)
    assert value == pytest.approx(low, rel=1e-4)
    # Classes of predictions, SPRPT within each: between the classes alone and SPRPT for these laws.
    value, error = mean_response_of(joint, 0.8, Rank(lambda x, y, a: (1.0 * (y >= 2) + 0 * a, y - a), breaks=(2.0,)))
    flat = Rank(lambda x, y, a: 1e3 * (y >= 2) + np.maximum(y - a, -100.0), breaks=(2.0,))
    numbered, _ = mean_response_of(joint, 0.8, flat)
    assert value == pytest.approx(numbered, rel=2e-3)


def test_ranks_that_order_alike_have_one_mean():
    joint = joint_law("exponential", "lognormal:sigma=0.5")
    value, error = mean_response_of(joint, 0.8, Rank(lambda x, y, a: np.maximum(y - a, 0.0) ** 3))
    assert value == pytest.approx(mean_response(joint, 0.8, "sprpt").mean_response, rel=1e-3)


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_trail_and_hedge_have_the_known_policies_as_limits(load):
    joint = joint_law("weibull:shape=0.5", "lognormal:sigma=0.5")
    for policy, limit in (
        ("trail:c=0", "spjf"),
        ("trail:c=1", "sprpt"),
        ("hedge:share=0", "pspjf"),
        ("hedge:share=1", "sprpt"),
        ("lindy:share=0", "sprpt"),
    ):
        result, exact = mean_response(joint, load, policy), mean_response(joint, load, limit).mean_response
        assert abs(result.mean_response - exact) <= min(result.error, 5e-4 * exact)


def test_trail_is_the_formula_of_limited_preemption():
    # Recycled work min(t - y, c t), residence preemptible up to age c y: in classes the sums are finite.
    law, load, c = joint_law("exponential", "kbit:bits=2"), 0.8, 0.6
    values = np.asarray(law.classes.values)
    x = np.linspace(0, 40, 400_001)
    x = 0.5 * (x[1:] + x[:-1])
    chance = law.classes.probability(x) * law.sizes.pdf(x)[:, None] * 1e-4
    work, square = x @ chance, x**2 @ chance
    total = 0.0
    for j, y in enumerate(values):
        below, upto = load * work[values < y].sum(), load * work[values <= y].sum()
        recycled = sum(
            (np.maximum(x - min(t - y, c * t), 0.0) ** 2) @ chance[:, k] for k, t in enumerate(values) if t > y
        )
        wait = 0.5 * load * (square[values <= y].sum() + recycled) / ((1 - below) * (1 - upto))
        ages = np.linspace(0, c * y, 4001)
        middle = 0.5 * (ages[1:] + ages[:-1])
        slow = 1 / (1 - load * np.array([work[values < y - a].sum() for a in middle]))
        upto_age = np.append(0.0, np.cumsum(slow * np.diff(ages)))
        residence = np.interp(np.minimum(x, c * y), ages, upto_age) + np.maximum(x - c * y, 0.0)
        total += (wait + residence) @ chance[:, j]
    result = mean_response(law, load, f"trail:c={c}")
    assert result.mean_response == pytest.approx(total, rel=2e-4)


def test_a_job_is_told_its_own_mean():
    joint = joint_law("weibull:shape=0.5", "lognormal:sigma=0.5")
    x, y = np.array([0.1, 1.0, 1.0, 5.0]), np.array([0.2, 0.5, 2.0, 3.0])
    exact = mean_response_given(joint, 0.9, "sprpt", x, y)
    assert mean_response_given(joint, 0.9, "trail:c=1", x, y) == pytest.approx(exact, rel=3e-3)
    assert mean_response_given(joint, 0.9, "hedge:share=0", x, y) == pytest.approx(
        mean_response_given(joint, 0.9, "pspjf", x, y), rel=3e-3
    )


def test_scaled_estimates_are_srpt_where_nothing_is_wrong_and_near_it_where_little_is():
    exact = mean_response(joint_law("exponential", "exact"), 0.8, "srpt").mean_response
    scaled = mean_response(joint_law("exponential", "exact"), 0.8, "scaled")
    assert abs(scaled.mean_response - exact) <= scaled.error
    joint = joint_law("exponential", "kbit:bits=3")
    close = mean_response(joint, 0.8, "scaled:beta=0.99,alpha=1.01").mean_response
    assert exact * 0.999 < close < 1.01 * exact < mean_response(joint, 0.8, "scaled").mean_response


def estimate(joint, load, policy, jobs, replications):
    """Mean response time and its standard error, the mean work, whose value is known, as a control."""
    runs = [simulate(joint, load, policy, seed, jobs) for seed in range(replications)]
    response = np.array([run["mean_response"] for run in runs])
    known = load / joint.sizes.mean * joint.sizes.moment(2) / (2 * (1 - load))
    design = np.column_stack([np.ones(replications), [run["mean_work"] - known for run in runs]])
    coefficients, residual, *_ = np.linalg.lstsq(design, response)
    return coefficients[0], math.sqrt(residual[0] / (replications - 2) * np.linalg.inv(design.T @ design)[0, 0])


def agrees(sizes, predictions, load, policy, jobs, replications=24):
    joint = joint_law(sizes, predictions)
    result = mean_response(joint, load, policy)
    value, error = estimate(joint, load, policy, jobs, replications)
    exact, doubt = result.mean_response, 4 * error + result.error
    assert abs(value - exact) <= doubt
    assert doubt < 0.01 * exact, "too few jobs to see an error of 1%"


@pytest.mark.parametrize("policy", ["trail:c=0.6", "hedge", "lindy"])
def test_simulation_agrees(policy):
    agrees("exponential", "exponential", 0.8, policy, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("policy", ["trail", "trail:c=0.3", "hedge", "hedge:share=0.9", "lindy", "scaled"])
@pytest.mark.parametrize(("sizes", "more"), [("exponential", 1), ("weibull:shape=0.5", 8)])
def test_simulation_agrees_at_every_load(sizes, more, policy, load):
    agrees(sizes, "exponential", load, policy, more * {0.5: 100_000, 0.8: 200_000, 0.9: 500_000}[load])


def test_bad_input_is_refused_in_one_sentence():
    joint = joint_law("exponential", "exponential")
    for policy, match in (
        ("trail:c=-1", "at least 0"),
        ("trail:c=much", "'c' is 'much': it must be a number"),
        ("trail:d=1", "takes|parameter"),
        ("hedge:share=2", "from 0 to 1"),
        ("lindy:share=-1", "at least 0"),
        ("robust:alpha=0.5", "from 1"),
        ("scaled:beta=2,alpha=1", "exchange"),
        ("trail:c=nan", "number"),
    ):
        with pytest.raises(InputError, match=match) as caught:
            mean_response(joint, 0.8, policy)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match=match):
            simulate(joint, 0.8, policy, 1, 100)
    with pytest.raises(InputError, match="what a rank is told"):
        mean_response_of(joint, 0.8, Rank(lambda x, y, a: a, told="predictions"))
    with pytest.raises(InputError, match="not a number"):
        mean_response_of(joint, 0.8, Rank(lambda x, y, a: a * np.nan))
    with pytest.raises(InputError, match="1000 values"):
        mean_response_of(joint, 0.8, Rank(lambda x, y, a: (a, a)))


def test_the_next_load_uses_the_tables_again():
    joint = joint_law("exponential", "uniform:a=0.3")
    from openqueues.models.analysis import soap

    mean_response(joint, 0.5, "hedge")
    kept = soap._KEPT[(joint, ("hedge", 0.5))]
    mean_response(joint, 0.6, "hedge")
    assert soap._KEPT[(joint, ("hedge", 0.5))] is kept
    assert Laws(joint, 3).level == 1
