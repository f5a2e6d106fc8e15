"""The LLM engine: the jumping kernel against the slow engine, conservation, the order of policies, bad input."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llm_cases import OWN, hardware, setting, trace
from openqueues.models.errors import InputError
from openqueues.models.llm import policies
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware, hardware_law
from openqueues.models.llm.metrics import metrics
from openqueues.models.llm.plans import MECHANISMS
from openqueues.models.llm.prefix import paths
from openqueues.models.llm.requests import Requests
from slow_llm import SlowEngine
from slow_llm_prefix import SlowPrefixEngine

EXACT = ("iterations", "preemptions", "recomputed_tokens", "swapped_tokens", "peak_kv_tokens")
CLOSE = ("mean_kv_tokens", "mean_batch", "makespan_s", "busy_s")
NAMES = ("vllm", "sjf", "srpt", "spjf", "sprpt", "trail")
# Those that admission, time or the prefix cache make special, with parameters that matter on short traces.
SPECIAL = (
    "elis:window=4",
    "fastserve:base_ms=20,prompt_ms=1,token_ms=6,starve_s=0.2",
    "klpm:k=3",
    "limited:limit=2",
    "lpm",
    "ltr:wait_s=0.1,quantum=3",
    "mcsf",
    "pastfuture",
    "prefixvolume",
    "spt",
    "ssjf:most_wait_s=0.5,patience=0.4",
    "svf",
)


def spelled(policy: str, switches: dict) -> str:
    given = ",".join(f"{key}={str(value).lower()}" for key, value in switches.items())
    return f"{policy}{',' if ':' in policy else ':'}{given}"


def slowly(requests, law, policy: str, switches: dict, arguments: dict) -> SlowEngine:
    read = policies.policy(policy)
    space: dict = {}
    exec(read.source, space)
    given = (requests, law, space, read.parameters, switches)
    if not switches["prefix_cache"]:
        return SlowEngine(*given, **arguments).serve()
    start, nodes, _ = paths(requests)
    each = [nodes[start[i] : start[i + 1]].tolist() for i in range(len(requests))]
    return SlowPrefixEngine(*given, paths=each, **arguments).serve()


def compare(seed: int, folder, name: str = "") -> int:
    """One random trace, law, mechanism and policy, unless one is named, in both engines; returns its preemptions."""
    rng = np.random.default_rng(seed)
    requests, law = trace(rng), hardware(rng)
    switches, arguments = setting(rng, requests)
    name = name or str(rng.choice([*NAMES, *SPECIAL, *(str(folder / f"{own}.py") for own in OWN)]))
    try:
        fast = serve(requests, law, spelled(name, switches), **arguments)
    except InputError as error:
        # It may take turns for ever, each dropping the chunk of a prompt that the other computed.
        assert "restive" in name and "preempts without end" in str(error)
        return 0
    slow = slowly(requests, law, name, switches, arguments)
    story = f"seed {seed}: {spelled(name, switches)} {arguments}"
    for key in EXACT + (("reused_tokens",) if switches["prefix_cache"] else ()):
        assert getattr(fast, key) == getattr(slow, key), f"{story}: {key}"
    assert np.array_equal(fast.preemptions_of, slow.preemptions_of), story
    for key in (*CLOSE, "first_token_s", "finish_s"):
        assert np.allclose(getattr(fast, key), getattr(slow, key), rtol=1e-9, atol=0), f"{story}: {key}"
    return fast.preemptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A contributor's policies, one file each."""
    place = tmp_path_factory.mktemp("policies")
    for name, text in OWN.items():
        (place / f"{name}.py").write_text(f'"""A test."""\n\n{text}')
    return place


@settings(max_examples=120, deadline=None, derandomize=True)
# Mixed steps in which a preemption makes room while nobody who waits fits.
@example(seed=1787)
@example(seed=4139)
@given(seed=st.integers(0, 2**40))
def test_jumping_equals_walking(folder, seed):
    compare(seed, folder)


@pytest.mark.parametrize("name", [*SPECIAL, "rounds.py", "shorter.py"])
def test_jumping_equals_walking_for_each_policy(folder, name):
    named = str(folder / name) if name.endswith(".py") else name
    assert sum(compare(seed, folder, named) for seed in range(25)) > 0


def test_the_slow_engine_is_short_enough_to_be_read():
    assert len(Path(inspect.getsourcefile(SlowEngine)).read_text().splitlines()) <= 300


@pytest.mark.slow
def test_jumping_equals_walking_on_thousands_of_traces(folder):
    for seed in range(6000):
        compare(seed, folder)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", ["vllm", "srpt", "trail"])
def test_jumping_equals_walking_at_real_lengths(mechanism, name):
    rng = np.random.default_rng(3)
    n = 120
    outputs = rng.geometric(1 / 150, n)
    requests = Requests(
        np.cumsum(rng.exponential(0.15, n)),
        rng.geometric(1 / 700, n),
        outputs,
        predicted_output_tokens=outputs * rng.lognormal(0, 0.5, n),
    )
    law = Hardware(name="test", prefill_step_ms=7.0, prefill_token_ms=0.05, decode_step_ms=12.0, kv_token_ms=2e-4)
    switches = {"mechanism": mechanism, "memory": "recompute", "preempt": mechanism != "fastertransformer"}
    switches |= {"reserve": "oracle", "prefix_cache": False}
    arguments = {"kv_tokens": 9000, "max_batch": 12, "token_budget": None, "block_tokens": 16, "watermark": 0.01}
    fast = serve(requests, law, spelled(name, switches), **arguments)
    slow = slowly(requests, law, name, switches, arguments)
    for key in EXACT:
        assert getattr(fast, key) == getattr(slow, key), key
    for key in (*CLOSE, "first_token_s", "finish_s"):
        assert np.allclose(getattr(fast, key), getattr(slow, key), rtol=1e-9, atol=0), key
    assert fast.preemptions > 0 or mechanism in ("orca", "fastertransformer")


STEP = Hardware(name="step", compute_step_ms=1.0)
LINEAR = Hardware(name="linear", prefill_step_ms=3.0, prefill_token_ms=0.5, decode_step_ms=2.0, kv_token_ms=0.25)


def some(arrival_ms, inputs, outputs, **more) -> Requests:
    return Requests(np.array(arrival_ms) / 1000.0, np.array(inputs), np.array(outputs), **more)


@pytest.mark.parametrize(
    ("policy", "budget", "batches"),
    [("vllm", None, 5), ("orca", 5, 4), ("fastertransformer", None, 6), ("sarathi", 4, 4)],
)
def test_five_requests_of_dai_et_al(policy, budget, batches):
    """A, B and C have 2, 4 and 3 tokens to decode when D and E, of one prompt token each and one to decode, arrive."""
    requests = some([0, 0, 0, 1.5, 1.5], [1] * 5, [3, 5, 4, 2, 2])
    served = serve(requests, STEP, policy, token_budget=budget)
    assert served.iterations == 1 + batches  # the first computes the prompts of A, B and C
    assert served.busy_s == pytest.approx((1 + batches) / 1000)


def test_a_request_alone_takes_the_time_of_its_steps():
    requests = some([7], [40], [25])
    steps = [LINEAR.step_ms(40, 1600, 0, 0)] + [LINEAR.step_ms(0, 0, 1, 40 + made) for made in range(1, 25)]
    served = serve(requests, LINEAR, "vllm")
    assert served.first_token_s[0] == pytest.approx(0.007 + steps[0] / 1000)
    assert served.finish_s[0] == pytest.approx(0.007 + sum(steps) / 1000)
    assert (served.iterations, served.peak_kv_tokens, served.mean_batch) == (25, 40 + 24, 1.0)


def test_sarathi_computes_a_prompt_in_chunks_beside_decoding():
    """5 tokens a step: the second prompt of 7 takes 1 with the first prompt, then 4 beside its decoding, then 2."""
    requests = some([0, 0], [4, 7], [6, 1])
    served = serve(requests, LINEAR, "sarathi", token_budget=5)
    first = LINEAR.step_ms(5, 16 + 1, 0, 0)
    second = LINEAR.step_ms(4, 25 - 1, 1, 5)
    third = LINEAR.step_ms(2, 49 - 25, 1, 6)
    assert served.first_token_s * 1000 == pytest.approx([first, first + second + third])


@pytest.mark.parametrize("memory", ["recompute", "swap", "tail"])
def test_the_latest_leaves_when_blocks_are_missing(memory):
    """Two requests of 4 + 5 tokens in 3 blocks of 4: the second gives way to the fifth token of the first."""
    law = Hardware(name="test", compute_step_ms=1.0, kv_bytes_per_token=1.0, swap_bytes_per_s=1000.0 / 0.25)
    served = serve(some([0, 0], [4, 4], [5, 5]), law, f"vllm:memory={memory}", kv_tokens=12, block_tokens=4)
    assert list(served.preemptions_of) == [0, 1]
    # Both prompts in 1 ms; four tokens of the first alone, 0.25 ms for each of the 4 tokens swapped out.
    start = 5 + (1 if memory == "swap" else 0)
    assert served.finish_s[0] * 1000 == pytest.approx(start)
    # Its four tokens are still there under tail; recomputing makes a token as decoding does.
    assert served.finish_s[1] * 1000 == pytest.approx(start + 4 + (1 if memory == "swap" else 0))
    lost = {"recompute": (4, 0), "swap": (0, 4), "tail": (0, 0)}
    assert (served.recomputed_tokens, served.swapped_tokens) == lost[memory]


def test_srpt_takes_the_place_of_a_longer_request_when_the_batch_is_full():
    requests = some([0, 2.5], [1, 1], [10, 2])
    assert serve(requests, STEP, "srpt", max_batch=1).finish_s * 1000 == pytest.approx([12, 5])
    assert serve(requests, STEP, "sjf", max_batch=1).finish_s * 1000 == pytest.approx([10, 12])
    guessed = some([0, 2.5], [1, 1], [10, 2], predicted_output_tokens=np.array([10.0, 2.0]))
    for c, finish in ((0.1, [10, 12]), (0.9, [12, 5])):
        assert serve(guessed, STEP, f"trail:c={c}", max_batch=1).finish_s * 1000 == pytest.approx(finish)


def test_a_renewed_prediction_lets_another_go_first():
    """Both are thought short at first; after 4 tokens the first is known to be long."""
    requests = some(
        [0, 1], [1, 1], [20, 3], predicted_output_tokens=np.array([3.0, 9.0]),
        refresh_every=4, refreshed_start=np.array([0, 1, 1]), refreshed=np.array([30.0]),
    )  # fmt: skip
    assert serve(requests, STEP, "sprpt", max_batch=1).finish_s * 1000 == pytest.approx([23, 7])


def test_everything_is_conserved_and_in_order():
    rng = np.random.default_rng(5)
    n = 3000
    requests = Requests(
        np.cumsum(rng.exponential(0.02, n)),
        rng.integers(1, 400, n),
        rng.integers(1, 100, n),
        predicted_output_tokens=rng.uniform(1, 100, n),
    )
    guesses = requests.predicted_output_tokens
    requests = replace(requests, predicted_low_tokens=0.5 * guesses, predicted_high_tokens=2.0 * guesses)
    law = Hardware(
        name="test",
        prefill_token_ms=0.02,
        decode_step_ms=5.0,
        prefill_step_ms=2.0,
        kv_token_ms=1e-3,
        kv_bytes_per_token=1e5,
        swap_bytes_per_s=1e10,
    )
    for policy in policies.names():
        served = serve(requests, law, policy, kv_tokens=2000, max_batch=32)
        alone = (2.0 + 0.02 * requests.input_tokens) / 1000
        assert np.all(served.first_token_s >= requests.arrival_s + alone - 1e-9)
        # Those that plan take 2 ms and more for a token beside a prompt.
        token = 0.002 if policies.policy(policy).shape == "rounds" else 0.005
        assert np.all(served.finish_s >= served.first_token_s + token * (requests.output_tokens - 1) - 1e-9)
        assert served.preemptions == served.preemptions_of.sum()
        assert 0 < served.mean_kv_tokens <= served.peak_kv_tokens <= 2000
        assert served.busy_s <= served.makespan_s + 1e-9
        computed = served.mean_batch * served.iterations  # requests times steps: each step of one makes a token
        if policy != "sarathi" and policies.policy(policy).shape != "rounds":
            assert round(computed) == requests.output_tokens.sum()


REFUSED = {
    "can never fit": ("vllm", {"kv_tokens": 20}, "request 1 can never fit: its 10 input and 30 output tokens"),
    "predictions": ("sprpt", {}, "policy 'sprpt' looks at predictions"),
    "mechanism": ("sjf:mechanism=vlm", {}, "did you mean 'vllm'?"),
    "memory": ("orca:memory=swap", {}, "needs pages"),
    "swap": ("vllm:memory=swap", {}, "needs kv_bytes_per_token and swap_bytes_per_s"),
    "name": ("srptt", {}, "unknown policy 'srptt'"),
    "parameter": ("srpt:c=1", {}, "unknown parameter of policy 'srpt'"),
    "pages": ("orca:prefix_cache=true", {}, "prefix_cache needs mechanism vllm or sarathi"),
    "whole blocks": ("vllm:prefix_cache=true", {"block_tokens": 7}, "are not whole blocks of 7 tokens"),
    "preempt": ("fastertransformer:preempt=true", {}, "preempt must be false"),
    "yes": ("srpt:preempt=2", {}, "must be true, false or batch"),
    "batch": ("vllm", {"max_batch": 0}, "max_batch is 0"),
    "block": ("vllm", {"block_tokens": 1.5}, "block_tokens is 1.5"),
    "watermark": ("vllm", {"watermark": 1.0}, "watermark is 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case):
    policy, arguments, message = REFUSED[case]
    with pytest.raises(InputError) as error:
        serve(some([0, 1], [10, 10], [3, 30]), STEP, policy, **arguments)
    assert message in str(error.value)


RULES = {
    "rank that is not a number": (
        'SEES = ("left",)\nSHAPE = "order"\n\ndef rank(left):\n    return (left - 2) / (left - 2)\n',
        "policy 'mine' gives request 0",
    ),
    "admits nobody": (
        'SEES = ("arrival",)\nSHAPE = "order"\n\ndef rank(arrival):\n    return arrival\n\n'
        "def admit():\n    return False\n",
        "policy 'mine' admits none of the 2 requests",
    ),
    "rank sees the state": (
        'SEES = ("waiting",)\nSHAPE = "order"\n\ndef rank(waiting):\n    return waiting\n',
        "which only admit can see",
    ),
    "sees what is not there": ('SEES = ("size",)\nSHAPE = "order"\n\ndef rank(size):\n    return size\n', "'size'"),
    "another model's": ('SEES = ("size",)\nSHAPE = "falling"\n\ndef rank(size):\n    return size\n', "has 'order'"),
    "cannot be compiled": (
        'SEES = ("arrival",)\nSHAPE = "order"\n\ndef rank(arrival):\n    return open("x")\n',
        "policy 'mine' cannot be compiled",
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_a_policy_that_breaks_a_rule_is_named(case, tmp_path):
    text, message = RULES[case]
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        serve(some([0, 1], [10, 10], [2, 30]), STEP, str(path))
    assert message in str(error.value)


def test_prompts_share_what_they_begin_with():
    """Blocks of 4 tokens; of three prompts of 10 the second begins like the first, the third with other blocks."""
    requests = some(
        [0, 100, 200], [10, 10, 10], [2, 2, 2], prefix_start=np.array([0, 3, 6, 9]),
        prefix_blocks=np.array([1, 2, 3, 1, 2, 4, 5, 2, 3]), prefix_block_tokens=4,
    )  # fmt: skip
    assert [node.tolist() for node in paths(requests)] == [[0, 2, 4, 6], [0, 2, 0, 2, 1, 3], [1, 1, 2, 2]]
    served = serve(requests, LINEAR, "vllm:prefix_cache=true", block_tokens=2)
    first = served.first_token_s * 1000 - [0, 100, 200]
    whole = LINEAR.step_ms(10, 100, 0, 0)
    assert first == pytest.approx([whole, LINEAR.step_ms(2, 100 - 64, 0, 0), whole])
    assert served.reused_tokens == 8
    # Six blocks: the third prompt needs all of them, so nothing is left of the first two for a fourth.
    again = some(
        [0, 100, 200, 300], [10] * 4, [2] * 4, prefix_start=np.array([0, 3, 6, 9, 12]),
        prefix_blocks=np.array([1, 2, 3, 1, 2, 4, 5, 2, 3, 1, 2, 3]), prefix_block_tokens=4,
    )  # fmt: skip
    assert serve(again, LINEAR, "vllm:prefix_cache=true", block_tokens=2, kv_tokens=12).reused_tokens == 8
    assert serve(again, LINEAR, "vllm:prefix_cache=true", block_tokens=2, kv_tokens=32).reused_tokens == 16


@pytest.mark.filterwarnings("error")
def test_a_run_that_takes_no_time_has_no_rates():
    """Answers of one token after prompts for free, all at once: 0 s in all, and nothing to average over."""
    served = serve(some([5, 5], [3, 4], [1, 1]), hardware_law("decode_step_ms=1"), "vllm")
    result = metrics(served, some([5, 5], [3, 4], [1, 1]))
    assert (result["makespan_s"], result["mean_latency_s"], result["completed"]) == (0, 0, 2)
    assert served.peak_kv_tokens == 7
    for name in ("throughput_per_s", "mean_kv_tokens", "busy_share", "mean_tpot_s"):
        assert np.isnan(result[name]), name


def test_metrics():
    requests = some([0, 0, 1], [1, 1, 1], [3, 1, 5])
    served = serve(requests, STEP, "vllm", max_batch=1)
    result = metrics(served, requests, slo_ttft_s=0.004, slo_tpot_s=0.01)
    assert served.finish_s * 1000 == pytest.approx([3, 4, 9])
    assert result["mean_latency_s"] * 1000 == pytest.approx((3 + 4 + 8) / 3)
    assert result["mean_ttft_s"] * 1000 == pytest.approx((1 + 4 + 4) / 3)
    assert result["mean_tpot_s"] * 1000 == pytest.approx(1)
    assert result["p90_latency_s"] * 1000 == pytest.approx(np.quantile([3, 4, 8], 0.9))
    assert (result["requests"], result["completed"], result["output_tokens"]) == (3, 3, 9)
    assert result["makespan_s"] * 1000 == pytest.approx(9)
    assert result["goodput_per_s"] == pytest.approx(3 / 0.009)
    with pytest.raises(InputError, match="slo_ttft_s is 0"):
        metrics(served, requests, slo_ttft_s=0)
