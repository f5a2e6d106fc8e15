"""The fluid limit agrees with closed forms, with its own differential equation, and with many simulated queues."""

import math
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.analysis.fluid import System, mean_field, power_of_d
from openqueues.models.analysis.fluid_laws import EqualLoad, Types, equal_load, equal_load_types
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, prediction_law, size_law
from openqueues.models.queues.dispatching import simulate
from scipy.integrate import solve_ivp

FOLDER = Path(__file__).parents[1] / "problems" / "power-of-d-bits" / "policies"
ONE = Types(np.ones(1), np.ones(1), np.ones((1, 1)), np.ones(1))
# Three types seen through a bit that is often wrong.
SEEN = Types(
    np.array([0.6, 0.3, 0.1]), np.array([0.4, 1.2, 4.0]), np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]]),
    np.array([0.5, 2.0]),
)  # fmt: skip
LAWS = ("exponential", "weibull:shape=0.5")


def count(count, **other):
    return count


def same_class(same_class, **other):
    return same_class


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("load", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("service", ["fcfs", "spjf", "pspjf"])
def test_one_class_gives_the_closed_form(load, d, service):
    limit = mean_field(ONE, load, d, service, count)
    assert limit.mean_response == pytest.approx(power_of_d(load, d), rel=1e-9)
    assert limit.error < 1e-8 and abs(limit.lost) < 1e-9


@pytest.mark.parametrize("service", ["spjf", "pspjf"])
@pytest.mark.parametrize("types", [SEEN, equal_load_types(size_law("exponential"), 1, 1)], ids=["wrong", "right"])
def test_a_score_without_preference_gives_priority_queues(types, service):
    # Cobham's formulas: without preference every queue has its own Poisson arrivals.
    load = 0.4
    rate = load / types.mean * types.class_shares
    first, second = types.type_given_class @ types.means, 2 * types.type_given_class @ types.means**2
    upto = np.cumsum(rate * first)
    before = np.concatenate(([0.0], upto[:-1]))
    if service == "spjf":
        known = first + rate @ second / 2 / ((1 - before) * (1 - upto))
    else:
        known = first / (1 - before) + np.cumsum(rate * second) / 2 / ((1 - before) * (1 - upto))
    limit = mean_field(types, load, 2, service, lambda **columns: 0.0, 1e-8)
    np.testing.assert_allclose(limit.by_class, known, rtol=1e-5)
    assert limit.mean_response == pytest.approx(float(known @ types.class_shares), rel=1e-5)


@pytest.mark.parametrize("service", ["spjf", "pspjf"])
def test_the_differential_equation_goes_to_the_fixed_point(service):
    system = System(equal_load_types(size_law("exponential"), 1, 1), 0.6, 2, service, same_class, 8)
    law, _ = system.settle(system.start(), 1e-14)
    assert np.abs(system.drift(law)).max() < 1e-11
    path = solve_ivp(lambda t, y: system.drift(y), (0, 250), system.start(), method="LSODA", rtol=1e-8, atol=1e-10)
    assert np.abs(path.y[:, -1] - law).max() < 1e-6
    assert path.y[:, -1].sum() == pytest.approx(1, abs=1e-9)


def simulated(types, load, n, policy, service, jobs, runs=4):
    path = str(FOLDER / f"{policy}.py")
    means = [simulate(types.joint, load, n, 2, path, service, s, jobs)["mean_response"] for s in range(runs)]
    return np.mean(means), 3.5 * np.std(means, ddof=1) / math.sqrt(runs)


@pytest.mark.parametrize("sizes", LAWS)
def test_many_queues_come_near_the_limit(sizes):
    types = equal_load_types(size_law(sizes), 2, 1)
    for load in (0.5, 0.8, 0.9):
        limit = mean_field(types, load, 2, "pspjf", same_class, 1e-7).mean_response
        mean, width = simulated(types, load, 500, "same-class", "pspjf", 150_000)
        assert abs(mean - limit) < width + 0.01 * limit
        assert width < 0.12 * limit


def test_the_distance_to_the_limit_falls_as_the_queues_grow_in_number():
    limit = power_of_d(0.9, 2)
    away = [simulated(ONE, 0.9, n, "shortest", "fcfs", 1_000_000)[0] / limit - 1 for n in (10, 30, 100, 1000)]
    assert away[0] > 0.1 and away[0] > 2 * away[1] > 4 * away[2] > 0
    assert abs(away[3]) < 0.01


def test_sizes_and_classes_have_the_law_that_the_types_give():
    rng = np.random.default_rng(1)
    sizes, told = SEEN.joint.sample(rng, rng, 400_000)
    law = SEEN.joint.sizes
    assert sizes.mean() == pytest.approx(law.mean, rel=0.01) and law.moment(1) == pytest.approx(SEEN.mean)
    assert np.mean(sizes**2) == pytest.approx(law.moment(2), rel=0.04)
    for k in (0, 1):
        here = told == SEEN.values[k]
        assert here.mean() == pytest.approx(SEEN.class_shares[k], abs=0.003)
        assert sizes[here].mean() == pytest.approx(float(SEEN.type_given_class[k] @ SEEN.means), rel=0.02)
    assert law.cdf(1.0) == pytest.approx(np.mean(sizes <= 1.0), abs=0.003)
    assert law.cdf(1.0) + law.sf(1.0) == pytest.approx(1.0)
    assert law.partial_moment(1, 1.0) == pytest.approx(np.mean(sizes * (sizes <= 1.0)), abs=0.003)
    x = np.array([0.01, 1.0, 20.0])
    np.testing.assert_allclose(SEEN.joint.classes.probability(x).sum(axis=1), 1.0)


@pytest.mark.parametrize("sizes", LAWS)
def test_classes_of_equal_load(sizes):
    law = size_law(sizes)
    edges = equal_load(law, 4)
    np.testing.assert_allclose(law.partial_moment(1, edges) / law.mean, [0.25, 0.5, 0.75], rtol=1e-9)
    types = equal_load_types(law, 2, 1)
    np.testing.assert_allclose(types.shares * types.means, 0.25, rtol=1e-9)
    np.testing.assert_allclose(types.class_shares[0], law.cdf(edges[1]), rtol=1e-9)
    joint = JointLaw(law, EqualLoad(2, prediction_law("exact")))
    rng = np.random.default_rng(2)
    x, y = joint.sample(rng, rng, 200_000)
    np.testing.assert_array_equal(y, joint.classes.values[np.searchsorted(edges, x, side="right")])


def test_bad_input_is_said_in_one_sentence():
    with pytest.raises(InputError, match="service with a fluid limit"):
        mean_field(ONE, 0.9, 2, "sprpt", count)
    with pytest.raises(InputError, match="load is 1"):
        mean_field(ONE, 1.0, 2, "fcfs", count)
    with pytest.raises(InputError, match="d is 1"):
        mean_field(ONE, 0.9, 1, "fcfs", count)
    with pytest.raises(InputError, match="scores of the count alone"):
        mean_field(SEEN, 0.9, 2, "fcfs", same_class)
    with pytest.raises(InputError, match="load is nan"):
        power_of_d(math.nan, 2)
    with pytest.raises(InputError, match="add to 1"):
        Types(np.array([0.5, 0.4]), np.ones(2), np.ones((2, 1)), np.ones(1))
    with pytest.raises(InputError, match="must ascend"):
        Types(np.array([0.5, 0.5]), np.ones(2), np.eye(2), np.array([2.0, 1.0]))
    with pytest.raises(InputError, match="bits is 3"):
        equal_load_types(size_law("exponential"), 2, 3)
