"""The entries on prefill and decode, on dynamic thresholds and on limited preemption: what their models promise."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues import registry
from openqueues.models import llm
from openqueues.models.streams import derive_seed


def load(slug):
    entry = registry.entry(slug)
    return registry.problem(entry), lambda name: registry.policy_argument(entry, name)


def same(one, other):
    return all(np.isclose(one[name], other[name], rtol=1e-12) for name in one)


@pytest.mark.parametrize("hardware", ["llama2-70b-a100-tp4", "llama2-70b-h100-tp4"])
def test_totals_and_splits_are_as_stated(hardware):
    problem, _ = load("prefill-decode-order")
    law = llm.hardware_law(hardware)
    cost = problem._costs(law)
    assert cost[1] == pytest.approx(law.decode_step_ms / 32 + law.decode_seq_ms + 510 * law.kv_token_ms)
    point = {"hardware": hardware, "sizes": "equal", "split": "mixed", "load": 0.8}
    requests = problem._requests(point, cost, 30_000, 3)
    assert set(requests.input_tokens + requests.output_tokens) == {600}
    answers, counts = np.unique(requests.output_tokens, return_counts=True)
    assert answers.tolist() == [30, 150, 360] and np.allclose(counts / 30_000, 1 / 3, atol=0.02)
    for sizes, split in (("equal", "same"), ("light", "mixed")):
        requests = problem._requests(point | {"sizes": sizes, "split": split}, cost, 30_000, 3)
        work = cost[0] * requests.input_tokens.sum() + cost[1] * requests.output_tokens.sum()
        assert work / 1000 / requests.arrival_s[-1] == pytest.approx(0.8, rel=0.06)


def test_the_price_of_a_prompt_reaches_the_policy():
    problem, name = load("prefill-decode-order")
    point = {"hardware": "llama2-70b-h100-tp4", "sizes": "light", "split": "mixed", "load": 0.9}
    cost = problem._costs(llm.hardware_law(point["hardware"]))
    found = problem.simulate(point, name("time"), 1, 1500)
    assert same(found, problem.simulate(point, name(f"time:prompt={cost[0] / cost[1]}"), 1, 1500))
    assert not same(found, problem.simulate(point, name("time:prompt=1"), 1, 1500))
    assert same(
        problem.simulate(point, name("time:prompt=1"), 1, 1500), problem.simulate(point, name("total"), 1, 1500)
    )
    assert same(problem.simulate(point, name("time:prompt=0"), 1, 1500), problem.simulate(point, "spjf", 1, 1500))


def test_the_learned_threshold_is_the_best_of_the_lesson():
    problem, name = load("dynamic-preemption")
    point = {"pressure": "heavy", "c": 0.8}
    lesson = problem._requests(point, 2000, derive_seed("lesson", 5))
    means = {c: problem._served(point, f"trail:c={c}", lesson)["mean_latency_s"] for c in problem.CHOICES}
    assert len(set(means.values())) == len(means)
    best = min(means, key=means.get)
    learned = problem.simulate(point, name("learned"), 5, 2000)
    assert same(learned, problem.simulate(point, f"trail:c={best}", 5, 2000))


def test_the_threshold_is_the_points():
    problem, _ = load("dynamic-preemption")
    found = [problem.simulate({"pressure": "light", "c": c}, "trail", 5, 2000) for c in (0.0, 1.0)]
    assert found[0]["preemptions"] < 0.05 < found[1]["preemptions"]
    assert same(found[1], problem.simulate({"pressure": "light", "c": 0.0}, "trail:c=1", 5, 2000))


@pytest.mark.parametrize("tail", ["light", "heavy"])
def test_each_limit_is_a_path_from_no_preemption_to_all(tail):
    problem, name = load("limited-preemption-tails")

    def run(policy, limit):
        return problem.simulate({"tail": tail, "limit": limit, "rate": 9}, name(policy), 2, 2000)

    free = run("sprpt:preempt=batch", 1)
    for policy in ("age", "memory", "remaining", "count"):
        assert same(run(policy, 1e9), free), policy
        assert not same(run(policy, 0.5), free), policy
    assert same(run("trail", 0), run("age", 0))
    assert same(run("memory", 0), run("remaining", 0)) and same(run("memory", 0), run("count", 0))
    assert not same(run("age", 0.5), run("trail", 0.5))
