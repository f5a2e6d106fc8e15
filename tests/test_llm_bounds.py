"""Lower bounds and capacities: published values, brute force, and never above what the servers reach."""

import itertools

import numpy as np
import pytest
from openqueues import registry
from openqueues.models.errors import InputError
from openqueues.models.llm import Requests, hardware_law, serve
from openqueues.models.llm.bounds import (
    busy_time_bound,
    flow_boundary,
    flow_peak,
    mean_latency_bound,
    request_rate,
    shortest_first,
    token_rate,
    volume,
    volume_bound,
)
from openqueues.models.llm.hindsight import integer_program, optimum
from openqueues.models.llm.unit_time import serve_slots
from test_unit_time import path


def instance(rng, n, memory=(6, 16), span=1):
    memory = int(rng.integers(*memory))
    prompt = rng.integers(0, 4, n)
    output = rng.integers(1, memory - prompt + 1)
    return np.sort(rng.integers(0, span, n)), prompt, output, memory


def fits(arrival, prompt, output, memory, start):
    held = np.zeros(start.max() + output.max() + 1, int)
    for s, o, t in zip(prompt, output, start, strict=True):
        held[t + 1 : t + o + 1] += s + np.arange(1, o + 1)
    return held.max() <= memory and np.all(start >= arrival)


def test_published_values():
    classes = np.array([10, 10, 10]), np.array([20, 40, 60])
    assert volume(*classes).tolist() == [410, 1220, 2430]
    assert round(flow_boundary(*classes, 16492), 4) == 4.0621
    assert flow_peak(*classes, [4, 4, 4]) == 16240
    law = hardware_law("codellama-34b-a100-dai")
    assert law.step_ms(512, 0, 0, 0) == pytest.approx(153.16)
    assert round(token_rate(law, 512), 4) == 3.3429
    assert round(token_rate(law, 512) * 1000 / 200, 2) == 16.71


def test_capacity_by_memory_time():
    assert request_rate(1000, 0.05, [10], [20]) == pytest.approx(1000 / (0.05 * 400))
    # Chunks of 4 of a prompt of 10: 4, 8 and 10 tokens are there in its three steps.
    assert request_rate(1000, 0.05, [10], [20], chunk=4) == pytest.approx(1000 / (0.05 * 422))


def test_the_optimum_is_that_of_all_schedules():
    rng = np.random.default_rng(3)
    for _ in range(40):
        arrival, prompt, output, memory = instance(rng, 3, (4, 9), span=4)
        found = optimum(arrival, prompt, output, memory)
        assert found.proven and fits(arrival, prompt, output, memory, found.start)
        late = arrival.max() + output.sum()
        least = min(
            sum(starts)
            for starts in itertools.product(*(range(a, late) for a in arrival))
            if sum(starts) + (output - arrival).sum() <= found.total
            and fits(arrival, prompt, output, memory, np.array(starts))
        )
        assert found.total == least + (output - arrival).sum() == (found.start + output - arrival).sum()


@pytest.mark.parametrize("span", [1, 12])
def test_the_optimum_is_that_of_the_integer_program(span):
    rng = np.random.default_rng(span)
    better = 0
    for _ in range(6):
        arrival, prompt, output, memory = instance(rng, 5, (10, 18), span)
        begin = optimum(arrival, prompt, output, memory, moves=0, nodes=0)
        solved = integer_program(arrival, prompt, output, memory, begin.total)
        found = optimum(arrival, prompt, output, memory)
        assert solved.proven and found.proven and solved.total == found.total
        assert fits(arrival, prompt, output, memory, solved.start)
        better += begin.total > found.total
    assert better > 0


def test_the_search_is_never_worse_than_mc_sf_and_keeps_the_memory():
    rng = np.random.default_rng(8)
    for k in range(40):
        arrival, prompt, output, memory = instance(rng, 30, (20, 40), span=(1, 60)[k % 2])
        served = serve_slots(arrival, prompt, output, output, memory, path("mc-sf"))
        for moves in (0, 300):
            found = optimum(arrival, prompt, output, memory, moves=moves, nodes=0)
            assert fits(arrival, prompt, output, memory, found.start)
            assert found.total == (found.start + output - arrival).sum() <= (served.finish - arrival).sum()


def test_bounds_stay_below_the_optimum_and_policies_above():
    rng = np.random.default_rng(11)
    for k in range(60):
        arrival, prompt, output, memory = instance(rng, int(rng.integers(1, 7)), span=(1, 20)[k % 2])
        found = optimum(arrival, prompt, output, memory)
        assert found.proven
        bound = busy_time_bound(arrival, prompt, output, memory)
        assert output.sum() <= bound <= found.total
        if k % 2 == 0:
            assert volume_bound(prompt, output, memory) <= bound + 1e-9
        for name in ("mc-sf", "svf", "mc-benchmark", "a-min"):
            served = serve_slots(arrival, prompt, output, output, memory, path(name), lower=output)
            assert (served.finish - arrival).sum() >= found.total


def test_smallest_volume_first_keeps_its_guarantee():
    """Kong, Qi, Ye, Zhou: at most 1 + 2/(1 - alpha) times the optimum in a burst of peaks of alpha M."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        memory = int(rng.integers(20, 60))
        alpha = rng.uniform(0.1, 0.6)
        peak = max(int(alpha * memory), 2)
        prompt = rng.integers(0, peak, 40)
        output = rng.integers(1, peak - prompt + 1)
        served = serve_slots(np.zeros(40, int), prompt, output, output, memory, path("svf"))
        least = max(volume_bound(prompt, output, memory), busy_time_bound(np.zeros(40), prompt, output, memory))
        best = optimum(np.zeros(40), prompt, output, memory, moves=0, nodes=0).total
        assert least <= best
        assert served.finish.sum() <= (1 + 2 / (1 - alpha)) * best


def test_busy_time_bound_by_slots():
    # Four of volume 6 = 1 + 2 + 3 served one after the other with M = 6 have the mean times 1/2, 3/2, 5/2 and 7/2.
    # A life of 3 has its mean time 11/6 = (0.5 + 3 + 7.5)/6 after its start, and ends 7/6 later.
    assert busy_time_bound([0] * 4, [0] * 4, [3] * 4, 6) == np.ceil(8 + 4 * 7 / 6) == 13
    assert busy_time_bound([5], [2], [4], 50) == 4


HARDWARE = [
    "unit-slots",
    "llama2-70b-2xa100-mcsf",
    "opt-13b-a100-tp1",
    "codellama-34b-a100-dai",
    "prefill_step_ms=2,prefill_token_ms=0.1,decode_step_ms=30,decode_seq_ms=1,kv_token_ms=0.05,from_batch=3,"
    "decode2_step_ms=5,decode2_seq_ms=0.5,kv2_token_ms=0.01",
    "prefill_step_ms=40,decode_step_ms=30,decode_seq_ms=1,from_batch=3,decode2_step_ms=5,decode2_seq_ms=0.5",
    "decode_step_ms=-5,decode_seq_ms=0.5,kv_token_ms=0.1,compute_step_ms=4,compute_token_ms=0.2",
    "decode_step_ms=3,prefill_token_ms=0.05,prefill_token2_ms=0.001,tile_tokens=8,tile_ms=2,table_tokens=4|16,table_ms=1|3",
]
POLICIES = [
    "vllm",
    "sarathi",
    "orca",
    "fastertransformer",
    "srpt:preempt=true",
    "srpt:mechanism=sarathi,preempt=true,memory=tail",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_engine_never_beats_the_bounds(policy):
    rng = np.random.default_rng(len(policy))
    close = {"alone": 0.0, "memory": 0.0, "compute": 0.0}
    for k in range(8 * len(HARDWARE)):
        law = hardware_law(HARDWARE[k % len(HARDWARE)])
        n = int(rng.integers(1, 60))
        kv, most = int(rng.integers(160, 800)), int(rng.integers(1, 20))
        requests = Requests(
            arrival_s=np.sort(rng.uniform(0, rng.choice([0.01, 1, 10]), n)),
            input_tokens=rng.integers(1, 60, n),
            output_tokens=rng.integers(1, 60, n),
        )
        served = serve(requests, law, policy, kv_tokens=kv, max_batch=most, token_budget=int(rng.integers(60, 90)))
        reached = (served.finish_s - requests.arrival_s).mean()
        bound = mean_latency_bound(requests, law, kv_tokens=kv, max_batch=most)
        for name in close:
            assert bound[name] <= reached * (1 + 1e-9), (law.name, k, name)
            close[name] = max(close[name], bound[name] / reached)
        assert bound["best"] == max(bound[name] for name in close)
    assert close["alone"] > 0.99 and close["memory"] > 0.15 and close["compute"] > 0.4


def test_a_request_alone_reaches_the_bound():
    requests = Requests(np.array([1.0]), np.array([7]), np.array([5]))
    for name in HARDWARE[:4]:
        law = hardware_law(name)
        served = serve(requests, law, "vllm", kv_tokens=1600)
        bound = mean_latency_bound(requests, law, kv_tokens=1600)["alone"]
        assert bound == pytest.approx(served.finish_s[0] - 1.0, rel=0.08)
    bound = mean_latency_bound(requests, hardware_law("unit-slots"), kv_tokens=1600)["alone"]
    assert bound == pytest.approx(5.0)


def test_the_memory_bound_is_close_where_one_request_fills_the_memory():
    requests = Requests(np.zeros(10), np.full(10, 100), np.full(10, 5))
    law = hardware_law("unit-slots")
    served = serve(requests, law, "vllm", kv_tokens=105, block_tokens=1, watermark=0)
    assert served.finish_s.mean() == pytest.approx(5 * 5.5)
    bound = mean_latency_bound(requests, law, kv_tokens=105)
    # Its 100 + 101 + ... + 104 tokens in 5 slots are 510/105 of a slot of the whole memory.
    assert bound["memory"] == bound["best"] == pytest.approx(510 / 105 * 5.5)


def test_the_compute_bound_is_reached_by_full_batches_of_equal_requests():
    law = hardware_law("prefill_step_ms=20,prefill_token_ms=2,decode_step_ms=10,decode_seq_ms=1")
    requests = Requests(np.zeros(40), np.full(40, 1), np.full(40, 50))
    served = serve(requests, law, "orca", kv_tokens=0, max_batch=4)
    bound = mean_latency_bound(requests, law, kv_tokens=0, max_batch=4)
    # A batch of 4 takes 28 + 49 14 ms; the bound ends requests one by one, so that a batch's mean lies 3/8 earlier.
    assert bound["memory"] == 0.0
    assert served.finish_s.mean() == pytest.approx(0.714 * 5.5)
    assert bound["compute"] == pytest.approx(0.714 * (5.5 - 3 / 8))
    # Full tiles of prompts, one after another: the bound is reached.
    law = hardware_law("decode_step_ms=1,tile_tokens=8,tile_ms=2")
    requests = Requests(np.zeros(10), np.full(10, 16), np.full(10, 1))
    served = serve(requests, law, "vllm", kv_tokens=0, max_batch=1)
    assert served.finish_s.mean() == pytest.approx(0.004 * 5.5)
    assert mean_latency_bound(requests, law, kv_tokens=0, max_batch=1)["compute"] == pytest.approx(0.004 * 5.5)


def test_shortest_remaining_first_against_small_steps():
    rng = np.random.default_rng(4)
    for _ in range(20):
        arrival, size = np.sort(rng.integers(0, 60, 8)), rng.integers(1, 20, 8)
        left, ends = size.astype(int), np.zeros(8)
        for t in range(300):
            here = [i for i in range(8) if arrival[i] <= t and left[i] > 0]
            if here:
                i = min(here, key=lambda i: left[i])
                left[i] -= 1
                ends[i] = t + 1
        assert shortest_first(arrival.astype(float), size.astype(float)) == pytest.approx((ends - arrival).mean())


def test_the_entry_refuses_points_that_make_no_sense():
    problem = registry.problem(registry.entry("memory-constrained-scheduling"))
    for change, said in (
        ({"model": 3}, "must be 1"),
        ({"n": 0}, "from 1 to 12"),
        ({"prompts": "eech"}, "did you mean 'each'"),
        ({"interval": 1.0}, "below 1"),
    ):
        with pytest.raises(InputError, match=said):
            problem.simulate({"model": 1, "n": 3} | change, path("mc-sf"), 1, 1)
    with pytest.raises(InputError, match="did you mean 'dong-cao-peak'"):
        problem.exact({"identity": "dong-cao-peek"}, "mc-sf")
    values = problem.simulate({"model": 2, "n": 4}, path("alpha-greedy:alpha=0.99"), 1, 3)
    assert values["proven_share"] == 1.0 and values["ratio"] >= 1.0 and values["unstable"] == 0.0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at most the memory"):
        optimum([0], [5], [5], 9)
    requests = Requests(np.array([1.0]), np.array([7]), np.array([5]))
    with pytest.raises(InputError, match="max_batch"):
        mean_latency_bound(requests, hardware_law("unit-slots"), max_batch=0)
    shared = dict(prefix_start=np.array([0, 1]), prefix_blocks=np.array([3]))
    with pytest.raises(InputError, match="prefix_blocks"):
        mean_latency_bound(Requests(np.zeros(1), np.array([7]), np.array([5]), **shared), hardware_law("unit-slots"))
