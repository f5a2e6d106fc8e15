"""Speculative decoding: the kernel against its slow twin, the engine without drafts, and closed forms."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openqueues import registry
from openqueues.models import llm
from openqueues.models.errors import InputError
from openqueues.models.llm import speculative
from slow_speculative import Server

FOLDER = Path(__file__).parents[1] / "problems" / "speculative-tandem" / "policies"
LAWS = (
    "prefill_token_ms=0.1,decode_step_ms=20,decode_seq_ms=0.1,kv_token_ms=0.001,compute_token_ms=0.4",
    "prefill_step_ms=5,prefill_token_ms=0.1,decode_step_ms=11,tile_tokens=16,tile_ms=9",
    "table_tokens=8|32|64,table_ms=20|25|60,decode_step_ms=1",
    "opt-13b-a100-tp1:compute_token_ms=0.4",
)
POLICIES = {
    "fixed:length=3": (lambda x: -abs(x["g"] - 3) - 100 * x["draft"], 0.0, "seen"),
    "by-batch:largest=3": (
        lambda x: -abs(x["g"] - (4 if x["batch"] <= 3 else 0)) - 100 * x["draft"], 0.0, "seen",
    ),
    "goodput": (lambda x: x["tokens_seen"] / x["time_ms"], 0.0, "seen"),
    "own-record": (lambda x: x["tokens_own"] / x["time_ms"], -1.0, "own"),
    "predicted:least=0.2": (lambda x: x["tokens_predicted"] / x["time_ms"], 0.2, "predicted"),
    "oracle": (lambda x: x["tokens_true"] / x["time_ms"], -1.0, "true"),
}  # fmt: skip


def spec(policy):
    name, colon, rest = policy.partition(":")
    return f"{FOLDER / name}.py{colon}{rest}"


def requests(n, seed, rate=4.0, lengths="lognormal:input_mean=60,output_mean=25"):
    return llm.generated(f"poisson:rate={rate}", lengths, n, seed)


CASES = (
    st.integers(0, 10**6),
    st.sampled_from(sorted(POLICIES)),
    st.sampled_from(LAWS),
    st.integers(0, 3),
    st.sampled_from([1, 3, 8]),
)


def compare(seed, policy, law, own, max_batch, n, output):
    rng = np.random.default_rng(seed)
    asked = requests(n, seed, rng.uniform(1, 8), f"lognormal:input_mean=60,output_mean={output}")
    hardware = llm.hardware_law(law)
    alpha, predicted = rng.random((2, n, 2))
    decide, least, cut = POLICIES[policy]
    served = speculative.serve(
        asked, hardware, (0.07, 0.2), alpha, spec(policy), predicted=predicted, own=own, max_batch=max_batch, most=5,
        seed=seed,
    )  # fmt: skip
    slow = Server(
        asked, hardware, (0.07, 0.2), alpha.tolist(), predicted.tolist(), decide, own, max_batch, 5, seed, least, cut
    ).run()
    np.testing.assert_allclose(served.first_token_s, slow[0], rtol=1e-9)
    np.testing.assert_allclose(served.finish_s, slow[1], rtol=1e-9)
    assert served.verified_tokens == int((asked.output_tokens - 1).sum())


@settings(max_examples=20, deadline=None)
@given(*CASES)
def test_every_request_is_served_when_the_slow_twin_serves_it(seed, policy, law, own, max_batch):
    compare(seed, policy, law, own, max_batch, 8, 8)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(*CASES)
def test_longer_runs_are_those_of_the_slow_twin(seed, policy, law, own, max_batch):
    compare(seed, policy, law, own, max_batch, 20, 30)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("own", [0, 1, 2])
def test_without_drafts_it_is_the_engine(law, own):
    asked, hardware = requests(300, 5, rate=6.0), llm.hardware_law(law)
    served = speculative.serve(asked, hardware, (0.1,), np.full((300, 1), 0.8), spec("none"), own=own, max_batch=12)
    plain = llm.serve(asked, hardware, "vllm", kv_tokens=0, max_batch=12)
    np.testing.assert_allclose(served.first_token_s, plain.first_token_s, rtol=1e-9)
    np.testing.assert_allclose(served.finish_s, plain.finish_s, rtol=1e-9)
    assert served.steps == plain.iterations and served.drafted == 0
    assert served.target_busy_s == pytest.approx(plain.busy_s, rel=1e-9)


@pytest.mark.parametrize(("alpha", "cycles"), [(0.0, 50), (1.0, 10)])
def test_all_wrong_and_all_right(alpha, cycles):
    """51 tokens: one from the prompt, then one a cycle or five; draft steps take a tenth."""
    asked = llm.generated("deterministic:rate=0.1", "fixed:input=100,output=51", 4, 1)
    hardware = llm.hardware_law("prefill_token_ms=0.1,decode_step_ms=20,compute_token_ms=0.01")
    served = speculative.serve(asked, hardware, (0.1,), np.full((4, 1), alpha), spec("fixed"))
    np.testing.assert_allclose(served.finish_s - asked.arrival_s, 0.010 + cycles * (0.020 + 4 * 0.002), rtol=1e-9)
    assert served.cycles == 4 * cycles and served.drafted == 16 * cycles
    assert served.accepted == (0 if alpha == 0 else 16 * cycles)


@pytest.mark.parametrize(("alpha", "g"), [(0.5, 3), (0.8, 5), (0.9, 8)])
def test_tokens_a_cycle_are_the_geometric_sum(alpha, g):
    n = 200
    asked = llm.generated("closed", "fixed:input=10,output=1001", n, 1)
    hardware = llm.hardware_law("decode_step_ms=30,compute_token_ms=0.001")
    served = speculative.serve(
        asked, hardware, (1 / 15,), np.full((n, 1), alpha), spec(f"fixed:length={g}"), max_batch=1
    )
    gained = served.verified_tokens / served.cycles
    assert gained == pytest.approx(speculative.expected_tokens(alpha, g), rel=0.01)
    assert speculative.expected_tokens(alpha, g) == pytest.approx(sum(alpha**j for j in range(g + 1)), rel=1e-12)
    faster = n * 1000 * 0.030 / served.makespan_s
    assert faster == pytest.approx(speculative.speedup(alpha, g, 1 / 15), rel=0.01)


def test_a_better_draft_is_right_wherever_a_worse_one_is():
    asked, hardware = requests(200, 7), llm.hardware_law(LAWS[0])
    low = np.random.default_rng(1).uniform(0, 0.9, (200, 1))
    finish = [
        speculative.serve(asked, hardware, (0.1,), alpha, spec("fixed"), max_batch=1, seed=3)
        for alpha in (low, low + 0.1)
    ]
    assert finish[1].cycles < finish[0].cycles
    assert np.all(finish[1].finish_s <= finish[0].finish_s + 1e-9)


def test_verifying_costs_what_the_law_says():
    law = llm.hardware_law(LAWS[3])
    assert speculative.verify_ms(law, 10, 10, 500) == pytest.approx(law.step_ms(0, 0, 10, 500), rel=1e-12)
    assert speculative.verify_ms(law, 100, 100, 500) == pytest.approx(law.step_ms(0, 0, 100, 500), rel=1e-12)
    assert speculative.verify_ms(law, 10, 50, 500) == pytest.approx(
        max(law.step_ms(0, 0, 10, 500), 0.4 * 50), rel=1e-12
    )
    tiles = llm.hardware_law(LAWS[1])
    assert speculative.verify_ms(tiles, 10, 50, 0) == pytest.approx(11 + 9 * 4, rel=1e-12)


def test_the_entry_knows_a_request_alone():
    problem = registry.problem(registry.entry("speculative-tandem"))
    point = {
        "hardware": LAWS[2], "drafts": "small", "max_batch": 4, "spread": "none", "own": 0, "acceptance": 0.7,
        "arrivals": "deterministic:rate=0.1", "lengths": "fixed:input=40,output=60",
    }  # fmt: skip
    for policy in ("none", "fixed:length=2", "fixed:length=6"):
        exact = problem.exact(point, spec(policy))
        found = problem.simulate(point, spec(policy), 1, 4000)
        for name in ("mean_latency_s", "speedup"):
            assert found[name] == pytest.approx(exact[name][0], rel=0.01), (policy, name)
    assert problem.exact(point, spec("goodput")) is None
    mixed = problem._acceptance(np.array([0.65, 0.8]), "mixed", 1, 20_000)
    assert mixed.mean(axis=0) == pytest.approx([0.65, 0.8], abs=0.005) and np.all(mixed[:, 0] < mixed[:, 1])


def test_what_makes_no_sense_is_refused(tmp_path):
    asked, hardware = requests(5, 1), llm.hardware_law(LAWS[0])
    half = np.full((5, 1), 0.5)
    free = llm.hardware_law("decode_step_ms=20")
    for arguments, message in (
        ((asked, hardware, (0.1,), half[:4], spec("none")), r"alpha must have a row per request"),
        ((asked, hardware, (0.1,), half + 1, spec("none")), r"outside \[0, 1\]"),
        ((asked, hardware, (1.5,), half, spec("none")), "ratio of a draft model's step"),
        ((asked, hardware, (), half[:, :0], spec("none")), "there is no draft model"),
        ((asked, free, (0.1,), half, spec("none")), "drafts would be verified for nothing"),
        ((asked, hardware, (0.1,), half, "fcfs"), "SHAPE = 'falling'"),
        ((asked, hardware, (0.1,), half, spec("oracle:cut=guess")), "unknown cut of policy 'oracle' 'guess'"),
        ((asked, hardware, (0.1,), half, spec("oracle:least=2")), "least is 2"),
    ):
        with pytest.raises(InputError, match=message):
            speculative.serve(*arguments)
    for name, sees, body, message in (
        ("nan", "g", "(g - g) / (g - g)", "not a number"),
        ("column", "age", "age", "unknown column in SEES of policy 'column' 'age'"),
    ):
        file = tmp_path / f"{name}.py"
        file.write_text(
            f'"""A policy."""\nSEES = ("{sees}",)\nSHAPE = "decision"\ndef decide({sees}):\n    return {body}\n'
        )
        with pytest.raises(InputError, match=message):
            speculative.serve(asked, hardware, (0.1,), half, str(file))
    with pytest.raises(InputError, match="own is -1"):
        speculative.serve(asked, hardware, (0.1,), half, spec("none"), own=-1)
    problem = registry.problem(registry.entry("speculative-tandem"))
    with pytest.raises(InputError, match="either load or arrivals"):
        problem.simulate(
            {"hardware": LAWS[0], "drafts": "both", "max_batch": 4, "spread": "none", "own": 0}, spec("none"), 1, 5
        )
