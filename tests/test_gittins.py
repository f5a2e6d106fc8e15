"""Tables of ranks against their definitions, the policies that run them, and the optimality of Gittins."""

import numpy as np
import pytest
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.gittins import KINDS, curve, rank_of, table
from openqueues.models.analysis.soap import mean_response_of
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy
from openqueues.models.policies.resolve import resolve
from openqueues.models.queues import Server, simulate
from scipy.integrate import quad
from slow_queue import by_quantum
from test_soap import agrees

JOINTS = [
    ("exponential", "exponential"),
    ("weibull:shape=0.5", "exponential"),
    ("weibull:shape=0.5", "lognormal:sigma=1"),
]


def posterior(joint, y):
    """P(S > a | y) and E[S - a; S > a | y] by quadrature of the definition, on a fine grid of ages."""
    edges = np.concatenate(([0.0], np.geomspace(1e-7, 2000, 6001)))
    middle = np.append(0.5e-7, np.sqrt(edges[1:-1] * edges[2:]))
    mass = joint.sizes.pdf(middle) * joint.noise.pdf(y / middle) / middle * np.diff(edges)
    tail = np.append(np.cumsum(mass[::-1])[::-1], 0.0) / mass.sum()
    area = np.append(np.cumsum((0.5 * (tail[1:] + tail[:-1]) * np.diff(edges))[::-1])[::-1], 0.0)
    return edges, tail, area


@pytest.mark.parametrize("prediction", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(("sizes", "predictions"), JOINTS)
def test_ranks_are_those_of_the_definition(sizes, predictions, prediction):
    joint = joint_law(sizes, predictions)
    edges, tail, area = posterior(joint, prediction)
    ages = [0.02, 0.3, 1.0, 3.0]
    for kind in ("gittins", "serpt", "mserpt"):
        at, ranks = curve(table(joint, kind), prediction)
        for age in ages:
            k = np.searchsorted(edges, age)
            remaining = area[: k + 1] / tail[: k + 1]
            if kind == "gittins":
                later = slice(k + 20, None)
                exact = ((area[k] - area[later]) / (tail[k] - tail[later])).min()
                near = slice(k + 1, k + 20)  # the limit of b near the age
                exact = min(exact, ((area[k] - area[near]) / (tail[k] - tail[near])).min())
            else:
                exact = remaining[-1] if kind == "serpt" else remaining.max()
            assert np.interp(age, at, ranks) == pytest.approx(exact, rel=0.012, abs=0.003), (kind, age)


def test_special_cases():
    # Without information: exponential sizes have the rank 1 at all ages; a falling failure rate means LAS.
    at, ranks = curve(table(joint_law("exponential", "constant"), "gittins"), 1.0)
    assert np.allclose(ranks, 1.0, rtol=1e-3)
    blind = joint_law("weibull:shape=0.5", "constant")
    assert mean_response(blind, 0.8, "gittins").mean_response == pytest.approx(
        mean_response(blind, 0.8, "las").mean_response, rel=1e-3
    )
    exact = joint_law("weibull:shape=0.5", "exact")
    for kind, same in (("gittins", "srpt"), ("serpt", "srpt"), ("mserpt", "psjf")):
        assert mean_response(exact, 0.8, kind).mean_response == pytest.approx(
            mean_response(exact, 0.8, same).mean_response, rel=3e-4
        )
        assert simulate(exact, 0.8, kind, 1, 5000)["mean_response"] == pytest.approx(
            simulate(exact, 0.8, same, 1, 5000)["mean_response"], rel=1e-9
        )


def test_mean_and_quantile_are_those_of_the_posterior():
    joint, y = joint_law("exponential", "lognormal:sigma=0.5"), 1.5

    def density(x):
        return joint.sizes.pdf(x) * joint.noise.pdf(y / x) / x

    whole = quad(density, 0, 50, limit=200)[0]
    mean = quad(lambda x: x * density(x), 0, 50, limit=200)[0] / whole
    at, ranks = curve(table(joint, "mean"), y)
    assert ranks[0] == pytest.approx(mean, rel=2e-3) and at[1] == pytest.approx(mean, rel=2e-3)
    at, ranks = curve(table(joint, "quantile", 0.8), y)
    assert quad(density, 0, ranks[0], limit=200)[0] / whole == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", ["gittins", "serpt", "mserpt", "robust:alpha=1.5"])
def test_the_kernel_serves_as_the_slow_twin(name):
    joint, chosen = joint_law("weibull:shape=0.5", "lognormal:sigma=0.7"), policy(name)
    theta = resolve(chosen, joint, 0.8)
    rng = np.random.default_rng(5)
    sizes, predictions = joint.sample(rng, rng, 120)
    sizes, gaps = np.minimum(sizes, 5.0), rng.standard_exponential(120) / 0.8
    server = Server(chosen, theta)
    done = np.vstack((server.serve(gaps, sizes, predictions).copy(), server.drain().copy()))
    scope = {}
    exec(chosen.source, scope)
    twin = by_quantum(
        lambda size, predicted, arrival, age: scope["rank"](predicted, age, theta[0]),
        np.cumsum(gaps).tolist(),
        sizes.tolist(),
        predictions.tolist(),
        quantum=2e-3,
    )
    order = np.argsort(done[:, 2])
    assert np.abs(done[order, 0] - twin).max() < 0.1
    assert abs(done[:, 0].mean() - np.mean(twin)) < 5e-3


OTHERS = "fcfs las ps spjf pspjf sprpt bounce onebit kbit trail hedge serpt mserpt robust".split()


@pytest.mark.parametrize(("sizes", "predictions"), [*JOINTS, ("weibull:shape=0.5", "kbit:bits=1")])
def test_no_policy_with_the_same_information_has_a_lower_mean_by_analysis(sizes, predictions):
    joint = joint_law(sizes, predictions)
    for load in (0.5, 0.8, 0.9):
        best = mean_response(joint, load, "gittins")
        for other in OTHERS:
            result = mean_response(joint, load, other)
            slack = 2e-4 * best.mean_response
            assert best.mean_response <= result.mean_response + slack, (load, other)


def paired(joint, load, other, jobs, replications):
    """Mean of other minus Gittins on the same jobs, and its standard error."""
    gaps = []
    for seed in range(replications):
        runs = [simulate(joint, load, name, seed, jobs)["mean_response"] for name in (other, "gittins")]
        gaps.append(runs[0] - runs[1])
    return np.mean(gaps), np.std(gaps, ddof=1) / np.sqrt(replications)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("other", [other for other in OTHERS if other != "ps"])
@pytest.mark.parametrize(("sizes", "predictions"), JOINTS)
def test_no_policy_with_the_same_information_beats_gittins(sizes, predictions, other, load):
    difference, error = paired(joint_law(sizes, predictions), load, other, 200_000, 8)
    assert difference > -4 * error


def test_simulation_agrees_with_the_analysis():
    agrees("exponential", "lognormal:sigma=0.5", 0.8, "gittins", 50_000, 12)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("name", ["gittins", "serpt", "mserpt", "robust"])
@pytest.mark.parametrize(("sizes", "more"), [("exponential", 1), ("weibull:shape=0.5", 4)])
def test_simulation_agrees_at_every_load(sizes, more, name, load):
    agrees(sizes, "exponential", load, name, more * {0.5: 50_000, 0.8: 100_000, 0.9: 300_000}[load])


def test_robust_gittins_stretches_ages():
    joint = joint_law("exponential", "exponential")
    rows = table(joint, "gittins")
    value, _ = mean_response_of(joint, 0.8, rank_of(rows))
    assert value == pytest.approx(mean_response(joint, 0.8, "robust:alpha=1").mean_response, rel=1e-6)
    same = simulate(joint, 0.8, "gittins", 1, 5000), simulate(joint, 0.8, "robust:alpha=1", 1, 5000)
    assert same[0]["mean_response"] == pytest.approx(same[1]["mean_response"], rel=1e-9)


def test_bad_input():
    joint = joint_law("exponential", "exponential")
    with pytest.raises(InputError, match="kind of rank"):
        table(joint, "gittin")
    with pytest.raises(InputError, match="kind of rank"):
        simulate(joint, 0.8, "gittins:table=other", 1, 100)
    assert len(KINDS) == 5
