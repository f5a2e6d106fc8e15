"""The entries on a cap of cost, on interactive beside batch work and on shared prompts: what their models promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from llm_cases import hardware, setting, trace
from openqueues import registry
from openqueues.models import llm
from openqueues.models.llm import policies
from openqueues.models.llm.prefix import paths
from slow_llm import SlowEngine
from slow_llm_prefix import SlowPrefixEngine

SLUGS = ("interactive-beside-batch", "prompt-sharing", "cost-target")
OWN = [(slug, name) for slug in SLUGS for name in registry.entry(slug).own_policies]


def problem(slug):
    return registry.problem(registry.entry(slug))


@pytest.mark.parametrize(("slug", "name"), OWN)
def test_each_policy_does_the_same_when_every_iteration_is_walked(slug, name):
    policy = registry.policy_argument(registry.entry(slug), name)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        requests, law = trace(rng), hardware(rng)
        switches, arguments = setting(rng, requests)
        given = ",".join(f"{key}={str(value).lower()}" for key, value in switches.items())
        fast = llm.serve(requests, law, f"{policy}:{given}", **arguments)
        read = policies.policy(policy)
        space: dict = {}
        exec(read.source, space)
        slow = (requests, law, space, read.parameters, switches)
        if switches["prefix_cache"]:
            start, nodes, _ = paths(requests)
            each = [nodes[start[i] : start[i + 1]].tolist() for i in range(len(requests))]
            walked = SlowPrefixEngine(*slow, paths=each, **arguments).serve()
        else:
            walked = SlowEngine(*slow, **arguments).serve()
        for key in ("iterations", "preemptions", "recomputed_tokens", "swapped_tokens", "peak_kv_tokens"):
            assert getattr(fast, key) == getattr(walked, key), f"seed {seed}: {key}"
        for key in ("first_token_s", "finish_s"):
            assert np.allclose(getattr(fast, key), getattr(walked, key), rtol=1e-9, atol=0), f"seed {seed}: {key}"


def test_files_come_beside_the_interactive_requests():
    entry = problem("interactive-beside-batch")
    few, many = (entry._requests({"batch_rate": rate}, 20_000, 3) for rate in (0.02, 0.1))
    for requests, rate in ((few, 0.02), (many, 0.1)):
        batch = requests.kind == 1
        span = requests.arrival_s[-1]
        assert np.sum(~batch) / span == pytest.approx(entry.INTERACTIVE_RATE, rel=0.05)
        assert np.sum(batch) / span == pytest.approx(rate, rel=0.25)
        times, sizes = np.unique(requests.arrival_s[batch], return_counts=True)
        assert set(sizes) == {20} and len(times) > 50
        assert np.max(requests.input_tokens + requests.output_tokens) == 4096
        left = requests.deadline_s - requests.arrival_s
        assert np.allclose(left[batch], 600) and np.allclose(left[~batch], 3)
        assert requests.input_tokens[batch].mean() == pytest.approx(2500, rel=0.06)
    alone = [requests.arrival_s[requests.kind == 0] for requests in (few, many)]
    least = min(map(len, alone))
    assert np.array_equal(alone[0][:least], alone[1][:least])


def test_the_classes_are_told_apart_and_priced():
    entry, argument = problem("interactive-beside-batch"), registry.policy_argument
    point = {"batch_rate": 0.1}
    found = {
        name: entry.simulate(point, argument(registry.entry("interactive-beside-batch"), name), 5, 2000)
        for name in ("sarathi", "interactive-first", "interactive-first:preempt=true")
    }
    share = [one["interactive_share"] for one in found.values()]
    assert share[0] < share[1] < share[2]
    for one in found.values():
        assert one["kept_share"] == pytest.approx((one["interactive_share"] + one["batch_share"]) / 2)
    assert found["sarathi"]["batch_latency_s"] < found["interactive-first:preempt=true"]["batch_latency_s"]
    space: dict = {}
    exec((registry.entry("interactive-beside-batch").folder / "policies" / "slack.py").read_text(), space)
    assert space["rank"](1, 700.0, 2000.0, 300.0, 0.0004, 0.1) == pytest.approx(700 - 0.8 - 30)
    assert space["rank"](0, 103.0, 1000.0, 300.0, 0.0004, 0.1) == pytest.approx(102.6)


def test_documents_are_a_tree_and_conversations_go_on():
    entry = problem("prompt-sharing")
    tree = entry._documents(2.0, 20_000, 3)
    blocks = tree.prefix_blocks.reshape(20_000, 24)
    assert len(np.unique(blocks)) == 20 * 8 + 400 * 16
    of_application, of_document = blocks[:, 0] // 8, (blocks[:, 8] - 160) // 16
    assert np.array_equal(of_application, of_document // 20)
    assert np.mean(of_application == 0) / np.mean(of_application == 1) == pytest.approx(2, rel=0.1)
    assert np.all(tree.input_tokens >= 24 * 64 + 1)

    talks = entry._conversations(3.0, 30_000, 3)
    assert len(talks) / talks.arrival_s[-1] == pytest.approx(3.0, rel=0.01)
    assert np.max(talks.input_tokens + talks.output_tokens) <= 4096
    start, heads = talks.prefix_start, talks.prefix_blocks
    assert np.array_equal(np.diff(start), talks.input_tokens // 64)
    latest: dict = {}
    turns = 0
    for i in range(len(talks)):
        mine = heads[start[i] : start[i + 1]]
        assert np.array_equal(mine[:8], np.arange(8))
        if len(mine) > 8:
            before = latest.get(mine[8], (mine[:0], 0))
            assert np.array_equal(before[0], mine[: len(before[0])]) and before[1] < talks.input_tokens[i]
            turns += before[1] > 0
            latest[mine[8]] = (mine, talks.input_tokens[i] + talks.output_tokens[i] - 1)
    assert turns / len(talks) == pytest.approx(0.75, abs=0.1)


def test_a_price_of_a_token_reaches_the_policy_and_sharing_saves_work():
    entry, listed = problem("prompt-sharing"), registry.entry("prompt-sharing")
    point = {"prompts": "documents", "load": 1.0}
    named = (registry.policy_argument(listed, name) for name in ("shortest-work", "shortest-work:prompt=5"))
    own = [entry.simulate(point, policy, 1, 800) for policy in named]
    assert own[0] != own[1]
    lpm, fcfs = (entry.simulate(point, registry.policy_argument(listed, name), 1, 800) for name in ("lpm", "vllm"))
    assert lpm["reused_share"] > fcfs["reused_share"] > 0.3


def test_the_cap_sets_the_rate_and_the_swing_the_peaks():
    entry = problem("cost-target")
    law = llm.hardware_law("llama2-70b-h100-tp4")
    assert entry.rate_of(law, 2.0) == pytest.approx(1000 * 19.04 / 3600 / 2)
    point = {"hardware": "llama2-70b-h100-tp4", "budget": 2.0, "swing": 0.5}
    requests = entry._requests(point, law, 30_000, 3)
    periods = requests.arrival_s / entry.PERIOD_S
    thirds = 0.9 * periods[-1] / 3
    assert thirds == pytest.approx(round(thirds), abs=0.01)
    assert len(requests) / requests.arrival_s[-1] == pytest.approx(entry.rate_of(law, 2.0), rel=0.02)
    whole = periods < math.floor(periods[-1])
    rising = np.mean(periods[whole] % 1 < 0.5)
    assert rising == pytest.approx(0.5 + 0.5 / math.pi, abs=0.01)
    steady = entry._requests(point | {"swing": 0.0}, law, 30_000, 3).arrival_s / entry.PERIOD_S
    assert np.mean(steady[steady < math.floor(steady[-1])] % 1 < 0.5) == pytest.approx(0.5, abs=0.01)
    paid = entry.simulate(point | {"swing": 0.0}, "vllm", 3, 5000)
    assert paid["usd_per_1000"] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(("name", "batch"), [("llama2-70b-a100-tp4", 43), ("llama2-70b-h100-tp4", 118)])
def test_the_largest_batch_keeps_the_objective(name, batch):
    entry, law = problem("cost-target"), llm.hardware_law(name)
    assert entry.largest_batch(law) == batch
    prompts = max(law.prefill_step_ms, 0) + law.prefill_token_ms * 1155
    times = [law.step_ms(0, 0, b, b * 1260.5) + b / 211 * prompts for b in (batch, batch + 1)]
    assert times[0] <= 150 < times[1]
