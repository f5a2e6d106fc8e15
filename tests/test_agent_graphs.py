"""The bounds of the entry on graphs of agents: one by hand, and no schedule goes below them."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.llm.bounds import shortest_first


@pytest.fixture(scope="module")
def problem():
    return registry.problem(registry.entry("agent-graphs"))


def test_shortest_first_by_hand():
    # The job of 1 ends at 1; then the one that comes goes before the 3 that are left, and ends at 2.
    assert shortest_first(np.array([0.0, 0.0, 1.0]), np.array([3.0, 1.0, 1.0])) == pytest.approx(7 / 3)
    # Where all come at once the shorter go first; a job without work ends as it comes.
    assert shortest_first(np.zeros(3), np.array([2.0, 0.0, 1.0])) == pytest.approx(4 / 3)


@pytest.mark.parametrize("shape", ["single", "chain", "fork", "layered"])
@pytest.mark.parametrize("policy", ["vllm", "criticalpath:work=1", "autellix"])
@pytest.mark.parametrize("load", [0.2, 1.5])
def test_no_schedule_goes_below_the_bounds(problem, shape, policy, load):
    found = problem.simulate({"shape": shape, "load": load, "error": 0.5}, policy, 3, 60)
    assert found["completed_share"] == 1
    assert found["over_bound"] >= 1 - 1e-12
    assert found["mean_stretch"] >= 1 - 1e-12
