"""Policies of the LLM engine on traces small enough to follow by hand, and what predictions they accept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import generated, policies, predicted
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware
from openqueues.models.llm.requests import Requests
from openqueues.models.policies import FORECASTS

STEP = Hardware(name="step", compute_step_ms=1.0)


def some(arrival_ms, inputs, outputs, guesses=None, **more) -> Requests:
    guesses = outputs if guesses is None else guesses
    given = {"predicted_output_tokens": np.array(guesses, float)} | more
    return Requests(np.array(arrival_ms) / 1000.0, np.array(inputs), np.array(outputs), **given)


def ends_ms(requests, policy, **setting):
    return serve(requests, STEP, policy, **setting).finish_s * 1000


def test_ltr_promotes_who_waited_for_a_quantum_of_tokens():
    """The second gets 3 ms after each 20 ms of waiting."""
    requests = some([0, 1], [1, 1], [100, 10], [0.1, 0.9], rank_only=True)
    served = serve(requests, STEP, "ltr:wait_s=0.02,quantum=3", max_batch=1)
    assert served.finish_s * 1000 == pytest.approx([110, 91])
    assert served.preemptions_of.tolist() == [4, 3]
    assert ends_ms(requests, "ltr", max_batch=1) == pytest.approx([100, 110])


def test_fastserve_demotes_after_each_quantum():
    """Quanta of 4, 8, 16, 32 ms: a request leaves them with 6, 15 and 32 tokens made, its prompt taking no time."""
    law = "base_ms=4,prompt_ms=0,token_ms=1"
    requests = some([0, 2], [1, 1], [50, 50])
    assert ends_ms(requests, f"fastserve:{law},starve_s=9", max_batch=1) == pytest.approx([100, 82])
    # Promoted after 5 ms: from 12 ms on they take turns of 5 ms.
    assert ends_ms(requests, f"fastserve:{law},starve_s=0.005", max_batch=1) == pytest.approx([96, 100])


def test_fastserve_joins_the_queue_of_its_prompt():
    """A prompt of 40 tokens takes 10 ms and joins the third queue, behind the first request after its demotion."""
    requests = some([0, 1, 2], [4, 40, 4], [20, 3, 3])
    policy = "fastserve:base_ms=4,prompt_ms=0.25,token_ms=1,starve_s=9"
    assert ends_ms(requests, policy, max_batch=1) == pytest.approx([23, 26, 8])


def test_ssjf_lets_who_waited_too_long_go_first():
    requests = some([0, 1, 2, 3, 4], [1] * 5, [5, 10, 5, 5, 5])
    law = "constant_s=0,token_s=0.001"
    # The long one has waited 14 ms when the fourth ends, 1.35 times its own time is 13.5 ms.
    for most_wait_s, patience in ((0.01, 1000), (9, 1.35)):
        policy = f"ssjf:{law},most_wait_s={most_wait_s},patience={patience}"
        assert ends_ms(requests, policy, max_batch=1) == pytest.approx([5, 25, 10, 15, 30])
    for policy in ("ssjf", f"ssjf:{law},most_wait_s=0.02,patience=1.5"):
        assert ends_ms(requests, policy, max_batch=1) == pytest.approx([5, 30, 10, 15, 20])


@pytest.mark.parametrize(("limit", "times"), [(0, 0), (2, 2), (9, 3)])
def test_a_request_is_preempted_no_more_than_limited(limit, times):
    requests = some([0, 5, 15, 25], [1] * 4, [50, 2, 2, 2])
    served = serve(requests, STEP, f"limited:limit={limit}", max_batch=1)
    assert served.preemptions_of.tolist() == [times, 0, 0, 0]


@pytest.mark.parametrize(
    ("policy", "ends"),
    [("lpm", [2, 8, 4, 6]), ("klpm:k=1", [2, 4, 6, 8]), ("klpm:k=3", [2, 6, 4, 8]), ("klpm:k=99", [2, 8, 4, 6])],
)
def test_prefixes_in_the_cache_go_first_and_the_oldest_now_and_then(policy, ends):
    """The first, third and fourth begin alike; each takes 2 ms."""
    requests = some(
        [0, 0.5, 1, 1.5], [8] * 4, [2] * 4, prefix_start=np.array([0, 2, 4, 6, 8]),
        prefix_blocks=np.array([1, 2, 8, 9, 1, 2, 1, 2]), prefix_block_tokens=4,
    )  # fmt: skip
    assert ends_ms(requests, policy, max_batch=1, block_tokens=4) == pytest.approx(ends)


def test_klpm_counts_each_admission_of_an_iteration():
    """All come while the first runs, the last two begin like it; of the two that start together one is the oldest."""
    requests = some(
        [0, 0.2, 0.4, 0.6, 0.8], [8] * 5, [1] * 5, prefix_start=np.array([0, 2, 4, 6, 8, 10]),
        prefix_blocks=np.array([1, 2, 8, 9, 7, 9, 1, 2, 1, 2]), prefix_block_tokens=4,
    )  # fmt: skip
    assert ends_ms(requests, "klpm:k=1", max_batch=2, block_tokens=4) == pytest.approx([1, 2, 2, 3, 3])
    assert ends_ms(requests, "klpm:k=2", max_batch=2, block_tokens=4) == pytest.approx([1, 2, 3, 2, 3])
    assert ends_ms(requests, "lpm", max_batch=2, block_tokens=4) == pytest.approx([1, 3, 3, 2, 2])


def test_orders_of_prompt_and_answer():
    requests = some([0, 0], [100, 1], [2, 10])
    for policy in ("svf", "spt:prompt=0.2"):
        assert ends_ms(requests, policy, max_batch=1) == pytest.approx([12, 10]), policy
    for policy in ("mcsf", "pastfuture", "spt:prompt=0.01"):
        assert ends_ms(requests, policy, max_batch=1) == pytest.approx([2, 12]), policy


@pytest.mark.parametrize("policy", ["mcsf", "pastfuture", "svf"])
def test_nobody_is_preempted_where_the_predicted_peak_is_true(policy):
    """In mixed steps with whole prompts all requests go forward together, as the peak supposes."""
    requests = generated("poisson:rate=60", "lognormal:input_mean=30,output_mean=40", 1500, seed=4)
    requests = predicted(requests, "perfect", 1)
    longest = int((requests.input_tokens + requests.output_tokens).max())
    setting = {"kv_tokens": longest + 500, "block_tokens": 1, "watermark": 0, "token_budget": 1 << 40}
    law = Hardware(name="step", compute_step_ms=5.0)
    assert serve(requests, law, f"{policy}:mechanism=sarathi", **setting).preemptions == 0
    assert serve(requests, law, "sarathi", **setting).preemptions > 100


def test_scores_only_rank():
    """Policies accept predictions of ranks if and only if any rising function of them gives the same schedule."""
    requests = generated("poisson:rate=60", "lognormal:input_mean=30,output_mean=40", 400, seed=4)
    ranked = predicted(requests, "rank:tau=0.6", 1)
    assert ranked.rank_only
    law = Hardware(name="step", compute_step_ms=5.0)
    for policy in policies.names():
        sees = set(policies.policy(policy).sees)
        if FORECASTS & sees - {"score"}:
            with pytest.raises(InputError, match=f"policy '{policy}' takes predictions for numbers of tokens"):
                serve(ranked, law, policy)
            continue
        bent = replace(ranked, predicted_output_tokens=1000 * ranked.predicted_output_tokens**3)
        ends = [serve(one, law, policy, max_batch=8).finish_s for one in (ranked, bent)]
        assert np.array_equal(*ends), policy
    assert {"ltr", "spjf"} == {one for one in policies.names() if "score" in policies.policy(one).sees}
    assert policies.policy("ltr").shown == "predictions"
    with pytest.raises(InputError, match="policy 'ltr' looks at predictions"):
        serve(requests, law, "ltr")
