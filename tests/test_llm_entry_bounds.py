"""Bounds of entries about programs and branches: by hand where nobody meets, and no policy goes below them."""

from __future__ import annotations

import pytest
from openqueues import registry

BRANCHES = registry.entry("branch-sharing")
ROUTING = registry.entry("api-routing")


@pytest.mark.parametrize("policy", ["apart", "leader"])
def test_a_question_of_one_branch_alone_takes_the_time_of_the_bound(policy):
    argument = registry.policy_argument(BRANCHES, policy)
    point = {"branches": 1, "prompt": 160, "load": 0.5, "alone": 33}
    found = registry.problem(BRANCHES).simulate(point, argument, 1, 20)
    # A prompt of 160 tokens, then 32 steps with 161 to 192 tokens of context.
    by_hand = 10.1037 + 0.0909861 * 160 + 32 * (29.8251 + 0.207735) + 0.000173074 * sum(range(161, 193))
    assert found["mean_latency_s"] == pytest.approx(by_hand / 1000, rel=1e-9)
    assert found["stretch"] == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("policy", ["apart", "shared", "leader", "leader-short"])
@pytest.mark.parametrize(("load", "prompt"), [(0.05, 256), (0.5, 1024), (2.0, 4096)])
def test_no_order_of_branches_goes_below_the_longest_branch(policy, load, prompt):
    argument = registry.policy_argument(BRANCHES, policy)
    point = {"branches": 4, "prompt": prompt, "load": load}
    assert registry.problem(BRANCHES).simulate(point, argument, 3, 160)["stretch"] >= 1


@pytest.mark.parametrize("policy", ROUTING.own_policies)
@pytest.mark.parametrize("contexts", ["discard", "infercept"])
def test_no_router_costs_less_than_requests_that_never_meet(policy, contexts):
    problem, argument = registry.problem(ROUTING), registry.policy_argument(ROUTING, policy)
    point = {"contexts": contexts, "rate": 0.2, "price": 0.01}
    programs, _ = problem._programs(point, 5, 100)
    counted = problem.least_s(programs)[10:]
    found = problem.simulate(point, argument, 5, 100)
    assert found["completed_share"] == 1
    assert found["cost_s"] >= counted.mean()


@pytest.mark.parametrize("entry", [BRANCHES, ROUTING], ids=lambda entry: entry.slug)
def test_the_bound_of_the_page_is_that_of_many_runs(entry):
    """The mean of the bounds of a run is within the errors of the one that the page shows."""
    problem, point = registry.problem(entry), dict(entry.headline_point().parameters)
    bound, error = problem.bound(point)[entry.main.name]
    assert 0 < error < 0.03 * bound
    argument = registry.policy_argument(entry, entry.policies.floor)
    if entry is BRANCHES:
        found = [problem.simulate(point, argument, seed, 3000) for seed in range(3)]
        own = [one["mean_latency_s"] / one["stretch"] for one in found]
    else:
        own = [problem.least_s(problem._programs(point, seed, 1500)[0]).mean() for seed in range(3)]
    assert sum(own) / 3 == pytest.approx(bound, rel=0.06)
